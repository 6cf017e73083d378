import { PAGE_SIZE } from "./dirty-bitmap.js";
import { gpaAt } from "./elements.js";
import { GuestMemoryFault, type Operation, rangeError, typeError } from "./errors.js";
import { MAX_U64, toAddress, type Gpa } from "./gpa.js";
import { printable } from "./printable.js";
import { GuestMemAccessResult } from "./result.js";
import type { MmioRegion, RamRegion, Region, RegionWatch, RomRegion } from "./regions.js";
import type { SpaceWidth } from "./space-widths.js";
import {
  type WatchedAccess,
  type WatchListener,
  Watchpoint,
  type WatchRange,
} from "./watchpoint.js";
import type { Out, Value } from "./widths.js";

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
 */
export class Bus {
  /** Sorted by address; replaced, never changed. */
  regions: readonly Region[] = [];
  /** The first address of each, Infinity where only a bigint can hold it. */
  #starts = new Float64Array(0);
  /** The region found before `hit`: a program's accesses often go back and forth between two. */
  #previous: Region | null = null;
  /** The region of the last address that was found, which the next is likely to lie in. */
  hit: Region | null = null;
  /** Where in it. */
  offset = 0;
  /** What the last read came to. */
  result: GuestMemAccessResult = OK;

  #watchpoints: readonly Watchpoint[] = [];
  readonly #onChange: () => void;

  /** @param onChange - Called when what was known of a region may no longer hold. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** @throws RangeError where it overlaps another. */
  add(region: Region): void {
    const index = this.#indexAfter(region.gpa);
    const [below, above] = [this.regions[index - 1], this.regions[index]];
    for (const other of [below, above]) {
      if (other !== undefined && overlap(region, other)) {
        throw rangeError(`${printable(region.name)} overlaps ${printable(other.name)}`);
      }
    }
    this.#map(this.regions.toSpliced(index, 0, region));
  }

  /** @throws TypeError; RangeError where it is not mapped here. */
  remove(region: Region): void {
    if (typeof region !== "object" || region === null) {
      throw typeError("region must be a region of the address space");
    }
    const index = this.regions.indexOf(region);
    if (index < 0) {
      throw rangeError("region is not mapped in this address space");
    }
    this.#map(this.regions.toSpliced(index, 1));
  }

  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    const watchpoint = new Watchpoint(range, listener, (gone) => {
      this.#watchpoints = this.#watchpoints.filter((other) => other !== gone);
      this.changed();
    });
    this.#watchpoints = [...this.#watchpoints, watchpoint];
    this.changed();
    return watchpoint;
  }

  /** To be called when regions, watchpoints or the RAM under a region have changed. */
  changed(): void {
    this.hit = null;
    this.#previous = null;
    for (const region of this.regions) {
      region.watches = this.#watchpoints
        .map((watchpoint) => clip(watchpoint, region))
        .filter(({ from, to }) => from < to);
      if (region.kind !== "mmio") {
        region.dropStretches();
      }
    }
    this.#onChange();
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
    if (result === OK && region!.watches.length !== 0) {
      tell(region!, offset, kind.bytes, "read", gpa, value);
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
    if (region.kind === "rom" || region.watches.length !== 0) {
      const result = checkWrite(region, offset, kind);
      if (result !== OK) {
        return result;
      }
      tell(region, offset, kind.bytes, "write", gpa, value);
    }
    if (region.kind === "mmio") {
      const result = checkRegister(region, offset, kind.bytes, kind.writes(region.device));
      if (result === OK) {
        kind.write(region.device, offset, value);
      }
      return result;
    }
    const access = native ? region.memory.native : region.memory;
    const result = kind.tryWrite(access, offset, value);
    if (result === OK && region.kind === "ram") {
      // Only now: see DirtyBitmap.
      region.dirty?.markPage(Math.floor(offset / PAGE_SIZE));
    }
    return result;
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

  /** Calls the listeners that a bulk access concerns, each once, in the order they were added. */
  tellBulk(pieces: readonly Piece[], gpa: Gpa, length: number, kind: Operation): void {
    const concerned = new Set<Watchpoint>();
    for (const { region, offset, length: part } of pieces) {
      for (const { watchpoint, from, to } of region.watches) {
        if (watchpoint.concerns(kind) && offset < to && offset + part > from) {
          concerned.add(watchpoint);
        }
      }
    }
    for (const watchpoint of this.#watchpoints) {
      if (concerned.has(watchpoint)) {
        call(watchpoint, { gpa: BigInt(gpa), width: length, kind });
      }
    }
  }

  #map(regions: readonly Region[]): void {
    this.regions = regions;
    this.#starts = Float64Array.from(regions, ({ start }) => start);
    this.changed();
  }

  /** The index of the first region above an address, or at it. */
  #indexAfter(gpa: bigint): number {
    const index = this.regions.findIndex((region) => region.gpa >= gpa);
    return index < 0 ? this.regions.length : index;
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
    return low === 0 ? null : this.#found(this.regions[low - 1]!, address - starts[low - 1]!);
  }

  /** As `#findNear`, for addresses that only a bigint can hold. */
  #findFar(address: bigint): Region | null {
    const region = this.regions.findLast(({ gpa }) => gpa <= address);
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

function clip(watchpoint: Watchpoint, region: Region): RegionWatch {
  const from = watchpoint.gpa - region.gpa;
  const to = from + watchpoint.length;
  return {
    watchpoint,
    from: from < 0n ? 0 : Number(from),
    to: to > region.size ? region.length : Number(to),
  };
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
function checkWrite<T extends Value, A extends Out>(
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

/** Calls the listeners that an access concerns. */
function tell(
  region: Region,
  offset: number,
  width: number,
  kind: Operation,
  gpa: Gpa,
  value: Value,
): void {
  for (const { watchpoint, from, to } of region.watches) {
    if (offset < to && offset + width > from && watchpoint.concerns(kind)) {
      call(watchpoint, { gpa: BigInt(gpa), width, kind, value });
    }
  }
}

function call(watchpoint: Watchpoint, access: WatchedAccess): void {
  // One listener may have removed another.
  if (!watchpoint.removed) {
    watchpoint.listener(access);
  }
}
