import { inspect } from "node:util";
import type { DirtyBitmap, DirtyCursor } from "../memory/dirty-bitmap.js";
import { PAGE_SIZE, pageOf } from "../base/page.js";
import { rangeError, typeError } from "../base/errors.js";
import { toByteCount, toAddress } from "../base/arguments.js";
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

/**
 * A stretch: adjacent pages of a RAM or ROM region, in one window of the memory, none of which is
 * watched for one kind of access. Accesses of that kind to a stretch need not check watchpoints.
 */
export interface Stretch extends Window {
  /** Offset of the first byte from the start of the region. */
  readonly from: number;
  /** Bytes. It does not change when the buffer is detached; `u8.length` becomes 0 then. */
  readonly length: number;
  /** Guest physical address of the first byte; Infinity if the region starts above 2^53 - 1. */
  readonly base: number;
  /** Whether the addresses of all its bytes are at most 2^53 - 1. */
  readonly safe: boolean;
}

/** A contiguous range of guest physical addresses with one owner: RAM, ROM or a device. */
abstract class BaseRegion {
  /** A label for messages and snapshots. Names need not be unique. */
  readonly name: string;
  /** First guest physical address. */
  readonly gpa: bigint;
  /** Size in bytes. */
  readonly size: bigint;
  /** `gpa` as a number; Infinity if it exceeds 2^53 - 1. @internal */
  readonly start: number;
  /** `size` as a number. @internal */
  readonly length: number;
  /** The page number of `gpa`. @internal */
  readonly firstPage: number;
  /** The offset of `gpa` in its page: regions of MMIO need not start at a page. @internal */
  readonly pageOffset: number;
  /** A brand: it distinguishes regions from all other objects, even from proxies of regions. */
  readonly #isRegion = true;

  constructor(kind: string, gpa: Gpa, size: number, alignment: number, name?: string) {
    this.start = toAddress(gpa);
    this.gpa = BigInt(gpa);
    this.length = size;
    this.size = BigInt(size);
    this.firstPage = pageOf(this.gpa);
    this.pageOffset = Number(this.gpa % BigInt(PAGE_SIZE));
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

  /** Whether a value is a region, of any space. Reads no property of the value. @internal */
  static includes(value: unknown): boolean {
    return typeof value === "object" && value !== null && #isRegion in value;
  }

  /** The number of the guest physical page that contains a byte of the region. @internal */
  pageAt(offset: number): number {
    return this.firstPage + Math.floor((this.pageOffset + offset) / PAGE_SIZE);
  }

  /** Keeps `console.log(region)` from printing gigabytes. */
  [inspect.custom](): string {
    return `${this.constructor.name} { name: ${printable(this.name)}, gpa: 0x${this.gpa.toString(16)}, size: ${this.size} }`;
  }

  /** Keeps `JSON.stringify` from writing out gigabytes: `gpa` is hexadecimal, `size` in bytes. */
  toJSON(): { type: string; name: string; gpa: string; size: number } {
    return {
      type: this.constructor.name,
      name: this.name,
      gpa: `0x${this.gpa.toString(16)}`,
      size: this.length,
    };
  }
}

/**
 * A region of RAM or ROM: a {@link GuestMemory} whose byte 0 is at guest physical address `gpa`.
 */
abstract class MemoryRegion extends BaseRegion {
  /**
   * The bytes. Its own accessors set dirty marks but call no watchpoints. Writes to its buffers do
   * neither.
   */
  readonly memory: GuestMemory;
  /** @internal */
  readonly internals: GuestMemoryInternals;
  readonly #stretches = { read: new Map<number, Stretch>(), write: new Map<number, Stretch>() };
  // The stretch of the last access of each kind: the next access is likely to be in it too.
  #readStretch: Stretch | null = null;
  #writeStretch: Stretch | null = null;
  #lowWindow: Window | null = null;
  /** The `Bus.version` that the cached stretches are valid for. */
  #version = -1;

