import { rangeError, typeError } from "./errors.js";

/** Largest 64-bit value. Of a type that has no bigint in it, which takes a target of ES2020. */
export const MAX_U64: bigint = 0xffff_ffff_ffff_ffffn;
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * A guest physical address, or a count of guest bytes.
 *
 * As a `number`: an integer from 0 to 2^53 - 1. As a `bigint`: from 0 to 2^64 - 1.
 */
export type Gpa = number | bigint;

/**
 * Checks an address and gives it as a number.
 *
 * No RAM is larger than 2^53 bytes, so an address above that is outside every RAM and its exact
 * value no longer matters: it becomes `Infinity`.
 *
 * @param what - Names the argument in the error.
 * @throws TypeError where it is neither a number nor a bigint.
 * @throws RangeError where it is no integer, negative, an unsafe number, or above 2^64 - 1.
 */
export function toAddress(value: Gpa, what = "gpa"): number {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw rangeError(`${what} must be an integer from 0 to 2^53 - 1, or a bigint`);
    }
    // Minus zero turns into zero, lest a method that gives the address back gives it.
    return value + 0;
  }
  if (typeof value !== "bigint") {
    throw typeError(`${what} must be a number or a bigint`);
  }
  if (value < 0n || value > MAX_U64) {
    throw rangeError(`${what} must be from 0 to 2^64 - 1`);
  }
  return value <= MAX_SAFE ? Number(value) : Infinity;
}

/**
 * Checks a count of bytes that memory is to be made for or moved by.
 *
 * @throws as {@link toAddress}, and a RangeError above 2^53 - 1.
 */
export function toByteCount(value: Gpa, what: string): number {
  const count = toAddress(value, what);
  if (count === Infinity) {
    throw rangeError(`${what} must be at most 2^53 - 1`);
  }
  return count;
}
