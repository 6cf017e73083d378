import { HIGH_HALF, LOW_HALF } from "./host.js";

/**
 * The largest 64-bit value. The type is explicit because a literal type needs ES2020 in consumers.
 */
export const MAX_U64: bigint = 0xffff_ffff_ffff_ffffn;

/** The smallest signed 64-bit value. */
export const MIN_I64: bigint = -0x8000_0000_0000_0000n;

/**
 * A guest physical address, or a count of guest bytes.
 *
 * As a `number`: an integer from 0 to 2^53 - 1. As a `bigint`: from 0 to 2^64 - 1.
 */
export type Gpa = number | bigint;

const quad = new BigUint64Array(1);
const halves = new Uint32Array(quad.buffer);

/** As `BigInt(gpa)`, for an address. V8 inlines this, and calls a builtin for `BigInt`. */
export function toBigInt(gpa: Gpa): bigint {
  if (typeof gpa === "bigint") {
    return gpa;
  }
  const low = gpa >>> 0;
  halves[LOW_HALF] = low;
  halves[HIGH_HALF] = (gpa - low) / 2 ** 32;
  return quad[0]!;
}
