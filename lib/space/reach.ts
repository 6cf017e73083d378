import type { Gpa } from "../base/gpa.js";

/**
 * The bytes around an address which accesses of one kind reach without a further check: they lie in
 * one window of one memory, the same region is visible at all of them, and none of their pages is
 * watched or guarded.
 */
export interface Reach {
  /** Guest physical address of the first byte: at most 2^53 - 1. */
  readonly base: number;
  /** Bytes, at most 2^32. */
  readonly length: number;
  /** The window of the memory. Its length becomes 0 when its buffer is detached. */
  readonly bytes: Uint8Array;
  /** All bytes of the window. */
  readonly view: DataView;
  /** The offset of the first byte in `view`. */
  readonly from: number;
  /** The offset of the first byte in the memory. */
  readonly offset: number;
}

/** Whether all bytes of an access lie in a reach. */
export function reaches({ base, length }: Reach, gpa: Gpa, bytes: number): gpa is number {
  return typeof gpa === "number" && gpa >= base && gpa - base + bytes <= length;
}
