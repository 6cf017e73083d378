import { inspect } from "node:util";
import { DirtyBitmap, PAGE_SIZE } from "./dirty-bitmap.js";
import { rangeError, typeError, type Operation } from "./errors.js";
import { MAX_U64, toByteCount, toAddress, type Gpa } from "./gpa.js";
import {
  type GuestMemory,
  guestMemoryInternals,
  type GuestMemoryInternals,
} from "./guest-memory.js";
import { checkDevice, type MmioDevice } from "./mmio.js";
import type { Watchpoint } from "./watchpoint.js";
import { makeWindow, type Window } from "./windows.js";

/** The part of a watchpoint's range that lies in one region. */
export interface RegionWatch {
  readonly watchpoint: Watchpoint;
  /** Offsets into the region: the first byte, and the byte behind the last. */
  readonly from: number;
  readonly to: number;
}

/** A stretch of RAM that one kind of access may reach without further checks. */
export interface Stretch extends Window {
  /** Guest physical address of the first byte, as a signed 32-bit integer. */
  readonly base: number;
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
    return `${this.constructor.name} { name: ${this.name}, gpa: 0x${this.gpa.toString(16)}, size: ${this.size} }`;
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
  }

  /**
   * The stretch around a byte that no watchpoint of this kind of access concerns; null where there
   * is none. Below 4 GiB only, as in GuestMemory: there, an address fits 32 bits. @internal
   */
  stretchAt(offset: number, operation: Operation): Stretch | null {
    const window = this.internals.windows()[0];
    if (window === undefined) {
      return null;
    }
    let from = 0;
    let to = Math.min(window.u8.length, 2 ** 32 - this.start);
    for (const watch of this.watches) {
      if (watch.watchpoint.concerns(operation)) {
        // Whole pages, so that no access lies across the edge of a stretch.
        const first = Math.floor(watch.from / PAGE_SIZE) * PAGE_SIZE;
        const end = Math.ceil(watch.to / PAGE_SIZE) * PAGE_SIZE;
        if (end <= offset) {
          from = Math.max(from, end);
        } else {
          to = Math.min(to, first);
        }
      }
    }
    return offset >= from && offset < to ? this.#stretch(window, from, to, operation) : null;
  }

  #stretch(window: Window, from: number, to: number, operation: Operation): Stretch {
    const stretches = this.#stretches[operation];
    let stretch = stretches.get(from);
    if (stretch === undefined) {
      const whole = from === 0 && to === window.u8.length;
      const part = whole ? window : makeWindow(window.u8.subarray(from, to));
      stretch = { ...part, base: (this.start + from) | 0 };
      stretches.set(from, stretch);
    }
    return stretch;
  }
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
    if (!(bitmap instanceof DirtyBitmap)) {
      throw typeError("bitmap must be a DirtyBitmap");
    }
    if (bitmap.size !== this.size) {
      throw rangeError("bitmap must be for RAM of the region's size");
    }
    this.#dirty = bitmap;
    this.#onChange();
    return bitmap;
  }

  /** Ends the tracking, and with it what it costs. */
  stopTracking(): void {
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
    this.readName = `what the device of ${this.name} returns for a read`;
  }
}

/** Anything that an address space maps; `kind` tells which. */
export type Region = RamRegion | RomRegion | MmioRegion;
