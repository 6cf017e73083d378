import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { gpaAt, toAddress } from "../base/arguments.js";
import { GuestMemoryFault, type Operation, rangeError, typeError } from "../base/errors.js";
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

/** A part of a bulk access that lies in one region. */
export interface Piece {
  readonly region: RamRegion | RomRegion;
  /** From the start of the region. */
  readonly offset: number;
  readonly length: number;
}

/**
 * What both paths of an address space have in common: the map, the watchpoints, and the rules that
 * say what an access comes to.
 *
 * Handlers of devices and listeners may do anything to the bus, so an access keeps what it has found
 * in variables of its own across a call of theirs.
 *
 * A change first makes everybody forget what was known of the map, and then takes effect at once. So
 * wherever it breaks off, both paths agree. What was forgotten is found out anew by the accesses that
 * want it, and so a change costs the same however much is mapped and watched.
 */
export class Bus implements MemoryUser {
  /** Sorted by address. */
  readonly #regions: Region[] = [];
  /** The first address of each, Infinity where only a bigint can hold it. */
  readonly #starts: number[] = [];
  /** Whether there are watchpoints. */
  private watched = false;
  readonly watches = new WatchTable();
  /** Changes whenever watchpoints or the memory under a region do. */
  version = 0;
  /** The region found before `hit`: a program's accesses often go back and forth between two. */
  #previous: Region | null = null;
  /** The region of the last address that was found, which the next is likely to lie in. */
  hit: Region | null = null;
  /** Where in it. */
  offset = 0;
  /** What the last read came to. */
  result: GuestMemAccessResult = OK;

  /** The RAM that has most below 4 GiB; null where there is none, undefined where it is not known. */
  #largest: RamRegion | null | undefined = null;
  #watchpointsMade = 0;
  readonly #links = new MemoryLinks(this);
  readonly #forget: () => void;

  /** @param forget - Called before what was known of a region no longer holds. */
  constructor(forget: () => void) {
    this.#forget = forget;
  }

  /**
   * @param dirty - Where to mark what is written to the memory of the region, if that is to change.
   * @throws RangeError where it overlaps another; nothing has changed then.
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
    this.#forgetMap();
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

  /** What is mapped, sorted by address; not a copy. */
  get regions(): readonly Region[] {
    return this.#regions;
  }

