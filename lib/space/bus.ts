import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { gpaAt, toAddress } from "../base/arguments.js";
import { type Operation, rangeError, typeError } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { printable } from "../base/printable.js";
import { GuestMemAccessResult } from "../base/result.js";
import { MemoryLinks, type MemoryUser } from "../memory/marks.js";
import {
  isRegion,
  type MmioRegion,
  type RamRegion,
  type Region,
  type RomRegion,
} from "./regions.js";
import type { SpaceWidth } from "./widths.js";
import { reserveLittleStack, reserveStack } from "../base/stack.js";
import {
  type WatchedAccess,
  type WatchListener,
  Watchpoint,
  type WatchRange,
} from "./watchpoint.js";
import { WatchTable } from "./watch-table.js";
import type { Out, Value } from "../base/widths.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;

/** The part of a bulk access that lies in one region. */
export interface Piece {
  readonly region: RamRegion | RomRegion;
  /** Offset in bytes from the start of the region. */
  readonly offset: number;
  readonly length: number;
}

/**
 * The state that both paths of an address space share: the map, the watchpoints, and the rules for
 * the result of an access.
 *
 * Device handlers and listeners may change the bus. An access therefore copies the fields `hit` and
 * `offset` to local variables before it calls one.
 *
 * A change of the map or of the watchpoints first invalidates all caches and then takes effect in
 * steps that cannot fail. If the change throws earlier (the stack may be full), both paths still
 * see the old map. Accesses fill the caches again when they need them, so the cost of a change does
 * not grow with the numbers of regions and watchpoints.
 */
export class Bus implements MemoryUser {
  /** Sorted by address. */
  readonly #regions: Region[] = [];
  /** The first address of each region; Infinity if it exceeds 2^53 - 1. */
  readonly #starts: number[] = [];
  /** Whether there are watchpoints. */
  private watched = false;
  readonly watches = new WatchTable();
  /**
   * Incremented when a watchpoint is added or removed, and when memory of a region is destroyed or
   * its tracking changes.
   */
  version = 0;
  /** The region found before `hit`: accesses often alternate between two regions. */
  #previous: Region | null = null;
  /** The region that `find` returned last. `find` tries it first. */
  hit: Region | null = null;
  /** The offset in `hit` of the address that `find` looked up last. */
  offset = 0;
  /** The result of the last `read`. */
  result: GuestMemAccessResult = OK;

  /** The cached value of `largest`; undefined if it must be computed. */
  #largest: RamRegion | null | undefined = null;
  #watchpointsMade = 0;
  readonly #links = new MemoryLinks(this);
  readonly #invalidate: () => void;
  readonly #mapChanged: () => void;

  /**
   * @param invalidate - Invalidates the caches of both paths. Called before each change.
   * @param mapChanged - Called when a copy of the map that a program keeps is no longer valid.
   */
  constructor(invalidate: () => void, mapChanged: () => void) {
    this.#invalidate = invalidate;
    this.#mapChanged = mapChanged;
  }

