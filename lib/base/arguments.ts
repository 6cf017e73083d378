import { rangeError, typeError } from "./errors.js";
import { MAX_U64, type Gpa } from "./gpa.js";

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

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

/** The address `offset` bytes above `base`, exactly. */
export function gpaAt(base: Gpa, offset: number): Gpa {
  const sum = typeof base === "number" ? base + offset : base + BigInt(offset);
  return Number.isSafeInteger(sum) || typeof sum === "bigint" ? sum : BigInt(base) + BigInt(offset);
}

/**
 * Checks that `length` bytes from `base` have an address each.
 *
 * @throws TypeError, RangeError for an invalid address, or one that ends above 2^64.
 */
export function checkExtent(base: Gpa, length: number): void {
  toAddress(base);
  if (BigInt(base) + BigInt(length) > MAX_U64 + 1n) {
    throw rangeError("the region must end at 2^64 or below");
  }
}

/**
 * An argument that must be an object, such as one of options.
 *
 * @param what - Names it in the error.
 * @throws TypeError where it is none.
 */
export function checkObject<T>(value: T, what: string): T & object {
  if (typeof value !== "object" || value === null || isRevoked(value)) {
    throw typeError(`${what} must be an object`);
  }
  return value;
}

/** Whether every use of an object throws, as of a proxy that was revoked. */
function isRevoked(value: object): boolean {
  try {
    Reflect.getPrototypeOf(value);
    return false;
  } catch {
    return true;
  }
}

/** `instanceof`, which is false and does not throw of a proxy that was revoked. */
export function isInstance<T>(
  value: unknown,
  type: abstract new (...args: never) => T,
): value is T {
  try {
    return value instanceof type;
  } catch {
    return false;
  }
}

/**
 * An argument that must be a function.
 *
 * @param what - Names it in the error.
 * @throws TypeError where it is none.
 */
export function checkFunction<T>(value: T, what: string): T {
  if (typeof value !== "function") {
    throw typeError(`${what} must be a function`);
  }
  return value;
}
