import { isDataView, isUint8Array } from "./type-checks.js";
import { rangeError, typeError } from "./errors.js";

/** The original getters of the internal slots, which no object or subclass can override. */
function slotsOf(prototype: object): {
  readonly buffer: (view: unknown) => ArrayBufferLike;
  readonly byteOffset: (view: unknown) => number;
  readonly byteLength: (view: unknown) => number;
} {
  const getter = (name: string): ((view: unknown) => never) => {
    const { get } = Object.getOwnPropertyDescriptor(prototype, name)!;
    return Function.prototype.call.bind(get!) as (view: unknown) => never;
  };
  return {
    buffer: getter("buffer"),
    byteOffset: getter("byteOffset"),
    byteLength: getter("byteLength"),
  };
}

const arraySlots = slotsOf(Object.getPrototypeOf(Uint8Array.prototype) as object);
const dataViewSlots = slotsOf(DataView.prototype);
const elementAt = Function.prototype.call.bind(Uint8Array.prototype.at) as (
  array: object,
  index: number,
) => number | undefined;

/**
 * The bytes of a typed array or DataView, as a plain Uint8Array. It reads the internal slots,
 * because an object or its class can override every property, including the length.
 *
 * @param what - The name of the argument in the error message.
 * @throws TypeError if `view` is neither; RangeError if its buffer is detached or has become too
 * short for it.
 */
export function bytesOf(view: unknown, what: string): Uint8Array {
  if (!ArrayBuffer.isView(view)) {
    throw typeError(`${what} must be a Buffer, a typed array or a DataView`);
  }
  const slots = isDataView(view) ? dataViewSlots : arraySlots;
  try {
    const buffer = slots.buffer(view);
    const length = slots.byteLength(view);
    const bytes = new Uint8Array(buffer, slots.byteOffset(view), length);
    if (length === 0) {
      checkInBounds(view);
    }
    return bytes;
  } catch {
    throw rangeError(`${what} is detached, or lies outside its buffer`);
  }
}

/** A range of bytes in a buffer. */
export interface Extent {
  readonly buffer: ArrayBufferLike;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/**
 * The bytes that a buffer or view covers, according to its internal slots.
 *
 * @returns Null if the buffer is detached or has become too short for a DataView; a typed array has
 * length 0 then.
 */
export function extentOf(memory: ArrayBufferLike | ArrayBufferView): Extent | null {
  try {
    const view = ArrayBuffer.isView(memory) ? memory : new DataView(memory);
    const slots = isDataView(view) ? dataViewSlots : arraySlots;
    return {
      buffer: slots.buffer(view),
      byteOffset: slots.byteOffset(view),
      byteLength: slots.byteLength(view),
    };
  } catch {
    return null;
  }
}

/**
 * The length of a Uint8Array according to its internal slots, or 0 for any other value. The fast
 * paths of bulk access use it. They then pass the array to built-ins that also read only the
 * internal slots, which is cheaper than the new view that {@link bytesOf} makes.
 */
export function fastLength(view: unknown): number {
  return isUint8Array(view) ? arraySlots.byteLength(view) : 0;
}

/** Throws if an empty view is empty because it has lost its bytes. */
function checkInBounds(view: ArrayBufferView): void {
  if (!isDataView(view)) {
    // A method of a typed array throws if the array is detached or out of bounds.
    elementAt(view, 0);
  }
}
