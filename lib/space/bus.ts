import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { gpaAt, toAddress } from "../base/arguments.js";
import {
  type FaultReason,
  type Operation,
  rangeError,
  reasonOfResult,
  typeError,
} from "../base/errors.js";
import type { GuestAccessors } from "../base/access.js";
import { MAX_U64, toBigInt, type Gpa } from "../base/gpa.js";
import { type AccessPolicy, policyNumber } from "../base/policy.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Handle } from "../native/addon.js";
import type { GuestMemory, GuestMemoryInternals } from "../memory/guest-memory.js";
import { MemoryLinks, type MemoryMarks, type MemoryUser } from "../memory/marks.js";
import { PAGE_SIZE, pageAt, pageOf } from "../base/page.js";
import { PageIndex } from "../base/page-index.js";
import { EMPTY_WINDOW, WINDOW_SIZE } from "../memory/windows.js";
import { CodeGuard, type CodeWriteListener, GuardPart } from "./code-guard.js";
import { callHandler, checkReturned, type Handlers } from "./device.js";
import { type AnyHandler, BUS_ERROR } from "./mmio.js";
import type { AccessFault, SpaceSettings } from "./options.js";
import { MAX_END, PageTable } from "./page-table.js";
import { type Reach, reaches } from "./reach.js";
import { RegionMap, type Segment } from "./region-map.js";
import { SplitAccess } from "./split-access.js";
import {
  isRegion,
  type MmioRegion,
  type RamRegion,
  type Region,
  type RomRegion,
} from "./regions.js";
import type { SpaceWidth } from "./widths.js";
import { reserveStack } from "../base/stack.js";
import {
  type WatchedAccess,
  type WatchListener,
  Watchpoint,
  type WatchRange,
} from "./watchpoint.js";
import { WatchTable } from "./watch-table.js";
import type { Out, Value } from "../base/widths.js";

export type { Reach };

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY } = GuestMemAccessResult;

/** The part of a bulk access that lies in one memory. */
export interface Piece {
  readonly memory: GuestMemory;
  readonly internals: GuestMemoryInternals;
  /** Offset in bytes from the start of the memory. */
  readonly offset: number;
  readonly length: number;
}

/** The bytes around watched ones that accesses of one kind reach, watched pages included. */
interface WatchedReach {
  readonly reach: Reach;
  readonly region: RamRegion | RomRegion;
  readonly memory: GuestMemory;
  readonly internals: GuestMemoryInternals;
  /** The accessors of the memory on the view path. */
  readonly view: GuestAccessors;
  readonly native: GuestAccessors;
}

/** Registers of a device below 4 GiB, none of whose pages is watched for accesses of one kind. */
export interface Registers {
  /** Guest physical address of the first byte, as a signed 32-bit integer. */
  readonly low: number;
  /** Bytes, less than 2^31. */
  readonly length: number;
  /** Bytes from the start of the region to the first byte. `offset + length` is less than 2^31. */
  readonly offset: number;
  readonly region: MmioRegion;
  readonly device: unknown;
  readonly handlers: Handlers;
}

/**
 * The state that both paths of an address space share: the map, the watchpoints, the page table and
 * the rules for the result of an access.
 *
 * Device handlers and listeners may change the bus. An access therefore copies the fields `offset`
 * and `room` to local variables before it calls one.
 *
 * A change of the map or of the watchpoints first invalidates all caches, and the page table in the
 * range that changes, and then takes effect in steps that cannot fail. If the change throws earlier
 * (the stack may be full), both paths still see the old map. Accesses fill the caches and the table
 * again when they need them. Therefore the cost of a change grows with the pages that it affects,
 * not with the numbers of regions and watchpoints.
 */
export class Bus implements MemoryUser {
  readonly #map = new RegionMap();
  /** Whether there are watchpoints. */
  watched = false;
  readonly watches = new WatchTable();
  // The reach of the last watched access of each kind, which saves the next one most checks.
  #watchedRead: WatchedReach | null = null;
  #watchedWrite: WatchedReach | null = null;
  /** The armed guards of translated code. */
  readonly #guards = new PageIndex<CodeGuard>();
  /** Incremented when the reach of accesses changes. */
  #version = 0;
  /** The segment found before `#hit`: accesses often alternate between two regions. */
  #previous: Segment | null = null;
  /** The segment that `find` found last. `find` tries it first. */
  #hit: Segment | null = null;
  /**
   * The place of the address that `find` looked up last: the offset in the memory of the region, or
   * from the start of a device.
   */
  offset = 0;
  /** The bytes from that address to the end of the adjacent bytes of the region. */
  room = 0;
  /** The bytes from the start of the adjacent bytes of the region to that address. */
  #before = 0;
  /** The address that `find` looked up last; Infinity if it exceeds 2^53 - 1. */
  #address = 0;
  /** The result of the last `read`, and of every access that has faulted. */
  result: GuestMemAccessResult = OK;
  /** The reason of the fault that `result` describes. */
  reason: FaultReason = "hole";
  /** The last fault that was returned or thrown; null before the first. */
  lastFault: AccessFault | null = null;
  /** Whether the write that has just faulted had notified watchpoints. */
  #announced = false;
  /** Whether the listener of faults is running. */
  #isListening = false;
  readonly #options: SpaceSettings;
  readonly policy: Readonly<Required<AccessPolicy>>;
  /** Whether `policy` is not the default, which the accessors of a memory have. */
  readonly #hasPolicy: boolean;
  readonly #littleEndian: boolean;
  /** Makes the accesses that no region serves as a whole; null if they fault. */
  readonly #split: SplitAccess | null;

  /** The page table; null until the first access. */
  table: PageTable | null = null;
  #homeHandle: Handle | null = null;
  /** The bytes that the fast paths access through the page table; null until there is RAM. */
  #home: DataView | null = null;
  /** The region whose memory is the home buffer; null if the space was made with an arena. */
  #homeRegion: RamRegion | null = null;
  readonly #hasArena: boolean;

  #watchpointsMade = 0;
  readonly #links = new MemoryLinks(this);
  readonly #invalidate: () => void;
  readonly #moveHome: (home: DataView) => void;
  readonly #moveTable: (table: PageTable) => void;
  readonly #mapChanged: () => void;

