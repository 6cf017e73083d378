import type { GuestAccessors } from "../base/access.js";
import type { Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { PAGE_SIZE, pageAt } from "../base/page.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import type { AccessRules } from "./access-rules.js";
import type { Backed, MemoryOfRegion } from "./backed.js";
import type { Outcome } from "./outcome.js";
import type { SpacePolicy } from "./policy.js";
import { type Reach, reaches } from "./reach.js";
import { notifyEach, type WatchTable } from "./watch-table.js";
import type { Watchpoint } from "./watchpoint.js";
import type { SpaceWidth } from "./widths.js";

/** The bytes around watched ones that accesses of one kind reach, watched pages included. */
export interface WatchedReach extends MemoryOfRegion {
  readonly reach: Reach;
  readonly region: Backed;
  /** The accessors of the memory on the native path. */
  readonly native: GuestAccessors;
}

/** The watched page of the last access of one kind, as far as it lies in a reach. */
export class WatchedPage {
  /** Guest physical addresses: the first, and the one after the last. The part may be empty. */
  low = 0;
  end = 0;
  watchpoints: readonly Watchpoint[] = [];
  found: WatchedReach | null = null;

  constructor(
    private readonly watches: WatchTable,
    private readonly kind: Operation,
  ) {}

  clear(): void {
    this.end = 0;
    this.found = null;
  }

  /** Whether an access starts in the page. */
  holds(gpa: Gpa): boolean {
    return typeof gpa === "number" && gpa >= this.low && gpa < this.end;
  }

  /** Whether all bytes of an access lie in the page, or in another of the reach. */
  reaches(gpa: Gpa, bytes: number): gpa is number {
    return (
      typeof gpa === "number" &&
      Number.isInteger(gpa) &&
      ((gpa >= this.low && gpa + bytes <= this.end) || this.#turnTo(gpa, bytes))
    );
  }

  #turnTo(gpa: number, bytes: number): boolean {
    const { found } = this;
    if (found === null || !reaches(found.reach, gpa, bytes)) {
      return false;
    }
    const { base, length } = found.reach;
    const page = pageAt(gpa);
    const watchpoints = this.watches.atPage(page, this.kind);
    if (watchpoints === null) {
      return false;
    }
    this.watchpoints = watchpoints;
    this.low = Math.max(base, page * PAGE_SIZE);
    this.end = Math.min(base + length, (page + 1) * PAGE_SIZE);
    return gpa + bytes <= this.end;
  }
}

/**
 * The accesses to watched RAM and ROM. The reach of the last watched access of each kind saves the
 * next one most checks.
 */
export class WatchedMemory {
  readonly reads: WatchedPage;
  readonly writes: WatchedPage;

  constructor(
    watches: WatchTable,
    private readonly policy: SpacePolicy,
    private readonly rules: AccessRules,
    private readonly outcome: Outcome,
  ) {
    this.reads = new WatchedPage(watches, "read");
    this.writes = new WatchedPage(watches, "write");
  }

  /** Invalidates the cached reaches. */
  clear(): void {
    this.reads.clear();
    this.writes.clear();
  }

  cache(kind: Operation, reach: WatchedReach | null): void {
    const page = kind === "read" ? this.reads : this.writes;
    page.clear();
    page.found = reach;
  }

  /**
   * Makes a read of watched RAM or ROM that lies in the reach of the last one. Undefined, and
   * nothing has happened, if it does not lie there.
   */
  read<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
  ): T | undefined {
    const page = this.reads;
    const { bytes } = kind;
    if (!page.reaches(gpa, bytes)) {
      return undefined;
    }
    const { watchpoints } = page;
    const { reach, native: access } = page.found!;
    const at = gpa - reach.base;
    const offset = reach.offset + at;
    const { policy } = this;
    let value: T;
    if (native) {
      if (kind.tryRead(access, offset, kind.scratch) !== OK) {
        return undefined;
      }
      value = kind.scratch[0] as T;
    } else {
      if ((!policy.unaligned && (offset & (bytes - 1)) !== 0) || reach.bytes.length === 0) {
        return undefined;
      }
      value = kind.width.get(reach.view, reach.from + at, policy.littleEndian);
    }
    notifyEach(watchpoints, gpa, bytes, "read", value);
    this.outcome.result = OK;
    return value;
  }

  /** As `read`, for a write. */
  write<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult | undefined {
    const page = this.writes;
    const { bytes } = kind;
    if (!page.reaches(gpa, bytes)) {
      return undefined;
    }
    const found = page.found!;
    const { reach, region } = found;
    const at = gpa - reach.base;
    const offset = reach.offset + at;
    const { policy } = this;
    if ((!policy.unaligned && (offset & (bytes - 1)) !== 0) || reach.bytes.length === 0) {
      return undefined;
    }
    notifyEach(page.watchpoints, gpa, bytes, "write", value);
    if (!native && page.found === found) {
      // No listener has changed the map or ended the memory.
      kind.width.set(reach.view, reach.from + at, value, policy.littleEndian);
      // The access lies in one page of 4096 bytes of the memory or in two.
      const { dirty } = found.internals.marks;
      if (dirty !== null) {
        dirty.markPage(Math.floor(offset / PAGE_SIZE));
        dirty.markPage(Math.floor((offset + bytes - 1) / PAGE_SIZE));
      }
      return OK;
    }
    const result = policy.store(native, kind, found, offset, value);
    return result === OK
      ? OK
      : this.rules.refuseAnnounced(result, region, native, kind, gpa, value);
  }
}
