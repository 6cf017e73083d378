import { isUint32Array } from "./type-checks.js";
import { rangeError, typeError } from "./errors.js";
import type { Gpa } from "./gpa.js";
import { HIGH_HALF, LOW_HALF } from "./host.js";
import { LONG } from "./widths.js";

const quad = new BigUint64Array(1);
const halves = new Uint32Array(quad.buffer);

/**
 * Checks the array that receives two halves.
 *
 * @throws TypeError for an argument of the wrong type; RangeError if the array has no two elements
 * at `at`, for instance because it is detached.
 */
export function checkHalvesOut(out: unknown, at: unknown): void {
  if (!isUint32Array(out)) {
    throw typeError("out must be a Uint32Array");
  }
  if (typeof at !== "number") {
    throw typeError("at must be a number");
  }
  // Not `out.length`, which a subclass can override.
  if (out[at] === undefined || out[at + 1] === undefined) {
    throw rangeError("at must be the index of two elements of out");
  }
}

/** Stores the halves of a 64-bit value in `out[at]` and `out[at + 1]`. */
export function storeHalves(out: Uint32Array, at: number, value: bigint): void {
  quad[0] = value;
  out[at] = halves[LOW_HALF]!;
  out[at + 1] = halves[HIGH_HALF]!;
}

/**
 * The 64-bit value of two halves.
 *
 * @throws TypeError, RangeError if a half is not a number from 0 to 2^32 - 1.
 */
export function quadOf(low: number, high: number): bigint {
  halves[LOW_HALF] = LONG.checkValue(low, "low");
  halves[HIGH_HALF] = LONG.checkValue(high, "high");
  return quad[0]!;
}

/**
 * Checks the halves of an address.
 *
 * @throws TypeError, RangeError if a half is not a number from 0 to 2^32 - 1.
 */
export function checkGpaHalves(gpaLow: number, gpaHigh: number): void {
  checkGpaHalf(gpaLow, "gpaLow");
  checkGpaHalf(gpaHigh, "gpaHigh");
}

function checkGpaHalf(half: unknown, what: string): void {
  if (typeof half !== "number") {
    throw typeError(`${what} must be a number`);
  }
  if (half >>> 0 !== half) {
    throw rangeError(`${what} must be an integer from 0 to 4294967295`);
  }
}

/** The address of two halves: a number up to 2^53 - 1, a bigint above. */
export function gpaOf(gpaLow: number, gpaHigh: number): Gpa {
  return gpaHigh < 2 ** 21 ? gpaHigh * 2 ** 32 + gpaLow : (BigInt(gpaHigh) << 32n) | BigInt(gpaLow);
}
