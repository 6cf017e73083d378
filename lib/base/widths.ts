import { isBigUint64Array, isUint16Array, isUint32Array, isUint8Array } from "node:util/types";
import { rangeError, typeError } from "./errors.js";
import { MAX_U64 } from "./gpa.js";

/** A one-element typed array that receives the value of a read. */
export type Out = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** A value of an access: a number up to 32 bits, a bigint for 64. */
export type Value = number | bigint;

/**
 * What sets one access width apart from the others. The hot paths are written out per width; all
 * that is off the hot path goes through one of these.
 */
export interface Width<T extends Value, A extends Out> {
  /** Bytes of the access. */
  readonly bytes: 1 | 2 | 4 | 8;
  /** Name of the type of `out`. */
  readonly outName: string;
  isOut(out: unknown): out is A;
  /** `out[0] = value`. */
  store(out: A, value: T): void;
  get(view: DataView, offset: number): T;
  set(view: DataView, offset: number, value: T): void;
  /**
   * Gives the value back, or throws where the width cannot hold it.
   *
   * @param what - Names the value in the error.
   */
  checkValue(value: unknown, what?: string): T;
}

/**
 * `ArrayBuffer.isView`: whether a value has the internal slots of a typed array or a DataView. Any
 * object can have their prototypes, so `instanceof` alone proves nothing.
 */
export const isView: (value: unknown) => boolean = ArrayBuffer.isView;

const byteOffset = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  "byteOffset",
)!.get!;

/**
 * Throws a TypeError, without a code, where a value has the prototype of a typed array but not its
 * internal slots. Behind an access to an element and `instanceof`, V8 compiles it to nothing, where
 * `isView` takes a tenth of the time of an access.
 */
export const checkSlots = Function.prototype.call.bind(byteOffset) as (view: Out) => unknown;

function numberWidth<A extends Exclude<Out, BigUint64Array>>(
  bytes: 1 | 2 | 4,
  outName: string,
  isOut: (out: unknown) => boolean,
  get: (view: DataView, offset: number) => number,
  set: (view: DataView, offset: number, value: number) => void,
): Width<number, A> {
  const max = 2 ** (8 * bytes) - 1;
  return {
    bytes,
    outName,
    isOut: isOut as (out: unknown) => out is A,
    store(out, value) {
      out[0] = value;
    },
    get,
    set,
    checkValue(value, what = "value") {
      if (typeof value !== "number") {
        throw typeError(`${what} must be a number`);
      }
      if (!Number.isInteger(value) || value < 0 || value > max) {
        throw rangeError(`${what} must be an integer from 0 to ${max}`);
      }
      return value;
    },
  };
}

/** 8 bits. */
export const BYTE = numberWidth<Uint8Array>(
  1,
  "Uint8Array",
  isUint8Array,
  (view, offset) => view.getUint8(offset),
  (view, offset, value) => view.setUint8(offset, value),
);

/** 16 bits. */
export const WORD = numberWidth<Uint16Array>(
  2,
  "Uint16Array",
  isUint16Array,
  (view, offset) => view.getUint16(offset, true),
  (view, offset, value) => view.setUint16(offset, value, true),
);

/** 32 bits. */
export const LONG = numberWidth<Uint32Array>(
  4,
  "Uint32Array",
  isUint32Array,
  (view, offset) => view.getUint32(offset, true),
  (view, offset, value) => view.setUint32(offset, value, true),
);

/** 64 bits. */
export const QUAD: Width<bigint, BigUint64Array> = {
  bytes: 8,
  outName: "BigUint64Array",
  isOut: (out): out is BigUint64Array => isBigUint64Array(out),
  store(out, value) {
    out[0] = value;
  },
  get: (view, offset) => view.getBigUint64(offset, true),
  set: (view, offset, value) => view.setBigUint64(offset, value, true),
  checkValue(value, what = "value") {
    if (typeof value !== "bigint") {
      throw typeError(`${what} must be a bigint`);
    }
    if (value < 0n || value > MAX_U64) {
      throw rangeError(`${what} must be from 0 to 2^64 - 1`);
    }
    return value;
  },
};

/**
 * Checks the array that is to receive or to give a value.
 *
 * @param what - Names the argument in the error.
 * @throws TypeError where it is of another type; RangeError where it is empty or detached.
 */
export function checkOut<T extends Value, A extends Out>(
  width: Width<T, A>,
  out: unknown,
  what: "out" | "source" | "status",
): A {
  if (!width.isOut(out)) {
    throw typeError(`${what} must be a ${width.outName}`);
  }
  // Not `out.length`, which a subclass may define.
  if (out[0] === undefined) {
    throw rangeError(`${what} must have at least one element`);
  }
  return out;
}
