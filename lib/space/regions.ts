import { INSPECT } from "../base/inspect.js";
import type { DirtyBitmap, DirtyCursor } from "../memory/dirty-bitmap.js";
import type { Tracking, TrackingMode } from "../memory/tracking.js";
import { rangeError, typeError } from "../base/errors.js";
import { toByteCount, toAddress } from "../base/arguments.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import {
  type GuestMemory,
  guestMemoryInternals,
  type GuestMemoryInternals,
} from "../memory/guest-memory.js";
import type { Endian } from "../base/policy.js";
import { type Handlers, handlersOf } from "./device.js";
import type { MmioDevice, WriteTrap } from "./mmio.js";
import { hex, printable } from "../base/printable.js";

/** The alignment of a window's offset in bytes: that of the widest access. */
const OFFSET_ALIGNMENT = 8;

/** The rights of the guest to a window: `r`ead, `w`rite, e`x`ecute, in this order. */
export type Access = `${"r" | ""}${"w" | ""}${"x" | ""}`;

/** The part of a memory that a window shows. */
export interface WindowOptions {
  /** Offset in bytes of the first byte from the start of the memory: a multiple of 8; 0. */
  readonly offset?: Gpa;
  /** Bytes of the memory in the window; by default all from `offset` on. */
  readonly length?: Gpa;
  /** How often the bytes repeat, one after the other; 1 by default. */
  readonly repeat?: number;
}

/** Options that all regions have. */
export interface RegionOptions {
  /** Label for messages and snapshots. By default, the kind and the address: `rom@0x0`. */
  readonly name?: string;
  /**
   * Where regions overlap, the one with the highest priority is visible; 0 by default. Regions of
   * equal priority must not overlap.
   */
  readonly priority?: number;
}

/** A contiguous range of guest physical addresses with one owner: RAM, ROM or a device. */
abstract class BaseRegion {
  /** A label for messages and snapshots. Names need not be unique. */
  readonly name: string;
  /** First guest physical address. */
  readonly gpa: bigint;
  /** Size in bytes. */
  readonly size: bigint;
  /** Where regions overlap, the one with the highest priority is visible. */
  readonly priority: number;
  /** `gpa` as a number; Infinity if it exceeds 2^53 - 1. @internal */
  readonly start: number;
  /** `size` as a number. @internal */
  readonly length: number;
  /** A brand: it distinguishes regions from all other objects, even from proxies of regions. */
  readonly #isRegion = true;

  constructor(kind: string, gpa: Gpa, size: number, { name, priority = 0 }: RegionOptions) {
    this.start = toAddress(gpa);
    this.gpa = BigInt(gpa);
    this.length = size;
    this.size = BigInt(size);
    if (name !== undefined && typeof name !== "string") {
      throw typeError("name must be a string");
    }
    if (typeof priority !== "number") {
      throw typeError("priority must be a number");
    }
    if (!Number.isSafeInteger(priority)) {
      throw rangeError("priority must be an integer from -(2^53 - 1) to 2^53 - 1");
    }
    this.name = name ?? `${kind}@0x${this.gpa.toString(16)}`;
    this.priority = priority + 0;
    if (size === 0) {
      throw rangeError("a region must have at least 1 byte");
    }
    if (this.gpa + this.size > MAX_U64 + 1n) {
      throw rangeError("a region must end at 2^64 or below");
    }
  }

  /** Whether a value is a region, of any space. Reads no property of the value. @internal */
  static includes(value: unknown): boolean {
    return typeof value === "object" && value !== null && #isRegion in value;
  }

  /** Keeps `console.log(region)` from printing gigabytes. */
  [INSPECT](): string {
    const name = printable(this.name);
    return `${this.constructor.name} { name: ${name}, gpa: ${hex(this.gpa)}, size: ${this.size} }`;
  }

  /** Keeps `JSON.stringify` from writing out gigabytes: `gpa` is hexadecimal, `size` in bytes. */
  toJSON(): { type: string; name: string; gpa: string; size: number } {
    return {
      type: this.constructor.name,
      name: this.name,
      gpa: hex(this.gpa),
      size: this.length,
    };
  }
}

/** The address space that maps a window, and has its place in a page table. */
interface WindowUser {
  /** Called before a window shows other bytes. It may throw, and may change the window. */
  beforeSelect(region: RamRegion | RomRegion): void;
  /** Called after `beforeSelect`, before the window changes. */
  selecting(region: RamRegion | RomRegion, next: GuestMemoryInternals): void;
  /** Called after a window has changed. It may fail without harm. */
  selected(region: RamRegion | RomRegion, before: GuestMemoryInternals): void;
}

/**
 * A region of RAM or ROM: a window, which shows bytes of a {@link GuestMemory} at guest physical
 * addresses.
 */
abstract class MemoryRegion extends BaseRegion {
  /** The rights of the guest. The accessors check `r` and `w`; `x` is for CPU cores. */
  readonly access: Access;
  /** @internal */
  readonly readable: boolean;
  /** @internal */
  readonly writable: boolean;
  /** @internal */
  readonly executable: boolean;
  /** Bytes of the memory in the window, after which they repeat. @internal */
  readonly period: number;
  /** @internal */
  internals: GuestMemoryInternals;
  /** `offset` as a number. @internal */
  from: number;
  #memory: GuestMemory;
  /** The address space that maps the region; null before and after. @internal */
  user: WindowUser | null = null;

