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
