import { isDataView, isUint8Array } from "node:util/types";
import { rangeError, typeError } from "./errors.js";

/** The getters of the internal slots, which neither an object nor its class can redefine. */
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
 * The bytes under any typed array or DataView, as a plain Uint8Array: of what is given, an object or
 * its class may have redefined every property, the length among them.
 *
 * @throws TypeError where it is neither; RangeError where it has lost its bytes: its buffer is
 * detached, or has become too short for it.
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

/**
 * Bytes of a Uint8Array, whatever its class says they are; 0 for all else. What the fast paths of
 * bulk access go by: what they then do reads nothing but the internal slots either, and costs less
 * than the view that {@link bytesOf} makes.
 */
export function fastLength(view: unknown): number {
  return isUint8Array(view) ? arraySlots.byteLength(view) : 0;
}

/** Throws where an empty view is empty because it has lost its bytes. */
function checkInBounds(view: ArrayBufferView): void {
  if (!isDataView(view)) {
    // The methods of typed arrays check that first.
    elementAt(view, 0);
  }
}
