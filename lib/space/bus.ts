import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { gpaAt, toAddress } from "../base/arguments.js";
import { type Operation, rangeError, typeError } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Handle } from "../native/addon.js";
import type { GuestMemory, GuestMemoryInternals } from "../memory/guest-memory.js";
import { MemoryLinks, type MemoryMarks, type MemoryUser } from "../memory/marks.js";
import { PAGE_SIZE, pageOf } from "../base/page.js";
import { EMPTY_WINDOW, WINDOW_SIZE } from "../memory/windows.js";
import { MAX_END, PageTable } from "./page-table.js";
import type { Reach } from "./reach.js";
import { RegionMap, type Segment } from "./region-map.js";
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

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY } = GuestMemAccessResult;

/** The part of a bulk access that lies in one memory. */
export interface Piece {
  readonly memory: GuestMemory;
  readonly internals: GuestMemoryInternals;
  /** Offset in bytes from the start of the memory. */
  readonly offset: number;
  readonly length: number;
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
  private watched = false;
  readonly watches = new WatchTable();
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
  /** The result of the last `read`. */
  result: GuestMemAccessResult = OK;

  /** The page table; null until the first access. */
  table: PageTable | null = null;
  readonly #pageSize: number;
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
    pageSize: number,
    arena: GuestMemoryInternals | null,
    invalidate: () => void,
    mapChanged: () => void,
    moveHome: (home: DataView) => void,
    moveTable: (table: PageTable) => void,
  ) {
    this.#pageSize = pageSize;
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
    if (!this.#map.has(region)) {
      throw rangeError("region is not mapped in this address space");
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
      if (writable && distance !== null && internals.marks.dirty === null) {
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
    const address = toAddress(gpa);
    const { start, length } = this.#hit ?? NOWHERE;
    if (address >= start && address - start < length) {
      return this.#found(this.#hit!, address, address - this.#hit!.region.start);
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
      this.offset = offset;
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
    const cached = kind === "read" ? segment.readReach : segment.writeReach;
    if (cached !== null && segment.version === this.#version && cached.bytes.length > 0) {
      if (address >= cached.base && address - cached.base < cached.length) {
        this.#open(region, kind, address, cached);
        return cached;
      }
    }
    const reach = this.#reachOf(segment, region, kind, address);
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
    const inPage = typeof gpa === "number" ? gpa % PAGE_SIZE : Number(gpa % BigInt(PAGE_SIZE));
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
    if (this.watched) {
      const gap = this.watches.index(kind).gapAt(Math.floor(address / PAGE_SIZE));
      if (gap === null) {
        return null;
      }
      low = Math.max(low, gap.first * PAGE_SIZE);
      high = Math.min(high, (gap.last + 1) * PAGE_SIZE);
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
    const table = new PageTable(
      this.#pageSize,
      ends.reduce((a, b) => Math.max(a, b), 1),
    );
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
   * Makes a read and sets `result`. The return value is valid only if `result` is `OK`.
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
    const { offset, room } = this;
    let result: GuestMemAccessResult;
    if (region === null) {
      result = FAULT_BOUNDARY;
    } else if (region.kind === "mmio") {
      result = checkRegister(gpa, room, kind.bytes, kind.reads(region.device));
      if (result === OK) {
        kind.width.store(kind.scratch, readDevice(region, offset, kind));
      }
    } else if (room < kind.bytes || !region.readable) {
      result = checkMemory(region, offset, room, kind.bytes, "read");
    } else {
      result = kind.tryRead(native ? region.memory.native : region.memory, offset, kind.scratch);
    }
    const value = kind.scratch[0] as T;
    if (result === OK && this.watched) {
      this.notify(gpa, kind.bytes, "read", value);
    }
    this.result = result;
    return value;
  }

  /**
   * Makes a write.
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
    if (region === null) {
      return FAULT_BOUNDARY;
    }
    const { offset, room } = this;
    const memory = region.kind === "mmio" ? null : region.memory;
    const plain = region.kind !== "mmio" && region.writable && room >= kind.bytes;
    if (!plain || this.isWatched(gpa, "write")) {
      const result = checkWrite(region, gpa, offset, room, kind);
      if (result !== OK) {
        return result;
      }
      this.notify(gpa, kind.bytes, "write", value);
    }
    if (region.kind === "mmio") {
      const result = checkRegister(gpa, room, kind.bytes, kind.writes(region.device));
      if (result === OK) {
        kind.write(region.device, offset, value);
      }
      return result;
    }
    return kind.tryWrite(native ? memory!.native : memory!, offset, value);
  }

  /**
   * Splits a bulk access into one piece for each region, which it appends to `pieces`.
   *
   * @returns The result code of the first piece that is not accessible, or `OK`.
   * @throws TypeError, RangeError if `gpa` is not an address.
   */
  pieces(gpa: Gpa, length: number, operation: Operation, pieces: Piece[]): GuestMemAccessResult {
    toAddress(gpa);
    for (let done = 0; done < length;) {
      const at = gpaAt(gpa, done);
      const region = at <= MAX_U64 ? this.find(at) : null;
      if (region === null || region.kind === "mmio") {
        return FAULT_BOUNDARY;
      }
      const { offset, room } = this;
      const part = Math.min(length - done, room);
      const result = checkMemory(region, offset, room, part, operation);
      if (result !== OK) {
        return result;
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
    // Created only if a listener is called.
    let access: WatchedAccess | undefined;
    for (const watchpoint of index.atPage(page)) {
      // An earlier listener may have removed this watchpoint.
      if (watchpoint.touches(gpa, width) && !watchpoint.removed) {
        access ??= describe(gpa, width, kind, value);
        watchpoint.listener(access);
      }
    }
  }

  /** As `notify`, for a bulk access: calls each listener once. */
  notifyBulk(gpa: Gpa, length: number, kind: Operation): void {
    if (this.watched && length !== 0) {
      const start = BigInt(gpa);
      const access = { gpa: start, width: length, kind };
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
        return result;
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
    this.#version++;
    this.#mapChanged();
    this.#invalidate();
  }
}

const NOWHERE = { start: 0, length: 0 };

/** The bytes of a region below 4 GiB, or 0 for none. */
function lowBytes(region: RamRegion | null): number {
  if (region === null || region.memory.destroyed) {
    return 0;
  }
  return Math.max(0, Math.min(WINDOW_SIZE - region.start, region.length));
}

function pageAt(gpa: Gpa): number {
  return typeof gpa === "number" ? Math.floor(gpa / PAGE_SIZE) : pageOf(gpa);
}

/** The result of an access to a device, before its handler is called. */
function checkRegister(
  gpa: Gpa,
  room: number,
  bytes: number,
  handled: boolean,
): GuestMemAccessResult {
  if (room < bytes || !handled) {
    return FAULT_BOUNDARY;
  }
  return isAligned(gpa, bytes) ? OK : FAULT_UNALIGNED;
}

function isAligned(gpa: Gpa, bytes: number): boolean {
  // The bitwise operator uses the low 32 bits of a number, which are exact.
  return (typeof gpa === "number" ? gpa & (bytes - 1) : Number(gpa & BigInt(bytes - 1))) === 0;
}

/**
 * Calls a read handler that the device has.
 *
 * @throws TypeError, RangeError if the handler returns anything but a value of the width: that is
 * an error of the host program, not of the guest.
 */
function readDevice<T extends Value, A extends Out>(
  region: MmioRegion,
  offset: number,
  kind: SpaceWidth<T, A>,
): T {
  return kind.width.checkValue(kind.read(region.device, offset), region.readName);
}

/**
 * The result of an access to RAM or ROM, apart from its alignment.
 *
 * @param room - The bytes from `offset` on that the region shows one after the other.
 */
export function checkMemory(
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

/** The result that a write would have. */
export function checkWrite<T extends Value, A extends Out>(
  region: Region,
  gpa: Gpa,
  offset: number,
  room: number,
  kind: SpaceWidth<T, A>,
): GuestMemAccessResult {
  if (region.kind === "mmio") {
    return checkRegister(gpa, room, kind.bytes, kind.writes(region.device));
  }
  const result = checkMemory(region, offset, room, kind.bytes, "write");
  return result === OK && !isAligned(gpa, kind.bytes) ? FAULT_UNALIGNED : result;
}

function describe(gpa: Gpa, width: number, kind: Operation, value?: Value): WatchedAccess {
  const start = BigInt(gpa);
  return value === undefined ? { gpa: start, width, kind } : { gpa: start, width, kind, value };
}
