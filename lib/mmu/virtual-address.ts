import { rangeError, typeError } from "../base/errors.js";
import { MAX_U64, MIN_I64 } from "../base/gpa.js";

/**
 * A guest virtual address of 64 bits.
 *
 * As a `number`: an integer from -(2^53 - 1) to 2^53 - 1, of which a negative one is an address in
 * two's complement, so that the canonical addresses of a kernel are numbers. As a `bigint`: from
 * -2^63 to 2^64 - 1.
 */
export type VirtualAddress = number | bigint;

const SIGN = 2 ** 20;

/**
 * Checks a virtual address, and returns it as a signed number, or as a signed bigint if no number
 * is exact.
 *
 * @throws TypeError if `va` is neither a number nor a bigint; RangeError if it is out of range.
 */
export function toVirtual(va: unknown): VirtualAddress {
  if (typeof va === "number") {
    if (!Number.isSafeInteger(va)) {
      throw rangeError("va must be an integer from -(2^53 - 1) to 2^53 - 1, or a bigint");
    }
    // Converts -0 to 0.
    return va + 0;
  }
  if (typeof va !== "bigint") {
    throw typeError("va must be a number or a bigint");
  }
  if (va < MIN_I64 || va > MAX_U64) {
    throw rangeError("va must be from -2^63 to 2^64 - 1");
  }
  return signed(va);
}

/** The low bits of an address that are its offset in a page. */
export function offsetIn(va: VirtualAddress, pageSize: number): number {
  return typeof va === "number" ? va & (pageSize - 1) : Number(va & BigInt(pageSize - 1));
}

/** The address `bytes` above another, modulo 2^64. */
export function virtualAt(va: VirtualAddress, bytes: number): VirtualAddress {
  if (typeof va === "number") {
    const sum = va + bytes;
    if (Number.isSafeInteger(sum)) {
      return sum;
    }
  }
  return signed(BigInt(va) + BigInt(bytes));
}

/** The address of two halves. */
export function virtualOf(low: number, high: number): VirtualAddress {
  checkHalf(low, "vaLow");
  checkHalf(high, "vaHigh");
  const upper = high | 0;
  return upper < 2 * SIGN && upper > -2 * SIGN
    ? upper * 2 ** 32 + low
    : signed((BigInt(high) << 32n) | BigInt(low));
}

function signed(va: bigint): VirtualAddress {
  const address = BigInt.asIntN(64, va);
  const number = Number(address);
  return Number.isSafeInteger(number) ? number : address;
}

function checkHalf(half: unknown, what: string): void {
  if (typeof half !== "number") {
    throw typeError(`${what} must be a number`);
  }
  if (half >>> 0 !== half) {
    throw rangeError(`${what} must be an integer from 0 to 4294967295`);
  }
}