  /**
   * @param arena - The memory that most windows show a part of; null if there is no arena. The memory
   * with the largest region is the home buffer then.
   * @param invalidate - Invalidates the caches of both paths. Called before each change.
   * @param mapChanged - Called when a copy of the map that a program keeps is no longer valid.
   * @param moveHome - Called when the fast paths must access another home buffer.
   * @param moveTable - Called when the fast paths must use another page table.
   */
  constructor(
    options: SpaceSettings,
    arena: GuestMemoryInternals | null,
    invalidate: () => void,
    mapChanged: () => void,
    moveHome: (home: DataView) => void,
    moveTable: (table: PageTable) => void,
  ) {
    const { policy, holes } = options;
    this.#options = options;
    this.policy = policy;
    this.#hasPolicy = policyNumber(policy) !== 0;
    this.#littleEndian = policy.endian === "little";
    this.#split =
      policy.alignment === "allow" ? new SplitAccess(this, holes, this.#littleEndian) : null;
    this.#moveTable = moveTable;
    this.#hasArena = arena !== null;
    this.#invalidate = invalidate;
    this.#mapChanged = mapChanged;
    this.#moveHome = moveHome;
    if (arena !== null) {
      this.#moveTo(arena);
    }
  }

  /**
   * @param dirty - The new dirty bitmap of the region's memory; null keeps the present one, if any.
   * @throws RangeError if the region overlaps another of the same priority. Nothing changes then.
   */
  add(region: Region, dirty: DirtyBitmap | null = null): void {
    this.#map.checkAdd(region);
    if (!this.#guards.isEmpty) {
      this.#callGuards(region, (visible) => (visible?.priority ?? -Infinity) < region.priority);
      // A listener may have changed the map.
      this.#map.checkAdd(region);
    }
    const settles =
      region.kind === "ram" && !this.#hasArena && lowBytes(region) > lowBytes(this.#homeRegion);
    if (settles) {
      // The runtime may refuse the ArrayBuffer of the home buffer.
      region.internals.windowAt(0);
    }
    reserveStack();
    this.#invalidateRange(region);
    if (region.kind !== "mmio") {
      this.#links.add(region.internals.marks);
      region.user = this;
    }
    if (region.kind === "ram" && dirty !== null) {
      region.internals.marks.set(dirty);
    }
    this.#map.add(region);
    if (settles) {
      this.#settle(region);
    }
  }

  /** The mapped regions, sorted by address. Not a copy. */
  get regions(): readonly Region[] {
    return this.#map.regions;
  }

  /** @throws TypeError; RangeError if the region is not mapped here. */
  remove(region: Region): void {
    if (!isRegion(region)) {
      throw typeError("region must be a region of the address space");
    }
    this.#checkMapped(region);
    if (!this.#guards.isEmpty) {
      this.#callGuards(region, (visible) => visible === region);
      // A listener may have changed the map.
      this.#checkMapped(region);
    }
    const next = region === this.#homeRegion ? this.#largest(region) : this.#homeRegion;
    // The runtime may refuse the ArrayBuffer of the home buffer.
    next?.internals.windowAt(0);
    reserveStack();
    this.#invalidateRange(region);
    this.#map.remove(region);
    if (region === this.#homeRegion) {
      this.#settle(next);
    }
    if (region.kind !== "mmio") {
      region.user = null;
      this.#links.remove(region.internals.marks);
    }
  }

  #checkMapped(region: Region): void {
    if (!this.#map.has(region)) {
      throw rangeError("region is not mapped in this address space");
    }
  }

  /** As {@link AddressSpace.guardCode}. */
  guardCode(gpa: Gpa, length: Gpa, listener: CodeWriteListener): CodeGuard {
    const guard = new CodeGuard(gpa, length, this.#options.pageSize, listener, this.#guards);
    const { start, bytes, parts } = guard;
    for (let done = 0; done < bytes;) {
      const at = gpaAt(start, done);
      const region = this.find(at);
      const { offset, room } = this;
      if (region === null) {
        done += this.#map.gapAt(BigInt(at));
        continue;
      }
      const count = Math.min(bytes - done, room);
      if (region.kind !== "mmio" && region.internals.checkRange(offset, count) === OK) {
        const { marks } = region.internals;
        const end = offset + count;
        // If an error ends the loop, only caches are lost.
        marks.notifyGuarding(this, offset, end);
        if (this.#links.count(marks) === 1) {
          this.#closeWrites(region, offset, end);
        } else {
          this.memoryGuarding(marks, offset, end);
        }
        parts.push(new GuardPart(guard, at, marks, offset, end));
      }
      done += count;
    }
    this.#invalidateReaches();
    guard.arm();
    return guard;
  }

  memoryGuarding(marks: MemoryMarks, offset: number, end: number): void {
    this.#invalidateReaches();
    for (const region of this.#map.regions) {
      if (region.kind !== "mmio" && region.internals.marks === marks) {
        this.#closeWrites(region, offset, end);
      }
    }
  }

  /** Clears the entries for writes of the pages of a window that show bytes of its memory. */
  #closeWrites(region: RamRegion | RomRegion, offset: number, end: number): void {
    const { table } = this;
    const { start, length, from, period } = region;
    const low = Math.max(offset - from, 0);
    const high = Math.min(end - from, period);
    if (table !== null && low < high) {
      const repeats = period < length;
      table.clearOf(table.writes, start + (repeats ? 0 : low), start + (repeats ? length : high));
    }
  }

