import type { Operation } from "../base/errors.js";
import { toBigInt, type Gpa } from "../base/gpa.js";
import { pageAt } from "../base/page.js";
import type { Value } from "../base/widths.js";
import { WatchIndex } from "./watch-index.js";
import type { WatchedAccess, Watchpoint } from "./watchpoint.js";

/**
 * The watchpoints of an address space. Adding and removing one takes constant time. The indexes
 * that accesses query are built by the first access after a change.
 */
export class WatchTable {
  readonly #watchpoints = new Set<Watchpoint>();
  /** Those of the last sort, by first page and then in the order in which they were added. */
  #sorted: readonly Watchpoint[] = [];
  /** Those added since the last sort. */
  #added = new Set<Watchpoint>();
  #read: WatchIndex | null = null;
  #write: WatchIndex | null = null;

  /** Whether there are watchpoints. */
  active = false;

  /** The caller must have called `reserveStack`. */
  add(watchpoint: Watchpoint): void {
    this.#read = null;
    this.#write = null;
    this.#added.add(watchpoint);
    this.#watchpoints.add(watchpoint);
    this.active = true;
  }

  /** The caller must have called `reserveStack`. */
  remove(watchpoint: Watchpoint): void {
    this.#read = null;
    this.#write = null;
    this.#added.delete(watchpoint);
    this.#watchpoints.delete(watchpoint);
    this.active = this.#watchpoints.size !== 0;
  }

  /** The index for one kind of access. */
  index(kind: Operation): WatchIndex {
    return kind === "read"
      ? (this.#read ??= this.#indexOf(kind))
      : (this.#write ??= this.#indexOf(kind));
  }

  /** Whether the page of a byte has a watchpoint for this kind of access. */
  covers(gpa: Gpa, kind: Operation): boolean {
    return this.active && this.index(kind).covers(pageAt(gpa));
  }

  /** The watchpoints of a kind of access that touch a page; null if there are none. */
  atPage(page: number, kind: Operation): readonly Watchpoint[] | null {
    if (!this.active) {
      return null;
    }
    const index = this.index(kind);
    return index.covers(page) ? index.atPage(page) : null;
  }

  /** Calls the listeners whose ranges an access touches, in the order they were added. */
  notify(gpa: Gpa, width: number, kind: Operation, value?: Value): void {
    if (!this.active) {
      return;
    }
    const watchpoints = this.atPage(pageAt(gpa), kind);
    if (watchpoints !== null) {
      notifyEach(watchpoints, gpa, width, kind, value);
    }
  }

  /** As `notify`, for an access of any length: calls each listener once. */
  notifyRange(gpa: Gpa, length: number, kind: Operation, value?: Value): void {
    if (this.active && length !== 0) {
      notifyEach(this.index(kind).touching(toBigInt(gpa), length), gpa, length, kind, value);
    }
  }

  #indexOf(kind: Operation): WatchIndex {
    if (this.#added.size !== 0 || this.#sorted.length !== this.#watchpoints.size) {
      const kept = this.#sorted.filter((watchpoint) => this.#watchpoints.has(watchpoint));
      // The sort of two sorted runs takes linear time.
      this.#sorted = [...kept, ...this.#added].sort(
        (a, b) => a.pages.first - b.pages.first || a.serial - b.serial,
      );
      this.#added = new Set();
    }
    return new WatchIndex(this.#sorted.filter((watchpoint) => watchpoint.concerns(kind)));
  }
}

/** Calls the listeners of the watchpoints that an access touches. */
export function notifyEach(
  watchpoints: readonly Watchpoint[],
  gpa: Gpa,
  width: number,
  kind: Operation,
  value: Value | undefined,
): void {
  // Created only if a listener is called.
  let access: WatchedAccess | undefined;
  for (let i = 0; i < watchpoints.length; i++) {
    const watchpoint = watchpoints[i]!;
    // An earlier listener may have removed this watchpoint.
    if (watchpoint.touches(gpa, width) && !watchpoint.removed) {
      const { listener } = watchpoint;
      if (typeof listener === "object") {
        listener.record(gpa, width, kind, value);
      } else {
        access ??= describe(gpa, width, kind, value);
        listener(access);
      }
    }
  }
}

function describe(gpa: Gpa, width: number, kind: Operation, value?: Value): WatchedAccess {
  const start = toBigInt(gpa);
  return value === undefined ? { gpa: start, width, kind } : { gpa: start, width, kind, value };
}
