import { checkObject, toAddress, toByteCount } from "./arguments.js";
import { rangeError, typeError } from "./errors.js";
import type { Gpa } from "./gpa.js";

/** A range of guest physical addresses, for scatter-gather access. */
export interface GuestRange {
  /** The first address. */
  readonly gpa: Gpa;
  /** Bytes, from 0 to 2^53 - 1. */
  readonly length: Gpa;
}

/** Ranges whose properties were read once and checked. */
export interface RangeList {
  readonly gpas: readonly Gpa[];
  readonly lengths: readonly number[];
}

/**
 * Reads and checks ranges. A getter of a range may run code of the caller, so call it before
 * anything else is checked.
 *
 * @throws TypeError if `ranges` is not an array of objects, or for an address or a length of
 * another type; RangeError for one out of range.
 */
export function toRanges(ranges: readonly GuestRange[]): RangeList {
  if (!isArray(ranges)) {
    throw typeError("ranges must be an array");
  }
  const gpas: Gpa[] = [];
  const lengths: number[] = [];
  for (let i = 0; i < ranges.length; i++) {
    const { gpa, length } = propertiesOf(ranges[i]);
    toAddress(gpa);
    gpas.push(gpa);
    lengths.push(toByteCount(length, "length"));
  }
  return { gpas, lengths };
}

/** @throws TypeError if `range` is not an object; what its getters throw. */
function propertiesOf(range: GuestRange | undefined): GuestRange {
  try {
    const { gpa, length } = range!;
    return { gpa, length };
  } catch (error) {
    checkObject(range, "each range");
    throw error;
  }
}

/** As `Array.isArray`, but false for a revoked proxy, for which `isArray` throws. */
function isArray(value: unknown): boolean {
  try {
    return Array.isArray(value);
  } catch {
    return false;
  }
}

/**
 * Checks that ranges have as many bytes as the view that they are copied to or from.
 *
 * @param what - The name of the view in the error message.
 * @throws RangeError if they have more or less.
 */
export function checkTotal({ lengths }: RangeList, bytes: Uint8Array, what: string): void {
  let total = 0;
  for (const length of lengths) {
    total += length;
  }
  if (total !== bytes.length) {
    throw rangeError(`${what} must have as many bytes as the ranges: ${total}`);
  }
}
