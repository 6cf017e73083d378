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

/** One lane for each width. */
export interface AtomicLanes {
  readonly b: AtomicLane<number>;
  readonly w: AtomicLane<number>;
  readonly l: AtomicLane<number>;
  readonly q: AtomicLane<bigint>;
}

/** A typed array of numbers or of bigints. */
export interface Cells<T extends Value> {
  readonly length: number;
  [index: number]: T;
}