  /** @throws TypeError; RangeError where it is not mapped here. */
  remove(region: Region): void {
    if (!isRegion(region)) {
      throw typeError("region must be a region of the address space");
    }
    const index = this.#countUpTo(region.gpa) - 1;
    if (this.#regions[index] !== region) {
      throw rangeError("region is not mapped in this address space");
    }
    this.#forgetMap();
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
        // Where the stack ends here, the memory goes on telling of what no longer matters.
      }
    }
  }

  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    const serial = this.#watchpointsMade;
    const watchpoint = new Watchpoint(range, listener, serial, (gone) => {
      this.#forgetAll();
      this.watches.remove(gone);
      this.watched = this.watches.size !== 0;
    });
    reserveStack();
    this.#forgetAll();
    this.#watchpointsMade++;
    this.watches.add(watchpoint);
    this.watched = true;
    return watchpoint;
  }

  memoryChanging(): void {
    this.#largest = undefined;
    this.#forgetAll();
  }

  /** The RAM that has most below 4 GiB of the guest's addresses; null where there is none. */
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
   * The region of an address, left in `hit` with the place in it in `offset`; null where nothing is
   * mapped.
   *
   * @throws TypeError, RangeError for what is no address.
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
   * Makes a read. What it came to is in `result`, and only on `OK` does the value mean anything.
   *
   * @param native - Whether RAM and ROM are read by the native path.
   * @param region - What `find` has just found for `gpa`.
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
      this.tell(region!, offset, kind.bytes, "read", gpa, value);
    }
    this.result = result;
    return value;
  }

  /**
   * Makes a write.
   *
   * @param native - Whether RAM is written by the native path.
   * @param region - What `find` has just found for `gpa`.
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
      this.tell(region, offset, kind.bytes, "write", gpa, value);
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
   * The parts of a bulk access, all of which can be done.
   *
   * @throws {@link GuestMemoryFault} where one cannot; TypeError, RangeError.
   */
  pieces(gpa: Gpa, length: number, operation: Operation): Piece[] {
    toAddress(gpa);
    const pieces: Piece[] = [];
    for (let done = 0; done < length;) {
      const at = gpaAt(gpa, done);
      const region = at <= MAX_U64 ? this.find(at) : null;
      if (region === null || region.kind === "mmio") {
        throw new GuestMemoryFault(FAULT_BOUNDARY, gpa, length, operation);
      }
      const { offset } = this;
      const part = Math.min(length - done, region.length - offset);
      const result = checkMemory(region, offset, part, operation);
      if (result !== OK) {
        throw new GuestMemoryFault(result, gpa, length, operation);
      }
      pieces.push({ region, offset, length: part });
      done += part;
    }
    return pieces;
  }

  /** Whether an access to a byte, which crosses no page, has to ask the watchpoints. */
  isWatched(region: Region, offset: number, kind: Operation): boolean {
    return this.watched && this.watches.index(kind).covers(region.pageAt(offset));
  }

  /** Calls the listeners that an access concerns, in the order they were added. */
  tell(
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
    // Made by the first that the access concerns.
    let access: WatchedAccess | undefined;
    for (const watchpoint of index.atPage(page)) {
      // One listener may have removed another.
      if (watchpoint.touches(gpa, width) && !watchpoint.removed) {
        access ??= describe(gpa, width, kind, value);
        watchpoint.listener(access);
      }
    }
  }

  /** Calls the listeners that a bulk access concerns, each once, in the order they were added. */
  tellBulk(gpa: Gpa, length: number, kind: Operation): void {
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
   * Makes sure that the pieces of a bulk access can still be accessed, after listeners were called.
   * The map may be another by now: the access goes on where it was going.
   *
   * @throws {@link GuestMemoryFault} where they cannot.
   */
  recheck(pieces: readonly Piece[], gpa: Gpa, length: number, operation: Operation): void {
    for (const { region, offset, length: part } of pieces) {
      const result = checkMemory(region, offset, part, operation);
      if (result !== OK) {
        throw new GuestMemoryFault(result, gpa, length, operation);
      }
    }
  }

  /** Makes everybody forget which region is where. */
  #forgetMap(): void {
    this.hit = null;
    this.#previous = null;
    this.#forget();
  }

  /** Makes everybody forget what of a region can be reached without further checks, too. */
  #forgetAll(): void {
    this.#forgetMap();
    this.version++;
  }

  /** How many regions begin at an address or below it. */
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

  /** As `#findNear`, for addresses that only a bigint can hold. */
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

/** Whether RAM has more below 4 GiB than other RAM. */
function isLarger(region: RamRegion, other: RamRegion | null): boolean {
  return region.near.quads > (other?.near.quads ?? 0);
}

/** What an access to a device comes to. */
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
 * Calls a handler that is there.
 *
 * @throws TypeError, RangeError where it gives what is no value of the width: a mistake in the
 * program, not in the guest.
 */
function readDevice<T extends Value, A extends Out>(
  region: MmioRegion,
  offset: number,
  kind: SpaceWidth<T, A>,
): T {
  return kind.width.checkValue(kind.read(region.device, offset), region.readName);
}

/** What an access to RAM or ROM comes to, but for its alignment. */
function checkMemory(
  region: RamRegion | RomRegion,
  offset: number,
  length: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = region.internals.checkRange(offset, length);
  // The host's fault first, whatever the guest was about to do.
  return operation === "write" && region.kind === "rom" && result !== ERROR_INTERNAL
    ? FAULT_BOUNDARY
    : result;
}

/** What a write comes to, without doing it. */
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
