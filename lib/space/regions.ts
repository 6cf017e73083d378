import { inspect } from "node:util";
import { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { PAGE_SIZE, pageOf } from "../base/page.js";
import { rangeError, typeError } from "../base/errors.js";
import { isInstance, toByteCount, toAddress } from "../base/arguments.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import {
  type GuestMemory,
  guestMemoryInternals,
  type GuestMemoryInternals,
} from "../memory/guest-memory.js";
import { checkDevice, type MmioDevice } from "./mmio.js";
import { printable } from "../base/printable.js";
import { type WatchIndex } from "./watch-table.js";
import { EMPTY_WINDOW, makeWindow, WINDOW_SIZE, type Window } from "../memory/windows.js";

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
  /** The page of its first address, and the bytes of that page before it. @internal */
  readonly firstPage: number;
  /** @internal */
  readonly skew: number;
  /** Tells regions from all other objects, proxies of regions included. */
  readonly #isRegion = true;

  constructor(kind: string, gpa: Gpa, size: number, alignment: number, name?: string) {
    this.start = toAddress(gpa);
    this.gpa = BigInt(gpa);
    this.length = size;
    this.size = BigInt(size);
    this.firstPage = pageOf(this.gpa);
    this.skew = Number(this.gpa % BigInt(PAGE_SIZE));
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

  /** Whether a value is a region, of any space; asks nothing of the value. @internal */
  static includes(value: unknown): boolean {
    return typeof value === "object" && value !== null && #isRegion in value;
  }

  /** The page of guest physical addresses that a byte of the region lies in. @internal */
  pageAt(offset: number): number {
    return this.firstPage + Math.floor((this.skew + offset) / PAGE_SIZE);
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
  /** The bytes. Accesses to it directly pass by watchpoints, and to buffers of it by the marks. */
  readonly memory: GuestMemory;
  /** @internal */
  readonly internals: GuestMemoryInternals;
  readonly #stretches = { read: new Map<number, Stretch>(), write: new Map<number, Stretch>() };
  // The last of each, which the next access is likely to lie in.
  #readStretch: Stretch | null = null;
  #writeStretch: Stretch | null = null;
  #near: Window | null = null;
  /** What the stretches were cut for. */
  #version = -1;

  constructor(kind: string, gpa: Gpa, memory: GuestMemory, name?: string) {
    const internals = guestMemoryInternals(memory);
    super(kind, gpa, Number(memory.size), PAGE_SIZE, name);
    this.memory = memory;
    this.internals = internals;
  }

  /** The stretch around a byte for reads; null where that is watched, or gone. @internal */
  readStretchAt(offset: number, watched: WatchIndex, version: number): Stretch | null {
    this.#renew(version);
    const last = this.#readStretch;
    if (last !== null && offset >= last.from && offset - last.from < last.length) {
      return last;
    }
    return (this.#readStretch = this.#stretchAt(offset, watched, this.#stretches.read));
  }

  /** As `readStretchAt`, for writes; also of ROM, and of RAM that is tracked. @internal */
  writeStretchAt(offset: number, watched: WatchIndex, version: number): Stretch | null {
    this.#renew(version);
    const last = this.#writeStretch;
    if (last !== null && offset >= last.from && offset - last.from < last.length) {
      return last;
    }
    return (this.#writeStretch = this.#stretchAt(offset, watched, this.#stretches.write));
  }

  /** The bytes from the start on that lie below 4 GiB of the guest's addresses. @internal */
  get near(): Window {
    if (this.internals.windows().length === 0) {
      return EMPTY_WINDOW;
    }
    return (this.#near ??= this.#cutNear());
  }

  /** How many times 8 bytes, from the start on, are not watched. @internal */
  openQuads(watched: WatchIndex): number {
    const gap = watched.gapAt(this.firstPage);
    return gap === null
      ? 0
      : Math.min(this.near.quads, (gap.last + 1 - this.firstPage) * (PAGE_SIZE / 8));
  }

  /** Forgets the stretches that were cut before watchpoints or windows changed. */
  #renew(version: number): void {
    if (version !== this.#version) {
      this.#stretches.read.clear();
      this.#stretches.write.clear();
      this.#readStretch = null;
      this.#writeStretch = null;
      this.#version = version;
    }
  }

  #cutNear(): Window {
    const window = this.internals.windows()[0];
    if (window === undefined || this.start >= WINDOW_SIZE) {
      return EMPTY_WINDOW;
    }
    const length = WINDOW_SIZE - this.start;
    return window.u8.length <= length ? window : makeWindow(window.u8.subarray(0, length));
  }

  #stretchAt(offset: number, watched: WatchIndex, stretches: Map<number, Stretch>): Stretch | null {
    const number = Math.floor(offset / WINDOW_SIZE);
    const window = this.internals.windows()[number];
    // Whole pages, so that no access lies across the edge of a stretch.
    const gap = watched.gapAt(this.pageAt(offset));
    if (window === undefined || gap === null) {
      return null;
    }
    const start = number * WINDOW_SIZE;
    let from = Math.max(start, (gap.first - this.firstPage) * PAGE_SIZE);
    let to = Math.min(start + window.u8.length, (gap.last + 1 - this.firstPage) * PAGE_SIZE);
    const edge = WINDOW_SIZE - this.start;
    if (edge > offset) {
      to = Math.min(to, edge);
    } else if (edge > 0) {
      from = Math.max(from, edge);
    }
    if (offset >= to) {
      return null;
    }
    const stretch = stretches.get(from) ?? makeStretch(window, start, { from, to }, this.start);
    stretches.set(from, stretch);
    return stretch;
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

  /** @internal */
  constructor(gpa: Gpa, memory: GuestMemory, name?: string) {
    super("ram", gpa, memory, name);
  }

  /**
   * Which pages of the memory were written since the last drain; null while it is not tracked. All
   * regions over one memory have the same bitmap.
   */
  get dirty(): DirtyBitmap | null {
    return this.internals.marks.dirty;
  }

  /**
   * Tracks the pages of the memory that are written, from here on: through any region and any space
   * that maps it, and through its own methods. Memory that is tracked already keeps its bitmap,
   * unless another is given.
   *
   * @param bitmap - Where to mark them, for instance bits shared with other threads. A fresh bitmap
   * by default.
   * @throws TypeError; RangeError where the bitmap is for RAM of another size; Error
   * `ERR_OUT_OF_MEMORY`.
   */
  startTracking(bitmap?: DirtyBitmap): DirtyBitmap {
    const chosen = chooseBitmap(this, bitmap);
    this.internals.marks.set(chosen);
    return chosen;
  }

  /** Ends the tracking of the memory, and with it what it costs. */
  stopTracking(): void {
    this.internals.marks.set(null);
  }
}

/**
 * The bitmap to track a region with.
 *
 * @throws as `startTracking`.
 */
export function chooseBitmap(
  region: RamRegion,
  bitmap: DirtyBitmap = region.dirty ?? new DirtyBitmap(region.length),
): DirtyBitmap {
  if (!isInstance(bitmap, DirtyBitmap)) {
    throw typeError("bitmap must be a DirtyBitmap");
  }
  if (bitmap.size !== region.size) {
    throw rangeError("bitmap must be for RAM of the region's size");
  }
  return bitmap;
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

/** Whether a value is a region, of any space. */
export function isRegion(value: unknown): value is Region {
  return BaseRegion.includes(value);
}

/** Anything that an address space maps; `kind` tells which. */
export type Region = RamRegion | RomRegion | MmioRegion;
