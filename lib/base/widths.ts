import { isBigUint64Array, isUint16Array, isUint32Array, isUint8Array } from "./type-checks.js";
import { rangeError, typeError } from "./errors.js";
import { MAX_U64, MIN_I64 } from "./gpa.js";

/** A typed array whose first element receives the value of a read. */
export type Out = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/** A value of an access: a number for up to 32 bits, a bigint for 64 bits. */
export type Value = number | bigint;

/**
 * The type-dependent operations of one access width. The hot paths have generated code for each
 * width; all other code is written once, with a `Width` as a parameter.
 */
export interface Width<T extends Value, A extends Out> {
  /** Bytes of the access. */
  readonly bytes: 1 | 2 | 4 | 8;
  /** The name of the type of `out`. */
  readonly outName: string;
  /**
   * Whether a value is an array of the width, of any realm. The functions of `node:util/types` take
   * 10 ns, so they check only what is not an instance.
   */
  isOut(out: unknown): out is A;
  /** `out[0] = value`. */
  store(out: A, value: T): void;
  /** @param littleEndian - True by default. */
  get(view: DataView, offset: number, littleEndian?: boolean): T;
  set(view: DataView, offset: number, value: T, littleEndian?: boolean): void;
  /**
   * Returns the value as unsigned, or throws if the width cannot represent it, neither as a signed
   * nor as an unsigned integer.
   *
   * @param what - The name of the value in the error message.
   * @throws TypeError for a value of the wrong type; RangeError for a value out of range.
   */
  checkValue(value: unknown, what?: string): T;
}

/**
 * `ArrayBuffer.isView`: whether a value has the internal slots of a typed array or a DataView.
 * `instanceof` alone is not sufficient, because any object can have their prototypes.
 */
export const isView: (value: unknown) => boolean = ArrayBuffer.isView;

const byteOffset = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  "byteOffset",
)!.get!;

/**
 * Throws a TypeError without a code if a value has the prototype of a typed array but not its
 * internal slots. After an element access and `instanceof`, V8 eliminates this check, whereas
 * `isView` would add a tenth to the time of an access.
 */
export const checkSlots = Function.prototype.call.bind(byteOffset) as (view: Out) => unknown;

function numberWidth<A extends Exclude<Out, BigUint64Array>>(
  bytes: 1 | 2 | 4,
  outName: string,
  isOut: (out: unknown) => boolean,
  get: Width<number, A>["get"],
  set: Width<number, A>["set"],
): Width<number, A> {
  const span = 2 ** (8 * bytes);
  const [min, max] = [-span / 2, span - 1];
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
      if (!Number.isInteger(value) || value < min || value > max) {
        throw rangeError(`${what} must be an integer from ${min} to ${max}`);
      }
      return value < 0 ? value + span : value;
    },
  };
}

/** 8 bits. */
export const BYTE = numberWidth<Uint8Array>(
  1,
  "Uint8Array",
  (out) => (isView(out) && out instanceof Uint8Array) || isUint8Array(out),
  (view, offset) => view.getUint8(offset),
  (view, offset, value) => view.setUint8(offset, value),
);

/** 16 bits. */
export const WORD = numberWidth<Uint16Array>(
  2,
  "Uint16Array",
  (out) => (isView(out) && out instanceof Uint16Array) || isUint16Array(out),
  (view, offset, littleEndian = true) => view.getUint16(offset, littleEndian),
  (view, offset, value, littleEndian = true) => view.setUint16(offset, value, littleEndian),
);

/** 32 bits. */
export const LONG = numberWidth<Uint32Array>(
  4,
  "Uint32Array",
  (out) => (isView(out) && out instanceof Uint32Array) || isUint32Array(out),
  (view, offset, littleEndian = true) => view.getUint32(offset, littleEndian),
  (view, offset, value, littleEndian = true) => view.setUint32(offset, value, littleEndian),
);

/** 64 bits. */
export const QUAD: Width<bigint, BigUint64Array> = {
  bytes: 8,
  outName: "BigUint64Array",
  isOut: (out): out is BigUint64Array =>
    (isView(out) && out instanceof BigUint64Array) || isBigUint64Array(out),
  store(out, value) {
    out[0] = value;
  },
  get: (view, offset, littleEndian = true) => view.getBigUint64(offset, littleEndian),
  set: (view, offset, value, littleEndian = true) => view.setBigUint64(offset, value, littleEndian),
  checkValue(value, what = "value") {
    if (typeof value !== "bigint") {
      throw typeError(`${what} must be a bigint`);
    }
    if (value < MIN_I64 || value > MAX_U64) {
      throw rangeError(`${what} must be from -2^63 to 2^64 - 1`);
    }
    return BigInt.asUintN(64, value);
  },
};

/**
 * Checks the array whose first element receives or provides a value.
 *
 * @param what - The name of the argument in the error message.
 * @throws TypeError if `out` has another type; RangeError if it is empty or detached.
 */
export function checkOut<T extends Value, A extends Out>(
  width: Width<T, A>,
  out: unknown,
  what: "out" | "source" | "status",
): A {
  if (!width.isOut(out)) {
    throw typeError(`${what} must be a ${width.outName}`);
  }
  // Not `out.length`, which a subclass can override.
  if (out[0] === undefined) {
    throw rangeError(`${what} must have at least one element`);
  }
  return out;
}