  constructor(
    kind: "ram" | "rom",
    gpa: Gpa,
    memory: GuestMemory,
    access: Access,
    options: RegionOptions & WindowOptions,
  ) {
    const internals = guestMemoryInternals(memory);
    const offset = checkOffset(options.offset ?? 0);
    const size = Number(memory.size);
    const length = toByteCount(options.length ?? Math.max(0, size - offset), "length");
    const { repeat = 1 } = options;
    if (typeof repeat !== "number") {
      throw typeError("repeat must be a number");
    }
    if (!Number.isSafeInteger(repeat) || repeat < 1 || !Number.isSafeInteger(repeat * length)) {
      throw rangeError("repeat must be at least 1, and the size of the region at most 2^53 - 1");
    }
    checkPart(size, offset, length);
    super(kind, gpa, length * repeat, options);
    this.period = length;
    this.access = access;
    this.readable = access.startsWith("r");
    this.writable = access.includes("w");
    this.executable = access.endsWith("x");
    this.#memory = memory;
    this.internals = internals;
    this.from = offset;
  }

  /**
   * The memory that the window shows. Its own accessors set dirty marks and call code guards, but
   * no watchpoints. Writes to its buffers do none of this.
   */
  get memory(): GuestMemory {
    return this.#memory;
  }

  /** Offset in bytes of the first byte of the window from the start of the memory. */
  get offset(): bigint {
    return BigInt(this.from);
  }

  /**
   * Switches the bank: the window shows other bytes from now on, on both paths.
   *
   * @param offset - Bytes from the start of the memory: a multiple of 8.
   * @param memory - By default the memory that the window shows already.
   * @throws TypeError; RangeError if the bytes of the window do not lie in the memory; what the
   * listener of a code guard throws. The window is unchanged then.
   */
  select(offset: Gpa, memory: GuestMemory = this.#memory): void {
    const from = checkOffset(offset);
    const internals = memory === this.#memory ? this.internals : guestMemoryInternals(memory);
    checkPart(internals.size, from, this.period);
    const region = this as unknown as RamRegion | RomRegion;
    if (internals !== this.internals || from !== this.from) {
      this.user?.beforeSelect(region);
    }
    const before = this.internals;
    this.user?.selecting(region, internals);
    this.#memory = memory;
    this.internals = internals;
    this.from = from;
    try {
      this.user?.selected(region, before);
    } catch {
      // The stack is full. The first access to the window does the rest.
    }
  }
}

function checkOffset(offset: Gpa): number {
  const from = toByteCount(offset, "offset");
  if (from % OFFSET_ALIGNMENT !== 0) {
    throw rangeError(`offset must be a multiple of ${OFFSET_ALIGNMENT}`);
  }
  return from;
}

function checkPart(size: number, offset: number, length: number): void {
  if (offset + length > size) {
    throw rangeError("the bytes from offset on, as many as length, must lie in the memory");
  }
}

/** A region of RAM, made by {@link AddressSpace.addRam}. */
export class RamRegion extends MemoryRegion {
  readonly kind = "ram";

  /** @internal */
  constructor(
    gpa: Gpa,
    memory: GuestMemory,
    options: RegionOptions & WindowOptions,
    access: Access,
  ) {
    super("ram", gpa, memory, access, options);
  }

  /** As {@link GuestMemory.dirty}: all regions that map one memory share its bitmap. */
  get dirty(): DirtyBitmap | null {
    return this.memory.dirty;
  }

  /** As {@link GuestMemory.tracking}. */
  get tracking(): Tracking | null {
    return this.memory.tracking;
  }

  /** As {@link GuestMemory.startTracking}. */
  startTracking(how?: TrackingMode | DirtyBitmap): DirtyBitmap {
    return this.memory.startTracking(how);
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
 * A region of ROM, made by {@link AddressSpace.addRom}. A guest's write to it calls `onWrite`;
 * without that option, it is `FAULT_BOUNDARY`.
 */
export class RomRegion extends MemoryRegion {
  readonly kind = "rom";
  /** The handler for writes; null if they fault. @internal */
  readonly onWrite: WriteTrap | null;

  /** @internal */
  constructor(
    gpa: Gpa,
    memory: GuestMemory,
    options: RegionOptions & WindowOptions,
    onWrite: WriteTrap | null,
  ) {
    super("rom", gpa, memory, "rx", options);
    this.onWrite = onWrite;
  }
}

/** A region of memory-mapped I/O, made by {@link AddressSpace.addMmio}. */
export class MmioRegion extends BaseRegion {
  readonly kind = "mmio";
  /** The device whose handlers serve the region. */
  readonly device: MmioDevice;
  /** The handlers that reads call. @internal */
  readonly reads: Handlers;
  /** The handlers that writes call. @internal */
  readonly writes: Handlers;
  /** The name of a handler's return value in error messages. @internal */
  readonly readName: string;

  /** @internal */
  constructor(gpa: Gpa, size: Gpa, device: MmioDevice, options: RegionOptions, endian: Endian) {
    super("mmio", gpa, toByteCount(size, "size"), options);
    this.device = device;
    this.readName = `what the device of ${printable(this.name)} returns for a read`;
    const { reads, writes, alignment } = handlersOf(device, this.readName, endian);
    this.reads = reads;
    this.writes = writes;
    if (this.gpa % BigInt(alignment) !== 0n || this.length % alignment !== 0) {
      throw rangeError(`gpa and size must be multiples of ${alignment}, the device's impl.min`);
    }
  }
}

/** Whether a value is a region, of any space. */
export function isRegion(value: unknown): value is Region {
  return BaseRegion.includes(value);
}

/** A region of an address space. `kind` discriminates the union. */
export type Region = RamRegion | RomRegion | MmioRegion;