  constructor(kind: string, gpa: Gpa, memory: GuestMemory, name?: string) {
    const internals = guestMemoryInternals(memory);
    super(kind, gpa, Number(memory.size), PAGE_SIZE, name);
    this.memory = memory;
    this.internals = internals;
  }

  /**
   * The stretch for reads that contains a byte; null if its page is watched or its buffer is gone.
   *
   * @internal
   */
  readStretchAt(offset: number, watched: WatchIndex, version: number): Stretch | null {
    this.#dropStale(version);
    const last = this.#readStretch;
    if (last !== null && offset >= last.from && offset - last.from < last.length) {
      return last;
    }
    return (this.#readStretch = this.#stretchAt(offset, watched, this.#stretches.read));
  }

  /**
   * As `readStretchAt`, for writes. The caller rejects writes to ROM, and marks those to tracked
   * RAM.
   *
   * @internal
   */
  writeStretchAt(offset: number, watched: WatchIndex, version: number): Stretch | null {
    this.#dropStale(version);
    const last = this.#writeStretch;
    if (last !== null && offset >= last.from && offset - last.from < last.length) {
      return last;
    }
    return (this.#writeStretch = this.#stretchAt(offset, watched, this.#stretches.write));
  }

  /** The bytes of the region below guest physical address 4 GiB. @internal */
  get lowWindow(): Window {
    if (this.internals.windows().length === 0) {
      return EMPTY_WINDOW;
    }
    return (this.#lowWindow ??= this.#cutLowWindow());
  }

  /** The size, in units of 8 bytes, of `lowWindow` before its first watched page. @internal */
  unwatchedQuads(watched: WatchIndex): number {
    const gap = watched.gapAt(this.firstPage);
    return gap === null
      ? 0
      : Math.min(this.lowWindow.quads, (gap.last + 1 - this.firstPage) * (PAGE_SIZE / 8));
  }

  /** Drops the cached stretches if watchpoints or windows changed since they were cut. */
  #dropStale(version: number): void {
    if (version !== this.#version) {
      this.#stretches.read.clear();
      this.#stretches.write.clear();
      this.#readStretch = null;
      this.#writeStretch = null;
      this.#version = version;
    }
  }

  #cutLowWindow(): Window {
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
    // A stretch consists of whole pages, so that no aligned access crosses its end.
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
 * @param cut - The part of the window to use, as offsets from the start of the region.
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

/** A region of RAM, made by {@link AddressSpace.addRam}. */
export class RamRegion extends MemoryRegion {
  readonly kind = "ram";

  /** @internal */
  constructor(gpa: Gpa, memory: GuestMemory, name?: string) {
    super("ram", gpa, memory, name);
  }

  /** As {@link GuestMemory.dirty}: all regions that map one memory share its bitmap. */
  get dirty(): DirtyBitmap | null {
    return this.memory.dirty;
  }

  /** As {@link GuestMemory.startTracking}. */
  startTracking(bitmap?: DirtyBitmap): DirtyBitmap {
    return this.memory.startTracking(bitmap);
  }

  /** As {@link GuestMemory.stopTracking}. */
  stopTracking(): void {
    this.memory.stopTracking();
  }

  /** As {@link GuestMemory.dirtyCursor}: pages are numbered from the start of the memory. */
  dirtyCursor(): DirtyCursor {
    return this.memory.dirtyCursor();
  }
}

/**
 * A region of ROM, made by {@link AddressSpace.addRom}. A guest's write to it is `FAULT_BOUNDARY`.
 */
export class RomRegion extends MemoryRegion {
  readonly kind = "rom";

  /** @internal */
  constructor(gpa: Gpa, memory: GuestMemory, name?: string) {
    super("rom", gpa, memory, name);
  }
}

/** A region of memory-mapped I/O, made by {@link AddressSpace.addMmio}. */
export class MmioRegion extends BaseRegion {
  readonly kind = "mmio";
  /** The device whose handlers serve the region. */
  readonly device: MmioDevice;
  /** The name of a handler's return value in error messages. @internal */
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

/** A region of an address space. `kind` discriminates the union. */
export type Region = RamRegion | RomRegion | MmioRegion;
