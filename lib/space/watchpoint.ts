import { rangeError, typeError, type Operation } from "../base/errors.js";
import { checkObject, toAddress } from "../base/arguments.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { reserveStack } from "../base/stack.js";
import { pageOf, type PageRange } from "../base/page.js";

/** What to watch. */
export interface WatchRange {
  /** First guest physical address; need not be mapped. */
  readonly gpa: Gpa;
  /** Bytes, from 1. */
  readonly length: Gpa;
  /** Which accesses: `"access"` is both, and the default. */
  readonly kinds?: Operation | "access";
}

/** An access to a watched range. */
export interface WatchedAccess {
  /** Guest physical address of the access, not of the watched range. */
  readonly gpa: bigint;
  /** Bytes of the access: 1, 2, 4 or 8, or the length of a bulk access. */
  readonly width: number;
  readonly kind: Operation;
  /**
   * What was read or is to be written; absent for a bulk access, and for the write of an atomic that
   * depends on what RAM holds.
   */
  readonly value?: number | bigint;
}

/**
 * Called for each access that touches a watched range and does not fault: after a read, and before
 * a write, so that the old bytes are still there to be looked at.
 *
 * What it throws is thrown by the access: a read has been done then, a write has not.
 */
export type WatchListener = (access: WatchedAccess) => void;

/** A watched range. Made by `AddressSpace.watch`. */
export class Watchpoint {
  /** First guest physical address. */
  readonly gpa: bigint;
  /** Bytes. */
  readonly length: bigint;
  /** Which accesses. */
  readonly kinds: Operation | "access";
  /** @internal */
  readonly listener: WatchListener;
  /** The byte behind the last. */
  readonly #end: bigint;
  // The same as numbers: rounded above 2^53, which no number that is an address is compared with.
  readonly #from: number;
  readonly #to: number;
  /** The pages that the range touches. @internal */
  readonly pages: PageRange;
  /** Tells the order in which watchpoints were added. @internal */
  readonly serial: number;
  readonly #forget: (watchpoint: Watchpoint) => void;
  #removed = false;

  /** @internal */
  constructor(
    range: WatchRange,
    listener: WatchListener,
    serial: number,
    forget: (watchpoint: Watchpoint) => void,
  ) {
    const { gpa, length, kinds = "access" } = checkObject(range, "range");
    toAddress(gpa);
    toAddress(length, "length");
    if (kinds !== "read" && kinds !== "write" && kinds !== "access") {
      throw typeError('kinds must be "read", "write" or "access"');
    }
    if (typeof listener !== "function") {
      throw typeError("listener must be a function");
    }
    this.gpa = BigInt(gpa);
    this.length = BigInt(length);
    this.kinds = kinds;
    this.listener = listener;
    this.#forget = forget;
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

  /** Ends the watching. Harmless the second time. */
  remove(): void {
    if (!this.#removed) {
      reserveStack();
      this.#removed = true;
      this.#forget(this);
    }
  }

  /** Whether an access touches a byte of the range. @internal */
  touches(gpa: Gpa, length: number): boolean {
    return typeof gpa === "number"
      ? gpa < this.#to && gpa + length > this.#from
      : gpa < this.#end && gpa + BigInt(length) > this.gpa;
  }

  /** Whether accesses of a kind are watched. @internal */
  concerns(kind: Operation): boolean {
    return this.kinds === "access" || this.kinds === kind;
  }
}
