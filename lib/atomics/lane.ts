import type { FaultReason } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { Value } from "../base/widths.js";

/**
 * The atomic operations of one width on one path. Both forms of the accessors use them.
 *
 * The caller has checked that each value fits in the width. Each operation makes the checks of the
 * guest's access. It returns the value before the operation, or for a store the stored value. After
 * a fault it returns undefined, and `code` is the result.
 */
export interface AtomicLane<T extends Value> {
  readonly bytes: 1 | 2 | 4 | 8;
  /** The result code of the last operation that faulted. */
  readonly code: GuestMemAccessResult;
  /** The reason of that fault, if `code` does not determine it. */
  readonly reason?: FaultReason;
  load(gpa: Gpa): T | undefined;
  store(gpa: Gpa, value: T): T | undefined;
  exchange(gpa: Gpa, value: T): T | undefined;
  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined;
  add(gpa: Gpa, value: T): T | undefined;
  and(gpa: Gpa, value: T): T | undefined;
  or(gpa: Gpa, value: T): T | undefined;
  xor(gpa: Gpa, value: T): T | undefined;
  /** The result that a store would have. It writes nothing and notifies no watchpoint. */
  checkStore(gpa: Gpa): GuestMemAccessResult;
}

/**
 * The 64-bit atomic operations of one path, with values as two 32-bit halves. The caller has
 * checked that each half is a number from 0 to 2^32 - 1.
 */
export interface HalvesLane {
  /**
   * Runs an operation. On `OK`, {@link found} is the value before it.
   *
   * @param operation - One of the numbers of operations.ts.
   * @param expectedLow - The low half of the value that a compare-and-exchange expects.
   * @param low - The low half of the value to store or to combine, ignored by a load.
   */
  run(
    operation: number,
    gpa: Gpa,
    expectedLow: number,
    expectedHigh: number,
    low: number,
    high: number,
  ): GuestMemAccessResult;
}

/**
 * The halves of the value that the last operation of a {@link HalvesLane} has found. Read them
 * before any other call, which may overwrite them.
 */
export const found: Uint32Array = new Uint32Array(2);

/** One lane for each width. */
export interface AtomicLanes {
  readonly b: AtomicLane<number>;
  readonly w: AtomicLane<number>;
  readonly l: AtomicLane<number>;
  readonly q: AtomicLane<bigint>;
  readonly halves: HalvesLane;
}

/** A typed array of numbers or of bigints. */
export interface Cells<T extends Value> {
  readonly length: number;
  [index: number]: T;
}
