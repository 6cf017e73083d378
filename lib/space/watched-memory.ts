import type { GuestAccessors } from "../base/access.js";
import type { Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { crossesPage, PAGE_SIZE, pageAt } from "../base/page.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import type { AccessRules } from "./access-rules.js";
import type { Backed, MemoryOfRegion } from "./backed.js";
import type { Outcome } from "./outcome.js";
import type { SpacePolicy } from "./policy.js";
import { type Reach, reaches } from "./reach.js";
import { notifyEach, type WatchTable } from "./watch-table.js";
import type { SpaceWidth } from "./widths.js";

/** The bytes around watched ones that accesses of one kind reach, watched pages included. */
export interface WatchedReach extends MemoryOfRegion {
  readonly reach: Reach;
  readonly region: Backed;
  /** The accessors of the memory on the view path. */
  readonly view: GuestAccessors;
  readonly native: GuestAccessors;
}

/**
 * The accesses to watched RAM and ROM. The reach of the last watched access of each kind saves the
 * next one most checks.
 */
export class WatchedMemory {
  #read: WatchedReach | null = null;
  #write: WatchedReach | null = null;

  constructor(
    private readonly watches: WatchTable,
    private readonly policy: SpacePolicy,
    private readonly rules: AccessRules,
    private readonly outcome: Outcome,
  ) {}

  /** Invalidates the cached reaches. */
  clear(): void {
    this.#read = null;
    this.#write = null;
  }

  cache(kind: Operation, reach: WatchedReach | null): void {
    if (kind === "read") {
      this.#read = reach;
    } else {
      this.#write = reach;
    }
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
    const found = this.#read;
    if (found === null || !reaches(found.reach, gpa, kind.bytes)) {
      return undefined;
    }
    const watchpoints = this.watches.atPage(pageAt(gpa), "read");
    const offset = found.reach.offset + (gpa - found.reach.base);
    if (
      watchpoints === null ||
      (this.policy.unaligned && crossesPage(gpa, kind.bytes)) ||
      kind.tryRead(native ? found.native : found.view, offset, kind.scratch) !== OK
    ) {
      return undefined;
    }
    const value = kind.scratch[0] as T;
    notifyEach(watchpoints, gpa, kind.bytes, "read", value);
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
    const found = this.#write;
    const { bytes } = kind;
    if (found === null || !reaches(found.reach, gpa, bytes)) {
      return undefined;
    }
    const watchpoints = this.watches.atPage(pageAt(gpa), "write");
    const { reach, region } = found;
    const offset = reach.offset + (gpa - reach.base);
    const { policy } = this;
    const isSlow = policy.unaligned ? crossesPage(gpa, bytes) : (offset & (bytes - 1)) !== 0;
    if (isSlow || watchpoints === null || reach.bytes.length === 0) {
      return undefined;
    }
    notifyEach(watchpoints, gpa, bytes, "write", value);
    if (!native && this.#write === found) {
      // No listener has changed the map or ended the memory.
      kind.width.set(reach.view, reach.from + (gpa - reach.base), value, policy.littleEndian);
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