  /**
   * Calls the guards whose bytes change together with a region.
   *
   * @param changes - Whether a place changes where a region is visible, or none.
   */
  #callGuards(region: Region, changes: (visible: Region | null) => boolean): void {
    const { gpa, size } = region;
    const guards = this.#guards.touching(pageOf(gpa), pageOf(gpa + size - 1n));
    for (const guard of guards) {
      const low = guard.gpa > gpa ? guard.gpa : gpa;
      const [guardEnd, regionEnd] = [guard.gpa + guard.length, gpa + size];
      const high = guardEnd < regionEnd ? guardEnd : regionEnd;
      if (low < high && guard.armed && this.#visibleIn(low, high).some(changes)) {
        guard.call(low, Number(high - low), "map");
      }
    }
  }

  /** The regions that are visible in a range; null for a part without a region. */
  #visibleIn(gpa: bigint, end: bigint): (Region | null)[] {
    const segments = this.#map.segmentsIn(gpa, end);
    const found: (Region | null)[] = segments.map(({ region }) => region);
    let at = gpa;
    for (const segment of segments) {
      if (segment.gpa > at) {
        found.push(null);
      }
      at = segment.end;
    }
    return at < end ? [...found, null] : found;
  }

  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    const serial = this.#watchpointsMade;
    const watchpoint = new Watchpoint(range, listener, serial, (removed) => {
      // The entries of the page table stay clear until the next access to the page.
      this.#invalidateCaches();
      this.watches.remove(removed);
      this.watched = this.watches.size !== 0;
    });
    reserveStack();
    this.#invalidateCaches();
    this.#watchpointsMade++;
    this.watches.add(watchpoint);
    this.watched = true;
    const { first, last } = watchpoint.pages;
    for (const kind of ["read", "write"] as const) {
      if (watchpoint.concerns(kind)) {
        this.table?.clearOf(this.#entries(kind), first * PAGE_SIZE, (last + 1) * PAGE_SIZE);
      }
    }
    return watchpoint;
  }

  memoryChanging(marks: MemoryMarks): void {
    this.#invalidateCaches();
    for (const { region, start, length } of this.#map.segments) {
      if (region.kind !== "mmio" && region.internals.marks === marks) {
        this.table?.clear(start, start + length);
      }
    }
  }

  beforeSelect(region: RamRegion | RomRegion): void {
    if (!this.#guards.isEmpty) {
      this.#callGuards(region, (visible) => visible === region);
    }
  }

  selecting(region: RamRegion | RomRegion, next: GuestMemoryInternals): void {
    if (next !== region.internals) {
      this.#links.add(next.marks);
    }
    this.#invalidateCaches();
    this.table?.clear(region.start, region.start + region.length);
  }

  selected(region: RamRegion | RomRegion, before: GuestMemoryInternals): void {
    if (before !== region.internals) {
      this.#links.remove(before.marks);
    }
    // Most banks are fully visible and not watched: their pages open at once.
    const { start, length, period, from, internals, readable, writable } = region;
    const segment = this.#map.near(start);
    const window = internals.windowAt(0);
    const { table } = this;
    if (
      table !== null &&
      !this.watched &&
      segment?.region === region &&
      segment.length === length &&
      period === length &&
      from + length <= window.u8.length &&
      start + length <= table.end
    ) {
      const distance = this.#distance(window.data, from, length, start);
      if (readable && distance !== null) {
        table.open(table.reads, start, start, start + length, distance);
      }
      if (writable && distance !== null && internals.marks.idle) {
        table.open(table.writes, start, start, start + length, distance);
      }
    }
  }

  /**
   * The visible region at an address; null if the address is not mapped. Also sets `offset` and
   * `room`.
   *
   * @throws TypeError, RangeError if `gpa` is not an address.
   */
  find(gpa: Gpa): Region | null {
    const hit = this.#hit;
    if (hit !== null && typeof gpa === "number") {
      // Integers of 32 bits: a difference of floating-point numbers would make every offset one.
      const low = gpa >>> 0;
      const at = (low - hit.low) >>> 0;
      if (low === gpa && at < hit.near) {
        return this.#found(hit, low, hit.offset + at);
      }
    }
    const address = toAddress(gpa);
    if (hit !== null && address >= hit.start && address - hit.start < hit.length) {
      return this.#found(hit, address, address - hit.region.start);
    }
    const previous = this.#previous;
    if (
      previous !== null &&
      address >= previous.start &&
      address - previous.start < previous.length
    ) {
      this.#previous = this.#hit;
      this.#hit = previous;
      return this.#found(previous, address, address - previous.region.start);
    }
    if (this.table === null) {
      this.#growTable();
    }
    const far = address === Infinity;
    const segment = far ? this.#map.far(BigInt(gpa)) : this.#map.near(address);
    if (segment === null) {
      return null;
    }
    this.#previous = this.#hit;
    this.#hit = segment;
    const { region } = segment;
    // The number is exact, unless the region is larger than any memory.
    return this.#found(
      segment,
      address,
      far ? Number(BigInt(gpa) - region.gpa) : address - region.start,
    );
  }

  #found(segment: Segment, address: number, offset: number): Region {
    const { region } = segment;
    this.#address = address;
    const room = segment.offset + segment.length - offset;
    if (region.kind === "mmio") {
      this.offset = toSmall(offset);
      this.room = room;
      return region;
    }
    const inPeriod = offset < region.period ? offset : offset % region.period;
    this.#before = Math.min(offset - segment.offset, inPeriod);
    this.offset = region.from + inPeriod;
    this.room = Math.min(room, region.period - inPeriod);
    return region;
  }

  /**
   * The reach of accesses of a kind around the address that `find` has just looked up. It is null if
   * the page is watched, if the address exceeds 2^53 - 1, or if the memory has ended. Also opens
   * the page table for the pages around the address, if their bytes lie in the home buffer.
   *
   * @param region - The return value of `find`, whose access right the caller has checked.
   */
  reach(region: RamRegion | RomRegion, kind: Operation): Reach | null {
    const segment = this.#hit!;
    const address = this.#address;
    if (this.watched && this.watches.index(kind).covers(pageAt(address))) {
      const reach = this.#reachOf(segment, region, kind, address, true);
      const { memory, internals } = region;
      const watched = reach && {
        reach,
        region,
        memory,
        internals,
        view: this.accessOf(false, memory),
        native: this.accessOf(true, memory),
      };
      if (kind === "read") {
        this.#watchedRead = watched;
      } else {
        this.#watchedWrite = watched;
      }
      return null;
    }
    const cached = kind === "read" ? segment.readReach : segment.writeReach;
    if (cached !== null && segment.version === this.#version && cached.bytes.length > 0) {
      if (address >= cached.base && address - cached.base < cached.length) {
        this.#open(region, kind, address, cached);
        return cached;
      }
    }
    const reach = this.#reachOf(segment, region, kind, address, false);
    if (segment.version !== this.#version) {
      segment.readReach = null;
      segment.writeReach = null;
      segment.version = this.#version;
    }
    if (kind === "read") {
      segment.readReach = reach;
    } else {
      segment.writeReach = reach;
    }
    if (reach !== null) {
      this.#open(region, kind, address, reach);
    }
    return reach;
  }

  /**
   * How many bytes before and after an address of RAM or ROM lie in the same window without a
   * watchpoint. Null if the page has one.
   *
   * @param gpa - The address that `find` has just looked up.
   */
  unwatchedAround(gpa: Gpa, kind: Operation): { before: number; after: number } | null {
    const before = this.#before;
    const after = this.room;
    if (!this.watched) {
      return { before, after };
    }
    const page = pageAt(gpa);
    const gap = this.watches.index(kind).gapAt(page);
    const inPage = inPageOf(gpa);
    return gap === null
      ? null
      : {
          before: Math.min(before, (page - gap.first) * PAGE_SIZE + inPage),
          after: Math.min(after, (gap.last + 1 - page) * PAGE_SIZE - inPage),
        };
  }

  #reachOf(
    segment: Segment,
    region: RamRegion | RomRegion,
    kind: Operation,
    address: number,
    throughWatched: boolean,
  ): Reach | null {
    const { offset } = this;
    const number = Math.floor(offset / WINDOW_SIZE);
    const window = region.internals.windowAt(offset);
    if (address === Infinity) {
      return null;
    }
    // From here on, `low` and `high` are the ends of the reach.
    const first = address - (offset - region.from);
    const start = address - (offset - number * WINDOW_SIZE);
    let low = Math.max(segment.start, first, start);
    let high = Math.min(
      segment.start + segment.length,
      first + region.period,
      start + window.u8.length,
      Number.MAX_SAFE_INTEGER,
    );
    const { guards } = region.internals.marks;
    if (guards !== null && kind === "write") {
      const gap = guards.gapAt(offset);
      if (gap === null) {
        return null;
      }
      low = Math.max(low, address - (offset - gap.low));
      high = Math.min(high, address + (gap.high - offset));
    }
    if (!throughWatched) {
      [low, high] = this.#withoutWatches(kind, address, low, high);
    }
    return high <= address
      ? null
      : {
          base: low,
          length: high - low,
          bytes: window.u8,
          view: window.data,
          from: low - start,
          offset: offset - (address - low),
        };
  }

  /**
   * The part of a range around an address without watched pages: its first address, and the address
   * after its last one. It is empty if the page of the address is watched.
   */
  #withoutWatches(
    kind: Operation,
    address: number,
    low: number,
    high: number,
  ): readonly [number, number] {
    if (!this.watched) {
      return [low, high];
    }
    const gap = this.watches.index(kind).gapAt(Math.floor(address / PAGE_SIZE));
    return gap === null
      ? [address, address]
      : [Math.max(low, gap.first * PAGE_SIZE), Math.min(high, (gap.last + 1) * PAGE_SIZE)];
  }

  /**
   * The registers around the address that `find` has just looked up, in a device; null if their
   * page is watched, or if they lie above 4 GiB or too far from the start of the device.
   */
  registers(region: MmioRegion, kind: Operation): Registers | null {
    const { start, near, offset } = this.#hit!;
    const [low, high] = this.#withoutWatches(kind, this.#address, start, start + near);
    const first = offset + (low - start);
    return high <= this.#address || first + (high - low) >= 2 ** 31
      ? null
      : {
          low: low | 0,
          length: high - low,
          offset: first,
          region,
          device: region.device,
          handlers: kind === "read" ? region.reads : region.writes,
        };
  }

  /** The accessors of a memory on one path, under the policy of the space. */
  accessOf(native: boolean, memory: GuestMemory): GuestAccessors {
    if (!this.#hasPolicy) {
      return native ? memory.native : memory;
    }
    const access = memory.withPolicy(this.policy);
    return native ? access.native : access;
  }

  /** Makes a write to a memory on one path, without a check of its alignment on the view path. */
  #store<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    { memory, internals }: Pick<Piece, "memory" | "internals">,
    offset: number,
    value: T,
  ): GuestMemAccessResult {
    const { marks } = internals;
    if (native || this.#hasPolicy || marks.guards === null) {
      return kind.tryWrite(this.accessOf(native, memory), offset, value);
    }
    // Not by an accessor of the memory, which would leave its fast form: see accessor-forms.ts.
    const result = internals.prepareWrite(offset, kind.bytes);
    if (result === OK) {
      kind.width.set(internals.windowAt(offset).data, offset % WINDOW_SIZE, value);
      marks.mark(offset, kind.bytes);
    }
    return result;
  }

  /** Sets the entries of the page table around an address, if its bytes lie in the home buffer. */
  #open(region: RamRegion | RomRegion, kind: Operation, address: number, reach: Reach): void {
    const { view, from, base, length } = reach;
    if (kind === "write" && region.internals.marks.dirty !== null) {
      return;
    }
    const distance = address < MAX_END ? this.#distance(view, from, length, base) : null;
    if (distance !== null) {
      if (address >= this.table!.end) {
        this.#growTable();
      }
      this.table!.open(this.#entries(kind), address, base, base + length, distance);
    }
  }

  /** Makes a page table for all RAM and ROM below 4 GiB. Accesses fill it. */
  #growTable(): void {
    const memories = this.#map.regions.filter(({ kind }) => kind !== "mmio");
    const ends = memories.map(({ start, length }) => (start < MAX_END ? start + length : 0));
    // Doubling the table bounds how often it grows if accesses alternate with additions of regions.
    const least = this.table === null ? 1 : 2 * this.table.end;
    const end = ends.reduce((a, b) => Math.max(a, b), least);
    const table = new PageTable(this.#options.pageSize, end, policyNumber(this.policy));
    if (this.#homeHandle !== null) {
      table.setHome(this.#homeHandle);
    }
    this.table = table;
    this.#moveTable(table);
  }

  /**
   * The bytes from a guest physical address to its place in the home buffer; null if the bytes do
   * not lie there, or if the page table cannot express the distance.
   *
   * @param from - The offset in `view` of the byte at address `base`.
   */
  #distance(view: DataView, from: number, length: number, base: number): number | null {
    const home = this.#home;
    if (home === null || view.buffer !== home.buffer) {
      return null;
    }
    const place = view.byteOffset - home.byteOffset + from;
    return place >= 0 && place + length <= home.byteLength && (place - base) % 8 === 0
      ? place - base
      : null;
  }

  #entries(kind: Operation): Int32Array {
    return kind === "read" ? this.table!.reads : this.table!.writes;
  }

  /** Makes the memory of a region the home buffer; null if there is no RAM. */
  #settle(region: RamRegion | null): void {
    this.#homeRegion = region;
    if (region === null || region.internals.windowAt(0).data === this.#home) {
      return;
    }
    if (this.#home !== null) {
      for (const { start, length } of this.#map.segments) {
        this.table?.clear(start, start + length);
      }
    }
    this.#moveTo(region.internals);
  }

  #moveTo({ windowAt, handle }: GuestMemoryInternals): void {
    const window = windowAt(0);
    if (window !== EMPTY_WINDOW) {
      this.#home = window.data;
      this.#homeHandle = handle;
      this.table?.setHome(handle);
      this.#moveHome(window.data);
    }
  }

  /** The RAM region, other than one, with the most bytes that the page table covers. */
  #largest(except: RamRegion): RamRegion | null {
    let found: RamRegion | null = null;
    for (const region of this.#map.regions) {
      if (region.kind === "ram" && region !== except && lowBytes(region) > lowBytes(found)) {
        found = region;
      }
    }
    return found;
  }

  /**
   * Makes a read and sets `result` and, after a fault, `reason`. The return value is valid only if
   * `result` is `OK`.
   *
   * @param native - Whether to read RAM and ROM on the native path.
   * @param region - The return value of `find(gpa)`, which the caller has just called.
   */
  read<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: Region | null,
  ): T {
    const value = this.#read(native, kind, gpa, region);
    return this.result === OK ? value : this.#reread(native, kind, gpa, value);
  }

  /**
   * Makes a write. After a fault, sets `reason`.
   *
   * @param native - Whether to write RAM on the native path.
   * @param region - The return value of `find(gpa)`, which the caller has just called.
   */
  write<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    region: Region | null,
  ): GuestMemAccessResult {
    const result = this.#write(native, kind, gpa, value, region, true);
    return result === OK ? OK : this.#rewrite(native, kind, gpa, value);
  }

  /**
   * Makes a read of watched RAM or ROM that lies in the reach of the last one. Undefined, and nothing
   * has happened, if it does not lie there.
   */
  readWatched<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
  ): T | undefined {
    const found = this.#watchedRead;
    if (found === null || !reaches(found.reach, gpa, kind.bytes)) {
      return undefined;
    }
    const index = this.watches.index("read");
    const page = pageAt(gpa);
    const offset = found.reach.offset + (gpa - found.reach.base);
    if (
      !index.covers(page) ||
      (this.#split !== null && crossesPage(gpa, kind.bytes)) ||
      kind.tryRead(native ? found.native : found.view, offset, kind.scratch) !== OK
    ) {
      return undefined;
    }
    const value = kind.scratch[0] as T;
    this.#announce(index.atPage(page), gpa, kind.bytes, "read", value);
    this.result = OK;
    return value;
  }

  /** As `readWatched`, for a write. */
  writeWatched<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult | undefined {
    const found = this.#watchedWrite;
    const { bytes } = kind;
    if (found === null || !reaches(found.reach, gpa, bytes)) {
      return undefined;
    }
    const index = this.watches.index("write");
    const page = pageAt(gpa);
    const { reach, region } = found;
    const offset = reach.offset + (gpa - reach.base);
    const isSlow = this.#split === null ? (offset & (bytes - 1)) !== 0 : crossesPage(gpa, bytes);
    if (isSlow || !index.covers(page) || reach.bytes.length === 0) {
      return undefined;
    }
    this.#announce(index.atPage(page), gpa, bytes, "write", value);
    if (!native && this.#watchedWrite === found) {
      // No listener has changed the map or ended the memory.
      kind.width.set(reach.view, reach.from + (gpa - reach.base), value, this.#littleEndian);
      const { dirty } = found.internals.marks;
      if (dirty !== null) {
        dirty.markPage(Math.floor(offset / PAGE_SIZE));
        dirty.markPage(Math.floor((offset + bytes - 1) / PAGE_SIZE));
      }
      return OK;
    }
    const result = this.#store(native, kind, found, offset, value);
    if (result !== OK) {
      // A listener has destroyed the memory.
      this.#fault(result, region, bytes, bytes, gpa, "write", true);
      return this.#rewrite(native, kind, gpa, value);
    }
    return OK;
  }

  /**
   * As `read`, for a device whose handler has just been called.
   *
   * @param found - What the handler returned.
   */
  finishRead<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
    found: unknown,
  ): T {
    const value = this.#finishRead(found, kind, gpa, region);
    return this.result === OK ? value : this.#reread(native, kind, gpa, value);
  }

  /** As `write`, for a device whose handler has just refused it. No watchpoint was notified. */
  finishRefused<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    this.#refuseWrite(false);
    return this.#rewrite(native, kind, gpa, value);
  }

  /** Finishes a read that has faulted: repeats it once if the listener of faults asks for it. */
  #reread<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    refused: T,
  ): T {
    if (!this.mayRetry(gpa, kind.bytes, "read")) {
      return refused;
    }
    const value = this.#read(native, kind, gpa, this.find(gpa));
    if (this.result !== OK) {
      this.recordFault(gpa, kind.bytes, "read");
    }
    return value;
  }

  /** As `#reread`, for a write. */
  #rewrite<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const announced = this.#announced;
    if (announced && this.reason !== "device") {
      // A watchpoint has destroyed the memory.
      this.recordFault(gpa, kind.bytes, "write");
    } else if (this.mayRetry(gpa, kind.bytes, "write")) {
      const result = this.#write(native, kind, gpa, value, this.find(gpa), !announced);
      if (result !== OK) {
        this.recordFault(gpa, kind.bytes, "write");
      }
      return result;
    }
    return this.result;
  }

  #read<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: Region | null,
  ): T {
    if (this.#split !== null && this.#isSplit(region, gpa, kind.bytes, "read")) {
      return this.#split.read(native, kind, gpa);
    }
    if (region === null) {
      return this.#readHole(kind, gpa);
    }
    if (region.kind === "mmio") {
      return this.#readDevice(kind, gpa, region);
    }
    const { offset, room } = this;
    const result =
      room < kind.bytes || !region.readable
        ? checkMemory(region, offset, room, kind.bytes, "read")
        : kind.tryRead(this.accessOf(native, region.memory), offset, kind.scratch);
    const value = kind.scratch[0] as T;
    if (result !== OK) {
      return this.#refuse(result, region, room, kind, gpa, "read");
    }
    this.notify(gpa, kind.bytes, "read", value);
    this.result = OK;
    return value;
  }

  // Small, and without a call but of the handler, because device registers are often polled.
  #readDevice<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
  ): T {
    const { offset, room } = this;
    const { bytes, mask } = kind;
    const handler = region.reads[kind.log2]!;
    const result = checkRegister(gpa, room, bytes, handler);
    if (result !== OK) {
      return this.#refuse(result, region, room, kind, gpa, "read");
    }
    const found = callHandler(handler, region.device, offset);
    if (typeof found === "number" && !this.watched) {
      const value = (found & mask) >>> 0;
      if (value === found && mask !== 0) {
        this.result = OK;
        return value as T;
      }
    }
    return this.#finishRead(found, kind, gpa, region);
  }

  /** Takes the answer of a device. */
  #finishRead<T extends Value, A extends Out>(
    found: unknown,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    region: MmioRegion,
  ): T {
    const { bytes } = kind;
    if (found === BUS_ERROR) {
      this.result = FAULT_BOUNDARY;
      this.reason = "device";
      return kind.scratch[0] as T;
    }
    const value = checkReturned(found, bytes, region.readName) as T;
    this.notify(gpa, bytes, "read", value);
    this.result = OK;
    return value;
  }

  /** Sets `result` and `reason` of a read that faults. The return value has no meaning. */
  #refuse<T extends Value, A extends Out>(
    result: GuestMemAccessResult,
    region: Region,
    room: number,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    operation: Operation,
  ): T {
    this.#fault(result, region, room, kind.bytes, gpa, operation);
    return kind.scratch[0] as T;
  }

  #readHole<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { read } = this.#options.holes;
    const { bytes } = kind;
    let value: Value = 0;
    let result = this.#checkHole(gpa, bytes, read !== null);
    if (result === OK) {
      const found = read!(plainAddress(gpa), bytes);
      if (found === BUS_ERROR) {
        result = FAULT_BOUNDARY;
      } else {
        value = checkReturned(found, bytes, "what unmapped.read returns");
        this.notify(gpa, bytes, "read", value);
      }
    }
    if (result !== OK) {
      this.#fault(result, null, 0, bytes, gpa, "read");
    }
    this.result = result;
    return value as T;
  }

  /**
   * @param announces - Whether to notify watchpoints. After a fault, `#announced` says whether the
   * write has notified them.
   */
  #write<T extends Value, A extends Out>(
    native: boolean,
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    region: Region | null,
    announces: boolean,
  ): GuestMemAccessResult {
    if (this.#split !== null && this.#isSplit(region, gpa, kind.bytes, "write")) {
      const result = this.#split.write(native, kind, gpa, value, announces);
      this.#announced = this.#split.announced;
      return result;
    }
    if (region === null) {
      return this.#writeHole(kind, gpa, value, announces);
    }
    if (region.kind === "mmio") {
      return this.#writeDevice(kind, gpa, value, region, announces);
    }
    const { offset, room } = this;
    const { bytes } = kind;
    const { memory, internals } = region;
    const trap = region.kind === "rom" ? region.onWrite : null;
    let announced = false;
    if (
      !region.writable ||
      room < bytes ||
      internals.marks.guards !== null ||
      this.isWatched(gpa, "write")
    ) {
      // The owner of ROM handles a write that has the rights of a read.
      const rights = trap === null ? "write" : "read";
      const result =
        this.#split === null
          ? checkAligned(region, gpa, offset, room, bytes, rights)
          : checkMemory(region, offset, room, bytes, rights);
      if (result !== OK) {
        return this.#fault(result, region, room, bytes, gpa, "write");
      }
      announced = this.watched && announces;
      if (announced) {
        this.notify(gpa, bytes, "write", value);
      }
    }
    if (trap !== null) {
      return trap(offsetIn(region, gpa), value, bytes) === BUS_ERROR
        ? this.#refuseWrite(announced)
        : OK;
    }
    const result = this.#store(native, kind, { memory, internals }, offset, value);
    if (result !== OK) {
      this.#fault(result, region, room, bytes, gpa, "write", announced);
    }
    return result;
  }

  // As small as `#readDevice`.
  #writeDevice<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    region: MmioRegion,
    announces: boolean,
  ): GuestMemAccessResult {
    const { offset, room } = this;
    const { bytes } = kind;
    const handler = region.writes[kind.log2]!;
    const result = checkRegister(gpa, room, bytes, handler);
    if (result !== OK) {
      return this.#fault(result, region, room, bytes, gpa, "write");
    }
    const announced = this.watched && announces;
    if (announced) {
      this.notify(gpa, bytes, "write", value);
    }
    const answer = callHandler(handler, region.device, offset, value);
    return answer === BUS_ERROR ? this.#refuseWrite(announced) : OK;
  }

  /** The result of a write that a handler refuses. */
  #refuseWrite(announced: boolean): GuestMemAccessResult {
    this.#announced = announced;
    this.reason = "device";
    return (this.result = FAULT_BOUNDARY);
  }

  #writeHole<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
    announces: boolean,
  ): GuestMemAccessResult {
    const { write } = this.#options.holes;
    const { bytes } = kind;
    let announced = false;
    let result = this.#checkHole(gpa, bytes, write !== null);
    if (result === OK) {
      if (announces) {
        this.notify(gpa, bytes, "write", value);
        announced = this.watched;
      }
      if (write!(plainAddress(gpa), value, bytes) === BUS_ERROR) {
        result = FAULT_BOUNDARY;
      }
    }
    if (result !== OK) {
      this.#fault(result, null, 0, bytes, gpa, "write", announced);
    }
    return result;
  }

  /** The result of a plain access that starts at an unmapped address, before its handler. */
  #checkHole(gpa: Gpa, bytes: number, handled: boolean): GuestMemAccessResult {
    if (!handled || !this.#isHole(gpa, bytes)) {
      return FAULT_BOUNDARY;
    }
    return isAligned(gpa, bytes) ? OK : FAULT_UNALIGNED;
  }

  /** Whether no byte of an access that starts at an unmapped address is in a region. */
  #isHole(gpa: Gpa, bytes: number): boolean {
    for (let i = 1; i < bytes; i++) {
      const at = gpaAt(gpa, i);
      if (at > MAX_U64 || this.find(at) !== null) {
        return false;
      }
    }
    return true;
  }

  /**
   * Whether a split access makes an access under `alignment: "allow"`. Aligned accesses are split
   * if they touch several regions; unaligned ones also if a handler serves them, or if they touch
   * two pages, one of which may be watched.
   *
   * @param region - The return value of `find(gpa)`, which the caller has just called.
   */
  #isSplit(region: Region | null, gpa: Gpa, bytes: number, operation: Operation): boolean {
    const aligned = isAligned(gpa, bytes);
    if (region === null) {
      return !aligned || !this.#isHole(gpa, bytes);
    }
    return (
      this.room < bytes ||
      (!aligned &&
        (region.kind === "mmio" ||
          crossesPage(gpa, bytes) ||
          (operation === "write" && region.kind === "rom" && region.onWrite !== null)))
    );
  }

  checkPart(
    region: RamRegion | RomRegion,
    bytes: number,
    operation: Operation,
  ): GuestMemAccessResult {
    return checkMemory(region, this.offset, this.room, bytes, operation);
  }

  /** Sets `result`, `reason` and `#announced` of an access that no handler has refused. */
  #fault(
    result: GuestMemAccessResult,
    region: Region | null,
    room: number,
    bytes: number,
    gpa: Gpa,
    operation: Operation,
    announced = false,
  ): GuestMemAccessResult {
    this.result = result;
    this.#announced = announced;
    if (result !== FAULT_BOUNDARY) {
      this.reason = reasonOfResult(result);
    } else if (region === null) {
      this.reason = this.#isHole(gpa, bytes) ? "hole" : "straddle";
    } else if (room < bytes) {
      this.reason = "straddle";
    } else if (region.kind === "mmio") {
      this.reason = "no-handler";
    } else {
      this.reason = operation === "read" ? "write-only" : "read-only";
    }
    return result;
  }

  /**
   * Finds the memory of an atomic access, and makes all its checks. Also sets `offset` to the offset
   * in the region.
   *
   * @returns Null after a fault; `result` and `reason` describe it.
   */
  findMemory(gpa: Gpa, bytes: number, operation: Operation): RamRegion | RomRegion | null {
    let region = this.#findMemory(gpa, bytes, operation);
    if (region === null && this.mayRetry(gpa, bytes, operation)) {
      region = this.#findMemory(gpa, bytes, operation);
      if (region === null) {
        this.recordFault(gpa, bytes, operation);
      }
    }
    return region;
  }

  #findMemory(gpa: Gpa, bytes: number, operation: Operation): RamRegion | RomRegion | null {
    const region = this.find(gpa);
    const { offset, room } = this;
    if (region === null || region.kind === "mmio") {
      this.#fault(FAULT_BOUNDARY, region, room, bytes, gpa, operation);
      return null;
    }
    const result = checkAligned(region, gpa, offset, room, bytes, operation);
    if (result !== OK) {
      this.#fault(result, region, room, bytes, gpa, operation);
      return null;
    }
    return region;
  }

  /**
   * Calls the listener of faults, if there is one, for the fault that `result` and `reason`
   * describe.
   *
   * @returns Whether to make the access again. If not, the fault is recorded as the last.
   */
  mayRetry(gpa: Gpa, width: number, operation: Operation): boolean {
    const { onFault } = this.#options;
    if (onFault !== null && !this.#isListening) {
      const { result, reason } = this;
      this.#isListening = true;
      try {
        if (onFault({ result, gpa, width, operation, reason }) === "retry") {
          return true;
        }
      } finally {
        this.#isListening = false;
      }
      this.result = result;
      this.reason = reason;
    }
    this.recordFault(gpa, width, operation);
    return false;
  }

  /** Records the fault that `result` and `reason` describe as the last. */
  recordFault(gpa: Gpa, width: number, operation: Operation): void {
    const { result, reason } = this;
    this.lastFault = { result, gpa, width, operation, reason };
  }

  /**
   * Splits a bulk access into one piece for each region, which it appends to `pieces`.
   *
   * @returns The result code of the first piece that is not accessible, or `OK`.
   * @throws TypeError, RangeError if `gpa` is not an address.
   */
  pieces(gpa: Gpa, length: number, operation: Operation, pieces: Piece[]): GuestMemAccessResult {
    const before = pieces.length;
    let result = this.#pieces(gpa, length, operation, pieces);
    if (result !== OK && this.mayRetry(gpa, length, operation)) {
      pieces.length = before;
      result = this.#pieces(gpa, length, operation, pieces);
      if (result !== OK) {
        this.recordFault(gpa, length, operation);
      }
    }
    return result;
  }

  #pieces(gpa: Gpa, length: number, operation: Operation, pieces: Piece[]): GuestMemAccessResult {
    toAddress(gpa);
    for (let done = 0; done < length;) {
      const at = gpaAt(gpa, done);
      const region = at <= MAX_U64 ? this.find(at) : null;
      if (region === null || region.kind === "mmio") {
        this.reason = region === null ? "hole" : "no-handler";
        return (this.result = FAULT_BOUNDARY);
      }
      const { offset, room } = this;
      const part = Math.min(length - done, room);
      const result = checkMemory(region, offset, room, part, operation);
      if (result !== OK) {
        return this.#fault(result, region, room, part, at, operation);
      }
      const { memory, internals } = region;
      pieces.push({ memory, internals, offset, length: part });
      done += part;
    }
    return OK;
  }

  /**
   * The number of bytes from an address on, at least 1, that belong to the same region, or to none.
   *
   * @param gpa - At most 2^64 - 1.
   */
  extent(gpa: Gpa): number {
    return this.find(gpa) === null ? this.#map.gapAt(BigInt(gpa)) : this.room;
  }

  /** Whether the page of a byte has a watchpoint for this kind of access. */
  isWatched(gpa: Gpa, kind: Operation): boolean {
    return this.watched && this.watches.index(kind).covers(pageAt(gpa));
  }

  /** Calls the listeners whose ranges an access touches, in the order they were added. */
  notify(gpa: Gpa, width: number, kind: Operation, value?: Value): void {
    if (!this.watched) {
      return;
    }
    const page = pageAt(gpa);
    const index = this.watches.index(kind);
    if (!index.covers(page)) {
      return;
    }
    this.#announce(index.atPage(page), gpa, width, kind, value);
  }

  /** Calls the listeners of the watchpoints that an access touches. */
  #announce(
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
        access ??= describe(gpa, width, kind, value);
        watchpoint.listener(access);
      }
    }
  }

  /** As `notify`, for an access of any length: calls each listener once. */
  notifyRange(gpa: Gpa, length: number, kind: Operation, value?: Value): void {
    if (this.watched && length !== 0) {
      const start = toBigInt(gpa);
      const access = describe(gpa, length, kind, value);
      for (const watchpoint of this.watches.index(kind).touching(start, length)) {
        if (!watchpoint.removed) {
          watchpoint.listener(access);
        }
      }
    }
  }

  /**
   * Checks after the calls of listeners that the pieces of a bulk access are still accessible: a
   * listener may have destroyed the memory. If it changed the map, the access still uses the
   * regions that were mapped before.
   *
   * @returns The result code of the first piece that is not accessible, or `OK`.
   */
  recheck(pieces: readonly Piece[]): GuestMemAccessResult {
    for (const { internals, offset, length } of pieces) {
      const result = internals.checkRange(offset, length);
      if (result !== OK) {
        this.reason = reasonOfResult(result);
        return (this.result = result);
      }
    }
    return OK;
  }

  /** Invalidates all caches, and the page table where a region is added or removed. */
  #invalidateRange(region: Region): void {
    this.#invalidateCaches();
    // An empty range has no entries. To clear them would make the pages of the table resident.
    if (this.#map.segmentsIn(region.gpa, region.gpa + region.size).length > 0) {
      this.table?.clear(region.start, region.start + region.length);
    }
  }

  #invalidateCaches(): void {
    this.#hit = null;
    this.#previous = null;
    this.#mapChanged();
    this.#invalidateReaches();
  }

  #invalidateReaches(): void {
    this.#watchedRead = null;
    this.#watchedWrite = null;
    this.#version++;
    this.#invalidate();
  }
}

