import { inspect } from "node:util";
import { DirtyBitmap, PAGE_SIZE } from "./dirty-bitmap.js";
import { rangeError, typeError, type Operation, isInstance } from "./errors.js";
import { MAX_U64, toByteCount, toAddress, type Gpa } from "./gpa.js";
import {
  type GuestMemory,
  guestMemoryInternals,
  type GuestMemoryInternals,
} from "./guest-memory.js";
import { checkDevice, type MmioDevice } from "./mmio.js";
import { printable } from "./printable.js";
import type { Watchpoint } from "./watchpoint.js";
import { EMPTY_WINDOW, makeWindow, WINDOW_SIZE, type Window } from "./windows.js";

/** The part of a watchpoint's range that lies in one region. */
export interface RegionWatch {
  readonly watchpoint: Watchpoint;
  /** Offsets into the region: the first byte, and the byte behind the last. */
  readonly from: number;
  readonly to: number;
}

/** A stretch of RAM or ROM that one kind of access may reach without asking watchpoints. */
export interface Stretch extends Window {
  /** Offset of the first byte from the start of the region. */
  readonly from: number;
  /** Bytes. That of `u8` is 0 once the buffer under it is detached. */
  readonly length: number;
  /** Guest physical address of the first byte; Infinity where only a bigint can hold that. */
  readonly base: number;
  /** Whether a number can be the address of every byte of it. */
  readonly safe: boolean;
}

/** A contiguous range of guest physical addresses that something answers for. */
abstract class BaseRegion {
  /** For people; need not be unique. */
  readonly name: string;
  /** First guest physical address. */
  readonly gpa: bigint;
  /** Bytes. */
  readonly size: bigint;
  /** The first address as a number; Infinity where it is above 2^53 - 1. @internal */
  readonly start: number;
  /** Bytes as a number. @internal */
  readonly length: number;
  /** What is watched of the region; replaced, never changed. @internal */
  watches: readonly RegionWatch[] = [];

  constructor(kind: string, gpa: Gpa, size: number, alignment: number, name?: string) {
    this.start = toAddress(gpa);
    this.gpa = BigInt(gpa);
    this.length = size;
    this.size = BigInt(size);
    if (name !== undefined && typeof name !== "string") {
      throw typeError("name must be a string");
    }
    this.name = name ?? `${kind}@0x${this.gpa.toString(16)}`;
    if (size === 0) {
      throw rangeError("a region must have at least 1 byte");
    }
    if (this.gpa % BigInt(alignment) !== 0n) {
      throw rangeError(`gpa must be a multiple of ${alignment}`);
    }
    if (this.gpa + this.size > MAX_U64 + 1n) {
      throw rangeError("a region must end at 2^64 or below");
    }
  }

  /** Keeps `console.log(region)` from printing gigabytes. */
  [inspect.custom](): string {
    return `${this.constructor.name} { name: ${printable(this.name)}, gpa: 0x${this.gpa.toString(16)}, size: ${this.size} }`;
  }

  /** Keeps `JSON.stringify` from writing out gigabytes: the label, the address in hex, the bytes. */
  toJSON(): { type: string; name: string; gpa: string; size: number } {
    return {
      type: this.constructor.name,
      name: this.name,
      gpa: `0x${this.gpa.toString(16)}`,
      size: this.length,
    };
  }
}

/** A region whose bytes are a {@link GuestMemory}: byte 0 of it lies at `gpa`. */
abstract class MemoryRegion extends BaseRegion {
  /** The bytes. Writing to it directly passes by watchpoints and dirty tracking. */
  readonly memory: GuestMemory;
  /** @internal */
  readonly internals: GuestMemoryInternals;
  readonly #stretches: Record<Operation, Map<number, Stretch>> = {
    read: new Map(),
    write: new Map(),
  };
  // The last of each, which the next access is likely to lie in.
  #readStretch: Stretch | null = null;
  #writeStretch: Stretch | null = null;
  #near: Window | null = null;

  constructor(kind: string, gpa: Gpa, memory: GuestMemory, name?: string) {
    const internals = guestMemoryInternals(memory);
    super(kind, gpa, Number(memory.size), PAGE_SIZE, name);
    this.memory = memory;
    this.internals = internals;
  }

  /** Forgets what was computed from watchpoints and windows. @internal */
  dropStretches(): void {
    this.#stretches.read.clear();
    this.#stretches.write.clear();
    this.#readStretch = null;
    this.#writeStretch = null;
    if (this.internals.windows().length === 0) {
      this.#near = null;
    }
  }

  /** The stretch around a byte for reads; null where that is watched, or gone. @internal */
  readStretchAt(offset: number): Stretch | null {
    const last = this.#readStretch;
    if (last !== null && offset >= last.from && offset - last.from < last.length) {
      return last;
    }
    return (this.#readStretch = this.#stretchAt(offset, "read"));
  }

  /** As `readStretchAt`, for writes; also of ROM, and of RAM that is tracked. @internal */
  writeStretchAt(offset: number): Stretch | null {
    const last = this.#writeStretch;
    if (last !== null && offset >= last.from && offset - last.from < last.length) {
      return last;
    }
    return (this.#writeStretch = this.#stretchAt(offset, "write"));
  }

  /** The bytes from the start on that lie below 4 GiB of the guest's addresses. @internal */
  get near(): Window {
    return (this.#near ??= this.#cutNear());
  }

  /** How many times 8 bytes, from the start on, are not watched. @internal */
  openQuads(operation: Operation): number {
    let { quads } = this.near;
    for (const { watchpoint, from } of this.watches) {
      if (watchpoint.concerns(operation)) {
        quads = Math.min(quads, (Math.floor(from / PAGE_SIZE) * PAGE_SIZE) / 8);
      }
    }
    return quads;
  }

  #cutNear(): Window {
    const window = this.internals.windows()[0];
    if (window === undefined || this.start >= WINDOW_SIZE) {
      return EMPTY_WINDOW;
    }
    const length = WINDOW_SIZE - this.start;
    return window.u8.length <= length ? window : makeWindow(window.u8.subarray(0, length));
  }

  #stretchAt(offset: number, operation: Operation): Stretch | null {
    const number = Math.floor(offset / WINDOW_SIZE);
    const window = this.internals.windows()[number];
    if (window === undefined) {
      return null;
    }
    const start = number * WINDOW_SIZE;
    const cut = { from: start, to: start + window.u8.length };
    const edge = WINDOW_SIZE - this.start;
    if (edge > 0) {
      keepSide(cut, offset, edge, edge);
    }
    for (const { watchpoint, from, to } of this.watches) {
      if (watchpoint.concerns(operation)) {
        // Whole pages, so that no access lies across the edge of a stretch.
        const first = Math.floor(from / PAGE_SIZE) * PAGE_SIZE;
        keepSide(cut, offset, first, Math.ceil(to / PAGE_SIZE) * PAGE_SIZE);
      }
    }
    if (offset < cut.from || offset >= cut.to) {
      return null;
    }
    const stretches = this.#stretches[operation];
    const stretch = stretches.get(cut.from) ?? makeStretch(window, start, cut, this.start);
    stretches.set(cut.from, stretch);
    return stretch;
  }
}

