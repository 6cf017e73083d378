import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { Value } from "../base/widths.js";

/**
 * The atomic operations of one width on one path, as steps of the two forms.
 *
 * Values are such as the width holds. Each operation makes the checks of the guest's access and
 * gives the value that RAM held before it, or for a store the value stored. Where it faulted, it
 * gives undefined, and `code` is why.
 */
export interface AtomicLane<T extends Value> {
  readonly bytes: 1 | 2 | 4 | 8;
  /** The result of the last operation that faulted. */
  readonly code: GuestMemAccessResult;
  load(gpa: Gpa): T | undefined;
  store(gpa: Gpa, value: T): T | undefined;
  exchange(gpa: Gpa, value: T): T | undefined;
  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined;
  add(gpa: Gpa, value: T): T | undefined;
  and(gpa: Gpa, value: T): T | undefined;
  or(gpa: Gpa, value: T): T | undefined;
  xor(gpa: Gpa, value: T): T | undefined;
  /** The result that a store would have, which is not made and of which nobody is told. */
  checkStore(gpa: Gpa): GuestMemAccessResult;
}

/** One lane for each width. */
export interface AtomicLanes {
  readonly b: AtomicLane<number>;
  readonly w: AtomicLane<number>;
  readonly l: AtomicLane<number>;
  readonly q: AtomicLane<bigint>;
}

/** A typed array of either kind of element. */
export interface Cells<T extends Value> {
  readonly length: number;
  [index: number]: T;
}
