import { rangeError, typeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { PAGE_SIZE } from "../base/page.js";
import { reserveStack } from "../native/stack.js";
import type { GuestMemoryInternals } from "../memory/guest-memory.js";
import { type MemoryMarks, type MemoryUser, MemoryWindows } from "../memory/marks.js";
import type { TrackingChoice } from "../memory/tracking.js";
import { AccessRules } from "./access-rules.js";
import type { Backed } from "./backed.js";
import type { CodeGuard, CodeWriteListener } from "./code-guard.js";
import { SpaceGuards } from "./guards.js";
import { RegionLookup } from "./lookup.js";
import type { SpaceSettings } from "./options.js";
import { Outcome } from "./outcome.js";
import { type FastPaths, PageHome } from "./page-home.js";
import { Pieces } from "./pieces.js";
import { SpacePolicy } from "./policy.js";
import { Reaches } from "./reaches.js";
import { RegionMap } from "./region-map.js";
import { isRegion, type Region } from "./regions.js";
import { WatchTable } from "./watch-table.js";
import { WatchedMemory } from "./watched-memory.js";
import {
  type AccessRecorder,
  type WatchListener,
  Watchpoint,
  type WatchRange,
} from "./watchpoint.js";

/** The parts of an address space that depend on its bus. */
export interface BusUser extends FastPaths {
  /** Invalidates the caches of both paths. Called before each change. */
  readonly invalidate: () => void;
  /** Called when a copy of the map that a program keeps is no longer valid. */
  readonly mapChanged: () => void;
}

/**
 * The state that both paths of an address space share, and its changes: the map, the watchpoints,
 * the code guards and the page table.
 *
 * A change of the map or of the watchpoints first invalidates all caches, and the page table in the
 * range that changes, and then takes effect in steps that cannot fail. If the change throws earlier
 * (the stack may be full), both paths still see the old map. Accesses fill the caches and the table
 * again when they need them. Therefore the cost of a change grows with the pages that it affects,
 * not with the numbers of regions and watchpoints.
 */
export class Bus implements MemoryUser {
  readonly lookup: RegionLookup;
  readonly watches = new WatchTable();
  readonly policy: SpacePolicy;
  readonly outcome: Outcome;
  readonly rules: AccessRules;
  readonly watched: WatchedMemory;
  readonly reaches: Reaches;
  readonly pieces: Pieces;
  readonly #map = new RegionMap();
  /** The page table and the home buffer. */
  readonly home: PageHome;
  readonly #guards: SpaceGuards;
  readonly #windows = new MemoryWindows<Backed>(this);
  readonly #user: BusUser;
  readonly #pageSize: number;
  #watchpointsMade = 0;

  /**
   * @param arena - The memory that most windows show a part of; null if there is no arena. The
   * memory with the largest region is the home buffer then.
   */
  constructor(settings: SpaceSettings, arena: GuestMemoryInternals | null, user: BusUser) {
    const { watches } = this;
    const { onFault, holes, pageSize } = settings;
    const policy = (this.policy = new SpacePolicy(settings.policy));
    this.home = new PageHome(this.#map, pageSize, policy, user, arena);
    const lookup = (this.lookup = new RegionLookup(this.#map, this.home));
    this.#guards = new SpaceGuards(lookup);
    this.outcome = new Outcome(onFault);
    this.rules = new AccessRules(lookup, watches, policy, this.outcome, holes);
    this.watched = new WatchedMemory(watches, policy, this.rules, this.outcome);
    this.reaches = new Reaches(lookup, watches, policy, this.watched, this.home);
    this.pieces = new Pieces(lookup, this.rules, this.outcome);
    this.#user = user;
    this.#pageSize = pageSize;
  }

  /** The mapped regions, sorted by address. Not a copy. */
  get regions(): readonly Region[] {
    return this.#map.regions;
  }

  /**
   * @param tracking - The new tracking of the region's memory; null keeps the present one, if any.
   * @param lazily - Whether the first access, instead of this call, makes the home buffer.
   * @throws RangeError if the region overlaps another of the same priority. Nothing changes then.
   */
  add(region: Region, tracking: TrackingChoice | null = null, lazily = false): void {
    this.#map.checkAdd(region);
    if (this.#guards.active) {
      this.#guards.call(region, (visible) => (visible?.priority ?? -Infinity) < region.priority);
      // A listener may have changed the map.
      this.#map.checkAdd(region);
    }
    const next = this.home.ifLarger(region, lazily);
    reserveStack();
    this.#invalidateRange(region);
    if (region.kind === "ram" && tracking !== null) {
      region.internals.marks.set(tracking);
    }
    if (region.kind !== "mmio") {
      this.#windows.add(region.internals.marks, region);
      region.user = this;
    }
    this.#map.add(region);
    if (next !== null) {
      this.home.settle(next);
    }
  }

  /** @throws TypeError; RangeError if the region is not mapped here. */
  remove(region: Region): void {
    if (!isRegion(region)) {
      throw typeError("region must be a region of the address space");
    }
    this.#checkMapped(region);
    if (this.#guards.active) {
      this.#guards.call(region, (visible) => visible === region);
      // A listener may have changed the map.
      this.#checkMapped(region);
    }
    const leavesHome = this.home.isIn(region);
    const next = leavesHome ? this.home.largest(region) : null;
    reserveStack();
    this.#invalidateRange(region);
    this.#map.remove(region);
    if (leavesHome) {
      this.home.settle(next);
    }
    if (region.kind !== "mmio") {
      region.user = null;
      this.#windows.remove(region.internals.marks, region);
    }
  }

  #checkMapped(region: Region): void {
    if (!this.#map.has(region)) {
      throw rangeError("region is not mapped in this address space");
    }
  }

  beforeSelect(region: Backed): void {
    if (this.#guards.active) {
      this.#guards.call(region, (visible) => visible === region);
    }
  }

  selecting(region: Backed, next: GuestMemoryInternals): void {
    if (next !== region.internals) {
      this.#windows.add(next.marks, region);
    }
    this.#invalidateCaches();
    this.home.close(region.start, region.start + region.length);
  }

  selected(region: Backed, before: GuestMemoryInternals): void {
    if (before !== region.internals) {
      this.#windows.remove(before.marks, region);
    }
    // Most banks are fully visible and not watched: their pages open at once.
    const segment = this.#map.near(region.start);
    if (!this.watches.active && segment?.region === region && segment.length === region.length) {
      this.home.openAll(region);
    }
  }

  /** As {@link AddressSpace.watch}. */
  watch(range: WatchRange, listener: WatchListener | AccessRecorder): Watchpoint {
    const serial = this.#watchpointsMade;
    const watchpoint = new Watchpoint(range, listener, serial, (removed) => {
      // The entries of the page table stay clear until the next access to the page.
      this.#invalidateCaches();
      this.watches.remove(removed);
    });
    reserveStack();
    this.#invalidateCaches();
    this.#watchpointsMade++;
    this.watches.add(watchpoint);
    const { first, last } = watchpoint.pages;
    for (const kind of ["read", "write"] as const) {
      if (watchpoint.concerns(kind)) {
        this.home.close(first * PAGE_SIZE, (last + 1) * PAGE_SIZE, kind);
      }
    }
    return watchpoint;
  }

  /** As {@link AddressSpace.guardCode}. */
  guardCode(gpa: Gpa, length: Gpa, listener: CodeWriteListener): CodeGuard {
    const guard = this.#guards.make(gpa, length, this.#pageSize, listener, (marks, offset, end) => {
      // If an error ends the loop, only caches are lost.
      marks.notifyGuarding(this, offset, end);
      this.#closeWrites(marks, offset, end);
    });
    this.#invalidateReaches();
    guard.arm();
    return guard;
  }

  memoryGuarding(marks: MemoryMarks, offset: number, end: number): void {
    this.#invalidateReaches();
    this.#closeWrites(marks, offset, end);
  }

  memoryChanging(marks: MemoryMarks): void {
    this.#invalidateCaches();
    for (const { start, length } of this.#windows.of(marks)) {
      this.home.close(start, start + length);
    }
  }

  #closeWrites(marks: MemoryMarks, offset: number, end: number): void {
    for (const window of this.#windows.of(marks)) {
      this.home.closeWrites(window, offset, end);
    }
  }

  /** Invalidates all caches, and the page table where a region is added or removed. */
  #invalidateRange(region: Region): void {
    this.#invalidateCaches();
    // An empty range has no entries. To clear them would make the pages of the table resident.
    if (this.#map.segmentsIn(region.gpa, region.gpa + region.size).length > 0) {
      this.home.close(region.start, region.start + region.length);
    }
  }

  #invalidateCaches(): void {
    this.lookup.clear();
    this.#user.mapChanged();
    this.#invalidateReaches();
  }

  #invalidateReaches(): void {
    this.reaches.clear();
    this.#user.invalidate();
  }
}