  /**
   * @param dirty - The new dirty bitmap of the region's memory; null keeps the present one, if any.
   * @throws RangeError if the region overlaps another. Nothing changes then.
   */
  add(region: Region, dirty: DirtyBitmap | null = null): void {
    const index = this.#countUpTo(region.gpa);
    for (const other of [this.#regions[index - 1], this.#regions[index]]) {
      if (other !== undefined && overlap(region, other)) {
        throw rangeError(`${printable(region.name)} overlaps ${printable(other.name)}`);
      }
    }
    let largest = this.#largest;
    if (region.kind === "ram" && largest !== undefined && isLarger(region, largest)) {
      largest = region;
    }
    this.#invalidateMap();
    if (region.kind !== "mmio") {
      this.#links.add(region.internals.marks);
    }
    reserveLittleStack();
    if (region.kind === "ram" && dirty !== null) {
      region.internals.marks.set(dirty);
    }
    this.#largest = largest;
    this.#regions.splice(index, 0, region);
    this.#starts.splice(index, 0, region.start);
  }

  /** The mapped regions, sorted by address. Not a copy. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** @throws TypeError; RangeError if the region is not mapped here. */
  remove(region: Region): void {
    if (!isRegion(region)) {
      throw typeError("region must be a region of the address space");
    }
    const index = this.#countUpTo(region.gpa) - 1;
    if (this.#regions[index] !== region) {
      throw rangeError("region is not mapped in this address space");
    }
    this.#invalidateMap();
    reserveLittleStack();
    if (region === this.#largest) {
      this.#largest = undefined;
    }
    this.#regions.splice(index, 1);
    this.#starts.splice(index, 1);
    if (region.kind !== "mmio") {
      try {
        this.#links.remove(region.internals.marks);
      } catch {
        // The stack is full. The memory keeps notifying this bus of changes, which is harmless.
      }
    }
  }

  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    const serial = this.#watchpointsMade;
    const watchpoint = new Watchpoint(range, listener, serial, (removed) => {
      this.#invalidateAll();
      this.watches.remove(removed);
      this.watched = this.watches.size !== 0;
    });
    reserveStack();
    this.#invalidateAll();
    this.#watchpointsMade++;
    this.watches.add(watchpoint);
    this.watched = true;
    return watchpoint;
  }

  memoryChanging(): void {
    this.#largest = undefined;
    this.#invalidateAll();
  }

  /**
   * The RAM region with the most bytes below guest physical address 4 GiB; null for no such RAM.
   */
  get largest(): RamRegion | null {
    if (this.#largest === undefined) {
      let found: RamRegion | null = null;
      for (const region of this.#regions) {
        if (region.kind === "ram" && isLarger(region, found)) {
          found = region;
        }
      }
      this.#largest = found;
    }
    return this.#largest;
  }

  /**
   * The region that contains an address; null if it is not mapped. Also sets `hit` to the region
   * and `offset` to the offset in it.
   *
   * @throws TypeError, RangeError if `gpa` is not an address.
   */
  find(gpa: Gpa): Region | null {
    const address = toAddress(gpa);
    const { hit } = this;
    if (hit !== null && address >= hit.start && address - hit.start < hit.length) {
      this.offset = address - hit.start;
      return hit;
    }
    const previous = this.#previous;
    if (
      previous !== null &&
      address >= previous.start &&
      address - previous.start < previous.length
    ) {
      this.#previous = hit;
      this.hit = previous;
      this.offset = address - previous.start;
      return previous;
    }
    return address === Infinity ? this.#findFar(BigInt(gpa)) : this.#findNear(address);
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
    const { offset } = this;
    let result: GuestMemAccessResult;
    if (region === null) {
      result = FAULT_BOUNDARY;
    } else if (region.kind === "mmio") {
      result = checkRegister(region, offset, kind.bytes, kind.reads(region.device));
      if (result === OK) {
        kind.width.store(kind.scratch, readDevice(region, offset, kind));
      }
    } else {
      result = kind.tryRead(native ? region.memory.native : region.memory, offset, kind.scratch);
    }
    const value = kind.scratch[0] as T;
    if (result === OK && this.watched) {
      this.notify(region!, offset, kind.bytes, "read", gpa, value);
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
    const { offset } = this;
    if (region.kind === "rom" || this.isWatched(region, offset, "write")) {
      const result = checkWrite(region, offset, kind);
      if (result !== OK) {
        return result;
      }
      this.notify(region, offset, kind.bytes, "write", gpa, value);
    }
    if (region.kind === "mmio") {
      const result = checkRegister(region, offset, kind.bytes, kind.writes(region.device));
      if (result === OK) {
        kind.write(region.device, offset, value);
      }
      return result;
    }
    return kind.tryWrite(native ? region.memory.native : region.memory, offset, value);
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
      const { offset } = this;
      const part = Math.min(length - done, region.length - offset);
      const result = checkMemory(region, offset, part, operation);
      if (result !== OK) {
        return result;
      }
      pieces.push({ region, offset, length: part });
      done += part;
    }
    return OK;
  }

