import { rangeError, typeError } from "./errors.js";
import { MAX_U64, type Gpa } from "./gpa.js";

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * Checks an address and converts it to a number.
 *
 * No RAM is larger than 2^53 bytes, so every address of 2^53 or above is outside RAM, and its exact
 * value does not matter. Such an address becomes `Infinity`.
 *
 * @param what - The name of the argument in the error message.
 * @throws TypeError if `value` is neither a number nor a bigint.
 * @throws RangeError if `value` is negative, a bigint above 2^64 - 1, or a number that is not a
 * safe integer.
 */
export function toAddress(value: Gpa, what = "gpa"): number {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw rangeError(`${what} must be an integer from 0 to 2^53 - 1, or a bigint`);
    }
    // Converts -0 to 0, so that methods which return the address never return -0.
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
 * Checks a count of bytes.
 *
 * @throws TypeError, RangeError as {@link toAddress}; RangeError above 2^53 - 1.
 */
export function toByteCount(value: Gpa, what: string): number {
  const count = toAddress(value, what);
  if (count === Infinity) {
    throw rangeError(`${what} must be at most 2^53 - 1`);
  }
  return count;
}

/** The exact address `offset` bytes above `base`. It is a bigint if no number is exact. */
export function gpaAt(base: Gpa, offset: number): Gpa {
  const sum = typeof base === "number" ? base + offset : base + BigInt(offset);
  return Number.isSafeInteger(sum) || typeof sum === "bigint" ? sum : BigInt(base) + BigInt(offset);
}

/**
 * Checks that a region of `length` bytes at `base` ends at 2^64 or below.
 *
 * @throws TypeError, RangeError for an invalid address; RangeError if the region ends above 2^64.
 */
export function checkExtent(base: Gpa, length: number): void {
  toAddress(base);
  if (BigInt(base) + BigInt(length) > MAX_U64 + 1n) {
    throw rangeError("the region must end at 2^64 or below");
  }
}

/**
 * Checks that an argument is an object, such as an options object.
 *
 * @param what - The name of the argument in the error message.
 * @throws TypeError if `value` is not an object, or is a revoked proxy.
 */
export function checkObject<T>(value: T, what: string): T & object {
  if (typeof value !== "object" || value === null || isRevoked(value)) {
    throw typeError(`${what} must be an object`);
  }
  return value;
}

/** Whether an object is a revoked proxy, of which every use throws. */
function isRevoked(value: object): boolean {
  try {
    Reflect.getPrototypeOf(value);
    return false;
  } catch {
    return true;
  }
}

/** As `instanceof`, but false for a revoked proxy, for which `instanceof` throws. */
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
 * Checks options that are booleans.
 *
 * @param values - The options by their names.
 * @throws TypeError if one is not a boolean.
 */
export function checkBooleans(values: Readonly<Record<string, unknown>>): void {
  for (const [name, value] of Object.entries(values)) {
    if (typeof value !== "boolean") {
      throw typeError(`${name} must be a boolean`);
    }
  }
}

/**
 * Checks that an argument is a function.
 *
 * @param what - The name of the argument in the error message.
 * @throws TypeError if `value` is not a function.
 */
export function checkFunction<T>(value: T, what: string): T {
  if (typeof value !== "function") {
    throw typeError(`${what} must be a function`);
  }
  return value;
}
