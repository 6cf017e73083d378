import { bytesOf } from "../base/view.js";
import { inspect } from "node:util";
import type { GuestAccessors } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import * as bulk from "../memory/bulk.js";
import { Bus, type Piece } from "./bus.js";
import { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { rangeError, typeError } from "../base/errors.js";
import { checkObject, isInstance, toByteCount } from "../base/arguments.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { GuestMemory, isGuestMemory } from "../memory/guest-memory.js";
import type { MmioDevice } from "./mmio.js";
import { NativeSpaceAccess } from "./native-access.js";
import { chooseBitmap, MmioRegion, RamRegion, type Region, RomRegion } from "./regions.js";
import { GuestMemAccessResult } from "../base/result.js";
import { restoreSnapshot } from "../snapshot/restore.js";
import type { Snapshot } from "../snapshot/snapshot.js";
import { takeSnapshot } from "../snapshot/take.js";
import { SpaceAccess } from "./general-access.js";
import { spaceAtomics } from "./atomics.js";
import { uncloneable } from "../base/uncloneable.js";
import type { WatchListener, Watchpoint, WatchRange } from "./watchpoint.js";
import { BYTE, isView } from "../base/widths.js";

/** Options of {@link AddressSpace.addRam}. */
export interface RamOptions {
  /** For people; the kind and the address by default. */
  readonly name?: string;
  /** Whether to track the pages that are written, or where to mark them; not by default. */
  readonly trackDirty?: boolean | DirtyBitmap;
}

/** Options of {@link AddressSpace.addRom} and {@link AddressSpace.addMmio}. */
export interface RegionOptions {
  /** For people; the kind and the address by default. */
  readonly name?: string;
}

/**
 * Guest physical address space: RAM, ROM and devices' registers at addresses of their own, with
 * holes between them.
 *
 * An access goes to the region that its bytes lie in. Where nothing is mapped, where it lies across
 * the edge of a region, where a device has no handler for it and where it would write to ROM, it is
 * `FAULT_BOUNDARY` and changes nothing; apart from that it is what the region makes of it, with the
 * result codes of {@link GuestMemory}.
 *
 * The accessors of this class are the view path; {@link AddressSpace.native} has the same ones by
 * way of the compiled C++ accessors.
 */
export class AddressSpace implements GuestAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The same accessors, with RAM and ROM through N-API. */
  readonly native: NativeSpaceAccess;

  // How much of the largest RAM below 4 GiB can be reached without further checks, from its start on, in
  // units of 64 bits: for reads up to what is watched, for writes also nothing of RAM that is tracked.
  // Flat for the hot path, and private to TypeScript only, as in GuestMemory. None of this is changed
  // by an access.
  private readQuads = 0;
  private writeQuads = 0;
  /** All that the hot path does not do. */
  private readonly general: SpaceAccess;
  // That RAM. Set with the first of it and not before, and then only when another takes its place: V8
  // takes what is set once for constant. It does not matter before, while the two above are 0.
  // Its address in units of each width; that of bytes as a signed integer, since of those of 32 bits
  // only they are small ones to V8.
  declare private first8: number;
  declare private first16: number;
  declare private first32: number;
  declare private first64: number;
  declare private u8: Uint8Array;
  declare private u16: Uint16Array;
  declare private u32: Uint32Array;
  declare private u64: BigUint64Array;
  // A property of the prototype, and so a constant to V8.
  declare private isView: typeof isView;
  static {
    this.prototype.isView = isView;
  }

  readonly #bus: Bus;
  #atomics: GuestAtomicAccess | undefined;

  constructor() {
    this.#bus = new Bus(() => this.#forget());
    this.general = new SpaceAccess(this.#bus, () => this.#renew());
    this.native = new NativeSpaceAccess(this.#bus);
  }

  /**
   * Maps RAM.
   *
   * @param gpa - Address of its first byte: a multiple of 4096.
   * @param memory - The RAM, or its size in bytes to make fresh RAM for it. Memory may be mapped
   * more than once, also in several spaces.
   * @throws TypeError; RangeError where the region would overlap another, be empty or end above
   * 2^64, or where `gpa` is not aligned; Error `ERR_OUT_OF_MEMORY`.
   */
  addRam(gpa: Gpa, memory: GuestMemory | Gpa, options: RamOptions = {}): RamRegion {
    const { name, trackDirty = false } = checkOptions(options);
    if (typeof trackDirty !== "boolean" && !isInstance(trackDirty, DirtyBitmap)) {
      throw typeError("trackDirty must be a boolean or a DirtyBitmap");
    }
    const given = isGuestMemory(memory);
    const ram = given ? memory : GuestMemory.allocate(memory);
    try {
      const region = new RamRegion(gpa, ram, name);
      const bitmap =
        trackDirty === false
          ? null
          : chooseBitmap(region, trackDirty === true ? undefined : trackDirty);
      this.#bus.add(region, bitmap);
      return region;
    } catch (error) {
      if (!given) {
        ram.destroy();
      }
      throw error;
    }
  }

  /**
   * Maps ROM.
   *
   * @param gpa - Address of its first byte: a multiple of 4096.
   * @param contents - Its bytes, which are copied, or memory that has them, which is not.
   * @throws as {@link AddressSpace.addRam}.
   */
  addRom(
    gpa: Gpa,
    contents: ArrayBufferView | GuestMemory,
    options: RegionOptions = {},
  ): RomRegion {
    const { name } = checkOptions(options);
    const rom = isGuestMemory(contents) ? contents : memoryOf(contents);
    try {
      const region = new RomRegion(gpa, rom, name);
      this.#bus.add(region);
      return region;
    } catch (error) {
      if (rom !== contents) {
        rom.destroy();
      }
      throw error;
    }
  }

  /**
   * Maps a device's registers.
   *
   * @param gpa - Address of its first register: a multiple of 8.
   * @param size - Bytes.
   * @throws TypeError; RangeError where the region would overlap another, be empty or end above
   * 2^64, or where `gpa` is not aligned.
   */
  addMmio(gpa: Gpa, size: Gpa, device: MmioDevice, options: RegionOptions = {}): MmioRegion {
    const region = new MmioRegion(gpa, size, device, checkOptions(options).name);
    this.#bus.add(region);
    return region;
  }

  /**
   * Unmaps a region. The memory of RAM and ROM is left as it is.
   *
   * @throws TypeError, RangeError where it is no region of this space.
   */
  remove(region: Region): void {
    this.#bus.remove(region);
  }

  /**
   * Atomic access, as {@link GuestMemory.atomics}, to what is mapped: with the dirty marks, the
   * watchpoints and the faults of the space. A device's registers have none: `FAULT_BOUNDARY`. ROM
   * can be loaded from. {@link NativeSpaceAccess.atomics} is the same by the compiled accessors.
   */
  get atomics(): GuestAtomicAccess {
    return (this.#atomics ??= spaceAtomics(this.#bus, "view"));
  }

  /** What is mapped, sorted by address: the map as it is now, in an array of its own. */
  get regions(): readonly Region[] {
    return [...this.#bus.regions];
  }

  /**
   * The region that an address lies in, or null.
   *
   * @throws TypeError, RangeError for what is no address.
   */
  regionAt(gpa: Gpa): Region | null {
    return this.#bus.find(gpa);
  }

  /**
   * Calls a listener for each access that touches a range and does not fault, by either path and
   * through the bulk methods too. Only accesses to the pages of 4096 bytes that the range touches
   * get slower, and only those of the kind that is watched.
   *
   * @throws TypeError; RangeError where the range is empty or ends above 2^64.
   */
  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    return this.#bus.watch(range, listener);
  }

  /**
   * Takes a snapshot of RAM and ROM: {@link takeSnapshot}.
   *
   * @param parent - An earlier snapshot, whose chain the new one continues.
   * @throws as {@link takeSnapshot}.
   */
  snapshot(parent?: Snapshot): Snapshot {
    return takeSnapshot(this, parent);
  }

  /**
   * Makes RAM hold what it held when a snapshot was taken: {@link restoreSnapshot}. Watchpoints are
   * not told.
   *
   * @returns How many pages were written.
   * @throws as {@link restoreSnapshot}; RAM is unchanged then.
   */
  restore(snapshot: Snapshot): number {
    return restoreSnapshot(this, snapshot);
  }

  /** Keeps `console.log(space)` from printing gigabytes. */
  [inspect.custom](): string {
    return `AddressSpace ${inspect(this.regions)}`;
  }

  /** Keeps `JSON.stringify` from writing out gigabytes: what the regions are. */
  toJSON(): { type: "AddressSpace"; regions: readonly Region[] } {
    return { type: "AddressSpace", regions: this.regions };
  }

  // The view path, written out per width, and as small, for the reasons given in GuestMemory. What is no
  // plain access to the largest RAM is left to `general`, which checks everything anew. An index below
  // the start of that RAM is negative, and as an unsigned one above every `quads`.

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      this.isView(out) &&
      out[0] !== undefined &&
      out instanceof Uint8Array
    ) {
      const address = gpa >>> 0;
      if (address === gpa) {
        const index = (address - this.first8) >>> 0;
        if (index >>> 3 < this.readQuads) {
          const value = this.u8[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      this.isView(out) &&
      out[0] !== undefined &&
      out instanceof Uint16Array
    ) {
      const unit = gpa >>> 1;
      if ((unit << 1) >>> 0 === gpa) {
        const index = unit - this.first16;
        if (index >>> 2 < this.readQuads) {
          const value = this.u16[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      this.isView(out) &&
      out[0] !== undefined &&
      out instanceof Uint32Array
    ) {
      const unit = gpa >>> 2;
      if ((unit << 2) >>> 0 === gpa) {
        const index = unit - this.first32;
        if (index >>> 1 < this.readQuads) {
          const value = this.u32[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      this.isView(out) &&
      out[0] !== undefined &&
      out instanceof BigUint64Array
    ) {
      const unit = gpa >>> 3;
      if ((unit << 3) >>> 0 === gpa) {
        const index = unit - this.first64;
        if (index >>> 0 < this.readQuads) {
          const value = this.u64[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    }
    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && (value & 0xff) === value) {
      const address = gpa >>> 0;
      if (address === gpa) {
        const index = (address - this.first8) >>> 0;
        const cells = this.u8;
        if (index >>> 3 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return 0;
        }
      }
    }
    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && (value << 16) >>> 16 === value) {
      const unit = gpa >>> 1;
      if ((unit << 1) >>> 0 === gpa) {
        const index = unit - this.first16;
        const cells = this.u16;
        if (index >>> 2 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return 0;
        }
      }
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value >>> 0 === value) {
      const unit = gpa >>> 2;
      if ((unit << 2) >>> 0 === gpa) {
        const index = unit - this.first32;
        const cells = this.u32;
        if (index >>> 1 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return 0;
        }
      }
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      !(value < 0n) &&
      !(value > MAX_U64)
    ) {
      const unit = gpa >>> 3;
      if ((unit << 3) >>> 0 === gpa) {
        const index = unit - this.first64;
        const cells = this.u64;
        if (index >>> 0 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return 0;
        }
      }
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    if (typeof gpa === "number" && this.isView(source)) {
      const value = source[0];
      if (value !== undefined && source instanceof BigUint64Array) {
        const unit = gpa >>> 3;
        if ((unit << 3) >>> 0 === gpa) {
          const index = unit - this.first64;
          const cells = this.u64;
          if (index >>> 0 < this.writeQuads && cells[index] !== undefined) {
            cells[index] = value;
            return 0;
          }
        }
      }
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa) {
        const index = (address - this.first8) >>> 0;
        if (index >>> 3 < this.readQuads) {
          const value = this.u8[index];
          if (value !== undefined) {
            return value;
          }
        }
      }
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const unit = gpa >>> 1;
      if ((unit << 1) >>> 0 === gpa) {
        const index = unit - this.first16;
        if (index >>> 2 < this.readQuads) {
          const value = this.u16[index];
          if (value !== undefined) {
            return value;
          }
        }
      }
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const unit = gpa >>> 2;
      if ((unit << 2) >>> 0 === gpa) {
        const index = unit - this.first32;
        if (index >>> 1 < this.readQuads) {
          const value = this.u32[index];
          if (value !== undefined) {
            return value;
          }
        }
      }
    }
    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const unit = gpa >>> 3;
      if ((unit << 3) >>> 0 === gpa) {
        const index = unit - this.first64;
        if (index >>> 0 < this.readQuads) {
          const value = this.u64[index];
          if (value !== undefined) {
            return value;
          }
        }
      }
    }
    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    if (typeof gpa === "number" && typeof value === "number" && (value & 0xff) === value) {
      const address = gpa >>> 0;
      if (address === gpa) {
        const index = (address - this.first8) >>> 0;
        const cells = this.u8;
        if (index >>> 3 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return;
        }
      }
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    if (typeof gpa === "number" && typeof value === "number" && (value << 16) >>> 16 === value) {
      const unit = gpa >>> 1;
      if ((unit << 1) >>> 0 === gpa) {
        const index = unit - this.first16;
        const cells = this.u16;
        if (index >>> 2 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return;
        }
      }
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    if (typeof gpa === "number" && typeof value === "number" && value >>> 0 === value) {
      const unit = gpa >>> 2;
      if ((unit << 2) >>> 0 === gpa) {
        const index = unit - this.first32;
        const cells = this.u32;
        if (index >>> 1 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return;
        }
      }
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      !(value < 0n) &&
      !(value > MAX_U64)
    ) {
      const unit = gpa >>> 3;
      if ((unit << 3) >>> 0 === gpa) {
        const index = unit - this.first64;
        const cells = this.u64;
        if (index >>> 0 < this.writeQuads && cells[index] !== undefined) {
          cells[index] = value;
          return;
        }
      }
    }
    this.general.writeq(gpa, value);
  }

  // #endregion

  // Bulk access to RAM and ROM: any alignment, and across regions that lie next to each other. One
  // that touches a hole, a device or, to write, ROM faults as a whole and changes nothing. An empty
  // one touches nothing, and is done wherever it is.

  /**
   * Copies bytes out of RAM and ROM.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault}; TypeError, RangeError.
   */
  read(gpa: Gpa, length: Gpa): Buffer {
    const count = toByteCount(length, "length");
    const pieces = this.#bus.pieces(gpa, count, "read");
    const target = bulk.newBuffer(count);
    this.#readPieces(pieces, gpa, target);
    return target;
  }

  /**
   * Copies bytes out of RAM and ROM into `target`, all of which is filled.
   *
   * @throws {@link GuestMemoryFault}, leaving `target` alone; TypeError.
   */
  readInto(gpa: Gpa, target: ArrayBufferView): void {
    const bytes = bytesOf(target, "target");
    this.#readPieces(this.#bus.pieces(gpa, bytes.length, "read"), gpa, bytes);
  }

  /**
   * Copies `source` into RAM. It may be a view of this RAM.
   *
   * @throws {@link GuestMemoryFault}; TypeError; RangeError where `source` is detached or lies outside
   * its buffer, also where a listener makes it so.
   */
  write(gpa: Gpa, source: ArrayBufferView): void {
    const bytes = bytesOf(source, "source");
    const count = bytes.length;
    const pieces = this.#bus.pieces(gpa, count, "write");
    this.#bus.tellBulk(gpa, count, "write");
    if (bytes.length !== count) {
      throw rangeError("source was detached, or cut off, by a listener");
    }
    this.#bus.recheck(pieces, gpa, count, "write");
    copyIn(pieces, bytes);
  }

  /**
   * Sets every byte of a range to `value`, from 0 to 255.
   *
   * @throws {@link GuestMemoryFault}; TypeError, RangeError.
   */
  fill(gpa: Gpa, length: Gpa, value: number): void {
    const count = toByteCount(length, "length");
    const byte = BYTE.checkValue(value);
    const pieces = this.#bus.pieces(gpa, count, "write");
    this.#bus.tellBulk(gpa, count, "write");
    this.#bus.recheck(pieces, gpa, count, "write");
    for (const { region, offset, length: part } of pieces) {
      region.memory.fill(offset, part, byte);
    }
  }

  /**
   * Copies a range over another; the two may overlap.
   *
   * @param length - Bytes; at most 2^32 unless each range lies in one region, and both in the same.
   * @throws {@link GuestMemoryFault} of the range that cannot be accessed, the source first;
   * TypeError, RangeError.
   */
  copy(target: Gpa, source: Gpa, length: Gpa): void {
    const count = toByteCount(length, "length");
    const from = this.#bus.pieces(source, count, "read");
    const to = this.#bus.pieces(target, count, "write");
    this.#bus.tellBulk(source, count, "read");
    this.#bus.tellBulk(target, count, "write");
    this.#bus.recheck(from, source, count, "read");
    this.#bus.recheck(to, target, count, "write");
    const [first, second] = [from[0], to[0]];
    if (from.length === 1 && to.length === 1 && first!.region.memory === second!.region.memory) {
      first!.region.memory.copy(second!.offset, first!.offset, count);
    } else {
      // By way of a copy: the regions may be windows on the same bytes.
      const bytes = bulk.newBuffer(count);
      copyOut(from, bytes);
      copyIn(to, bytes);
    }
  }

  #readPieces(pieces: readonly Piece[], gpa: Gpa, target: Uint8Array): void {
    const count = target.length;
    copyOut(pieces, target);
    this.#bus.tellBulk(gpa, count, "read");
  }

  /** Leaves every access to `general`, until one of them renews what is known. */
  #forget(): void {
    this.readQuads = 0;
    this.writeQuads = 0;
    this.general.clear();
    this.native.clear();
  }

  /** Finds the RAM for the hot path, as the map is now. */
  #renew(): void {
    const ram = this.#bus.largest;
    if (ram === null) {
      return;
    }
    const { watches } = this.#bus;
    const readQuads = ram.openQuads(watches.index("read"));
    const writeQuads = ram.dirty !== null ? 0 : ram.openQuads(watches.index("write"));
    const { u8, u16, u32, u64 } = ram.near;
    const { start } = ram;
    if (this.u8 !== u8 || this.first8 !== (start | 0)) {
      // Divided, they would be floating-point numbers to V8.
      this.first8 = start | 0;
      this.first16 = start >>> 1;
      this.first32 = start >>> 2;
      this.first64 = start >>> 3;
      this.u8 = u8;
      this.u16 = u16;
      this.u32 = u32;
      this.u64 = u64;
    }
    this.readQuads = readQuads;
    this.writeQuads = writeQuads;
  }
}

function checkOptions<O extends RegionOptions>(options: O): O {
  return checkObject(options, "options");
}

function memoryOf(contents: ArrayBufferView): GuestMemory {
  const bytes = bytesOf(contents, "contents");
  if (bytes.length === 0) {
    throw rangeError("contents must have at least 1 byte and must not be detached");
  }
  const memory = GuestMemory.allocate(bytes.length);
  memory.write(0, bytes);
  return memory;
}

function copyOut(pieces: readonly Piece[], target: Uint8Array): void {
  // A target that is a view of RAM could be overwritten between two pieces.
  const stable = pieces.length > 1 ? new Uint8Array(target.length) : target;
  let done = 0;
  for (const { region, offset, length } of pieces) {
    region.memory.readInto(offset, stable.subarray(done, done + length));
    done += length;
  }
  if (stable !== target) {
    target.set(stable);
  }
}

function copyIn(pieces: readonly Piece[], source: Uint8Array): void {
  // A source that is a view of RAM could be overwritten between two pieces.
  const stable = pieces.length > 1 ? new Uint8Array(source) : source;
  let done = 0;
  for (const { region, offset, length } of pieces) {
    region.memory.write(offset, stable.subarray(done, done + length));
    done += length;
  }
}