/**
 * The same number, which V8 represents as a small integer if possible. One floating-point number in
 * a field makes V8 convert all values of the field.
 */
function toSmall(offset: number): number {
  const small = offset | 0;
  return small === offset ? small : offset;
}

/** The bytes of a region below 4 GiB, or 0 for none. */
function lowBytes(region: RamRegion | null): number {
  if (region === null || region.memory.destroyed) {
    return 0;
  }
  return Math.max(0, Math.min(WINDOW_SIZE - region.start, region.length));
}

/** The offset of an address in its page. */
function inPageOf(gpa: Gpa): number {
  return typeof gpa === "number" ? gpa % PAGE_SIZE : Number(gpa % BigInt(PAGE_SIZE));
}

/** Whether an access touches two pages, each of which has watchpoints of its own. */
function crossesPage(gpa: Gpa, bytes: number): boolean {
  return inPageOf(gpa) + bytes > PAGE_SIZE;
}

/** The result of an access to a device, before its handler is called. */
function checkRegister(
  gpa: Gpa,
  room: number,
  bytes: number,
  handler: AnyHandler | null,
): GuestMemAccessResult {
  if (handler === null || room < bytes) {
    return FAULT_BOUNDARY;
  }
  return isAligned(gpa, bytes) ? OK : FAULT_UNALIGNED;
}