  /**
   * The number of bytes from an address on, at least 1, that belong to the same region, or to none.
   *
   * @param gpa - At most 2^64 - 1.
   */
  reach(gpa: Gpa): number {
    const region = this.find(gpa);
    if (region !== null) {
      return region.length - this.offset;
    }
    const address = BigInt(gpa);
    const next = this.#regions[this.#countUpTo(address)];
    return Number((next?.gpa ?? MAX_U64 + 1n) - address);
  }

  /** Whether the page of a byte has a watchpoint for this kind of access. */
  isWatched(region: Region, offset: number, kind: Operation): boolean {
    return this.watched && this.watches.index(kind).covers(region.pageAt(offset));
  }

  /** Calls the listeners whose ranges an access touches, in the order they were added. */
  notify(
    region: Region,
    offset: number,
    width: number,
    kind: Operation,
    gpa: Gpa,
    value?: Value,
  ): void {
    if (!this.watched) {
      return;
    }
    const page = region.pageAt(offset);
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
  recheck(pieces: readonly Piece[], operation: Operation): GuestMemAccessResult {
    for (const { region, offset, length } of pieces) {
      const result = checkMemory(region, offset, length, operation);
      if (result !== OK) {
        return result;
      }
    }
    return OK;
  }

  /** Invalidates the caches that depend on which region is mapped where. */
  #invalidateMap(): void {
    this.hit = null;
    this.#previous = null;
    this.#mapChanged();
    this.#invalidate();
  }

  /** Invalidates these and the stretches of every region (see `Stretch`). */
  #invalidateAll(): void {
    this.#invalidateMap();
    this.version++;
  }

  /** The number of regions that start at or below an address. */
  #countUpTo(gpa: bigint): number {
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#regions[middle]!.gpa <= gpa) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  #findNear(address: number): Region | null {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low === 0 ? null : this.#found(this.#regions[low - 1]!, address - starts[low - 1]!);
  }

  /** As `#findNear`, for addresses above 2^53 - 1. */
  #findFar(address: bigint): Region | null {
    const region = this.#regions[this.#countUpTo(address) - 1];
    return region === undefined ? null : this.#found(region, Number(address - region.gpa));
  }

  #found(region: Region, offset: number): Region | null {
    if (offset >= region.length) {
      return null;
    }
    this.#previous = this.hit;
    this.hit = region;
    this.offset = offset;
    return region;
  }
}

function overlap(a: Region, b: Region): boolean {
  return a.gpa < b.gpa + b.size && b.gpa < a.gpa + a.size;
}

/** Whether a RAM region has more bytes below 4 GiB than another. */
function isLarger(region: RamRegion, other: RamRegion | null): boolean {
  return region.lowWindow.quads > (other?.lowWindow.quads ?? 0);
}

/** The result of an access to a device, before its handler is called. */
function checkRegister(
  region: MmioRegion,
  offset: number,
  bytes: number,
  handled: boolean,
): GuestMemAccessResult {
  if (offset > region.length - bytes || !handled) {
    return FAULT_BOUNDARY;
  }
  return (offset & (bytes - 1)) === 0 ? OK : FAULT_UNALIGNED;
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

/** The result of an access to RAM or ROM, apart from its alignment. */
function checkMemory(
  region: RamRegion | RomRegion,
  offset: number,
  length: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = region.internals.checkRange(offset, length);
  // An error of the host (destroyed memory) takes precedence over a fault of the guest.
  return operation === "write" && region.kind === "rom" && result !== ERROR_INTERNAL
    ? FAULT_BOUNDARY
    : result;
}

/** The result that a write would have. */
export function checkWrite<T extends Value, A extends Out>(
  region: Region,
  offset: number,
  kind: SpaceWidth<T, A>,
): GuestMemAccessResult {
  if (region.kind === "mmio") {
    return checkRegister(region, offset, kind.bytes, kind.writes(region.device));
  }
  const result = checkMemory(region, offset, kind.bytes, "write");
  return result === OK && (offset & (kind.bytes - 1)) !== 0 ? FAULT_UNALIGNED : result;
}

function describe(gpa: Gpa, width: number, kind: Operation, value?: Value): WatchedAccess {
  const start = BigInt(gpa);
  return value === undefined ? { gpa: start, width, kind } : { gpa: start, width, kind, value };
}