/** Takes a hole, and all that lies beyond it as seen from `offset`, out of a range. */
function keepSide(
  cut: { from: number; to: number },
  offset: number,
  holeStart: number,
  holeEnd: number,
): void {
  if (holeEnd <= offset) {
    cut.from = Math.max(cut.from, holeEnd);
  } else {
    cut.to = Math.min(cut.to, holeStart);
  }
}

/**
 * @param start - Offset of the window from the start of the region.
 * @param cut - The part of it, as offsets from the start of the region.
 * @param regionStart - Guest physical address of the region.
 */
function makeStretch(
  window: Window,
  start: number,
  { from, to }: { from: number; to: number },
  regionStart: number,
): Stretch {
  const whole = from === start && to - from === window.u8.length;
  const { u8, u16, u32, u64, quads, data } = whole
    ? window
    : makeWindow(window.u8.subarray(from - start, to - start));
  const base = regionStart + from;
  const safe = regionStart + to - 1 <= Number.MAX_SAFE_INTEGER;
  return { u8, u16, u32, u64, quads, data, from, length: to - from, base, safe };
}

/** RAM: read and written. */
export class RamRegion extends MemoryRegion {
  readonly kind = "ram";
  readonly #onChange: () => void;
  #dirty: DirtyBitmap | null = null;

  /** @internal */
  constructor(gpa: Gpa, memory: GuestMemory, onChange: () => void, name?: string) {
    super("ram", gpa, memory, name);
    this.#onChange = onChange;
  }

  /** Which pages were written through the space since the last drain; null while not tracked. */
  get dirty(): DirtyBitmap | null {
    return this.#dirty;
  }

  /**
   * Tracks the pages that are written through the space, from here on. RAM that is tracked already
   * keeps its bitmap, unless another is given.
   *
   * @param bitmap - Where to mark them, for instance bits shared with other threads, or with another
   * region over the same RAM. A fresh bitmap by default.
   * @throws TypeError; RangeError where the bitmap is for RAM of another size.
   */
  startTracking(bitmap: DirtyBitmap = this.#dirty ?? new DirtyBitmap(this.length)): DirtyBitmap {
    if (!isInstance(bitmap, DirtyBitmap)) {
      throw typeError("bitmap must be a DirtyBitmap");
    }
    if (bitmap.size !== this.size) {
      throw rangeError("bitmap must be for RAM of the region's size");
    }
    if (bitmap !== this.#dirty) {
      this.#dirty?.interrupt();
      bitmap.interrupt();
    }
    this.#dirty = bitmap;
    this.#onChange();
    return bitmap;
  }

  /** Ends the tracking, and with it what it costs. */
  stopTracking(): void {
    this.#dirty?.interrupt();
    this.#dirty = null;
    this.#onChange();
  }
}

/** ROM: a guest's write to it is `FAULT_BOUNDARY`. */
export class RomRegion extends MemoryRegion {
  readonly kind = "rom";

  /** @internal */
  constructor(gpa: Gpa, memory: GuestMemory, name?: string) {
    super("rom", gpa, memory, name);
  }
}

/** A device's registers. */
export class MmioRegion extends BaseRegion {
  readonly kind = "mmio";
  /** What answers for the region. */
  readonly device: MmioDevice;
  /** Names what a handler returns, in an error. @internal */
  readonly readName: string;

  /** @internal */
  constructor(gpa: Gpa, size: Gpa, device: MmioDevice, name?: string) {
    super("mmio", gpa, toByteCount(size, "size"), 8, name);
    this.device = checkDevice(device);
    this.readName = `what the device of ${printable(this.name)} returns for a read`;
  }
}

/** Anything that an address space maps; `kind` tells which. */
export type Region = RamRegion | RomRegion | MmioRegion;
