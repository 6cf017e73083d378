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

type AnyArrayConstructor = abstract new (...args: never) => unknown;

/** Tells a typed array's type, also for one of another realm, where `instanceof` fails. */
function isArrayOf(type: AnyArrayConstructor, out: unknown): boolean {
  return ArrayBuffer.isView(out) && Reflect.get(out, Symbol.toStringTag) === type.name;
}

function numberWidth<A extends Exclude<Out, BigUint64Array>>(
  bytes: 1 | 2 | 4,
  type: AnyArrayConstructor,
  get: (view: DataView, offset: number) => number,
  set: (view: DataView, offset: number, value: number) => void,
): Width<number, A> {
  const max = 2 ** (8 * bytes) - 1;
  return {
    bytes,
    outName: type.name,
    isOut: (out): out is A => isArrayOf(type, out),
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
  Uint8Array,
  (view, offset) => view.getUint8(offset),
  (view, offset, value) => view.setUint8(offset, value),
);

/** 16 bits. */
export const WORD = numberWidth<Uint16Array>(
  2,
  Uint16Array,
  (view, offset) => view.getUint16(offset, true),
  (view, offset, value) => view.setUint16(offset, value, true),
);

/** 32 bits. */
export const LONG = numberWidth<Uint32Array>(
  4,
  Uint32Array,
  (view, offset) => view.getUint32(offset, true),
  (view, offset, value) => view.setUint32(offset, value, true),
);

/** 64 bits. */
export const QUAD: Width<bigint, BigUint64Array> = {
  bytes: 8,
  outName: BigUint64Array.name,
  isOut: (out): out is BigUint64Array => isArrayOf(BigUint64Array, out),
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
  if (out.length === 0) {
    throw rangeError(`${what} must have at least one element`);
  }
  return out;
}