function isAligned(gpa: Gpa, bytes: number): boolean {
  // The bitwise operator uses the low 32 bits of a number, which are exact.
  return (typeof gpa === "number" ? gpa & (bytes - 1) : Number(gpa & BigInt(bytes - 1))) === 0;
}

/**
 * The result of an access to RAM or ROM, apart from its alignment.
 *
 * @param room - The bytes from `offset` on that the region shows one after the other.
 */
function checkMemory(
  region: RamRegion | RomRegion,
  offset: number,
  room: number,
  length: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = region.internals.checkRange(offset, Math.min(length, room));
  // An error of the host (destroyed memory) takes precedence over a fault of the guest.
  if (result !== OK) {
    return result;
  }
  const allowed = operation === "read" ? region.readable : region.writable;
  return allowed && length <= room ? OK : FAULT_BOUNDARY;
}

/** The result of an access to RAM or ROM. */
function checkAligned(
  region: RamRegion | RomRegion,
  gpa: Gpa,
  offset: number,
  room: number,
  bytes: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = checkMemory(region, offset, room, bytes, operation);
  return result === OK && !isAligned(gpa, bytes) ? FAULT_UNALIGNED : result;
}

/** The bytes from the start of a region to an address in it. */
function offsetIn(region: Region, gpa: Gpa): number {
  return typeof gpa === "number" ? gpa - region.start : Number(gpa - region.gpa);
}

/** The address as the handlers of unmapped addresses get it. */
function plainAddress(gpa: Gpa): Gpa {
  const address = toAddress(gpa);
  return address === Infinity ? gpa : address;
}

function describe(gpa: Gpa, width: number, kind: Operation, value?: Value): WatchedAccess {
  const start = toBigInt(gpa);
  return value === undefined ? { gpa: start, width, kind } : { gpa: start, width, kind, value };
}
