/** Largest 64-bit value. Of a type that has no bigint in it, which takes a target of ES2020. */
export const MAX_U64: bigint = 0xffff_ffff_ffff_ffffn;

/**
 * A guest physical address, or a count of guest bytes.
 *
 * As a `number`: an integer from 0 to 2^53 - 1. As a `bigint`: from 0 to 2^64 - 1.
 */
export type Gpa = number | bigint;
