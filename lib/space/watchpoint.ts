import { rangeError, typeError, type Operation } from "../base/errors.js";
import { checkObject, toAddress } from "../base/arguments.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { reserveStack } from "../native/stack.js";
import { pageOf, type PageRange } from "../base/page.js";
import type { Value } from "../base/widths.js";

/** The range and the kinds of access to watch. */
export interface WatchRange {
  /** First guest physical address. It need not be mapped. */
  readonly gpa: Gpa;
  /** Length in bytes, at least 1. */
  readonly length: Gpa;
  /** The kinds of access to watch. `"access"`, the default, is both reads and writes. */
  readonly kinds?: Operation | "access";
}

/** An access to a watched range. */
export interface WatchedAccess {
  /** First guest physical address of the access, which may lie outside the watched range. */
  readonly gpa: bigint;
  /** Bytes of the access: 1, 2, 4 or 8, or the length of a bulk access. */
  readonly width: number;
  readonly kind: Operation;
  /**
   * The value that was read or will be written. Absent for bulk accesses, and for the write of an
   * atomic operation whose new value depends on the old one.
   */
  readonly value?: number | bigint;
}

/**
 * Called for each access that touches a watched range and does not fault: after a read, and before
 * a write, while RAM still holds the old bytes.
 *
 * If the listener throws, the access throws the same error. A read has taken place by then,
 * including the effects of a device's handler; a write has not.
 */
export type WatchListener = (access: WatchedAccess) => void;

/** As {@link WatchListener}, without an object for each access. */
export interface AccessRecorder {
  record(gpa: Gpa, width: number, kind: Operation, value: Value | undefined): void;
}

/**
 * A watchpoint: a watched range with its listener. Made by {@link AddressSpace.watch}.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 *
 * const space = new AddressSpace();
 * space.addRam(0, 4096);
 * // A one-shot watchpoint: the listener removes it at the first read.
 * const watchpoint = space.watch({ gpa: 0, length: 8, kinds: "read" }, ({ gpa }) => {
 *   console.log("first read at", gpa);
 *   watchpoint.remove();
 * });
 * space.readb(2); // first read at 2n
 * space.readb(3);
 * console.log(watchpoint.removed); // true
 * ```
 */
export class Watchpoint {
  /** First guest physical address of the range. */
  readonly gpa: bigint;
  /** Length of the range in bytes. */
  readonly length: bigint;
  /** The kinds of access that are watched. */
  readonly kinds: Operation | "access";
  /** @internal */
  readonly listener: WatchListener | AccessRecorder;
  /** The address after the last byte. */
  readonly #end: bigint;
  // `gpa` and `#end` as numbers, rounded above 2^53.
  readonly #from: number;
  readonly #to: number;
  /** The pages that the range touches. @internal */
  readonly pages: PageRange;
  /** Watchpoints are numbered in the order in which they are added. @internal */
  readonly serial: number;
  readonly #unregister: (watchpoint: Watchpoint) => void;
  #removed = false;

  /** @internal */
  constructor(
    range: WatchRange,
    listener: WatchListener | AccessRecorder,
    serial: number,
    unregister: (watchpoint: Watchpoint) => void,
  ) {
    const { gpa, length, kinds = "access" } = checkObject(range, "range");
    toAddress(gpa);
    toAddress(length, "length");
    if (kinds !== "read" && kinds !== "write" && kinds !== "access") {
      throw typeError('kinds must be "read", "write" or "access"');
    }
    this.gpa = BigInt(gpa);
    this.length = BigInt(length);
    this.kinds = kinds;
    this.listener = listener;
    this.#unregister = unregister;
    this.serial = serial;
    this.#end = this.gpa + this.length;
    this.#from = Number(this.gpa);
    this.#to = Number(this.#end);
    if (this.length === 0n || this.#end > MAX_U64 + 1n) {
      throw rangeError("a watched range must have at least 1 byte and end at 2^64 or below");
    }
    this.pages = { first: pageOf(this.gpa), last: pageOf(this.#end - 1n) };
  }

  /** Whether {@link Watchpoint.remove} has been called. */
  get removed(): boolean {
    return this.#removed;
  }

  /**
   * Removes the watchpoint. A second call has no effect.
   *
   * @throws RangeError if there are less than 64 KiB of free stack. Nothing changes then.
   */
  remove(): void {
    if (!this.#removed) {
      reserveStack();
      this.#removed = true;
      this.#unregister(this);
    }
  }

  /** Whether an access touches a byte of the range. @internal */
  touches(gpa: Gpa, length: number): boolean {
    // An access at a number address may end above 2^53.
    return typeof gpa === "number" && gpa + length <= Number.MAX_SAFE_INTEGER
      ? gpa < this.#to && gpa + length > this.#from
      : gpa < this.#end && BigInt(gpa) + BigInt(length) > this.gpa;
  }

  /** Whether accesses of a kind are watched. @internal */
  concerns(kind: Operation): boolean {
    return this.kinds === "access" || this.kinds === kind;
  }
}
