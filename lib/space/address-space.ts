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
import { MmioRegion, RamRegion, type Region, RomRegion } from "./regions.js";
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
  /** Label for messages and snapshots. By default, the kind and the address: `ram@0x80000000`. */
  readonly name?: string;
  /**
   * `true` starts dirty tracking of the memory, in the bitmap that the memory already has or in a
   * new one. A {@link DirtyBitmap} replaces the memory's bitmap. `false`, the default, changes
   * nothing.
   */
  readonly trackDirty?: boolean | DirtyBitmap;
}

/** Options of {@link AddressSpace.addRom} and {@link AddressSpace.addMmio}. */
export interface RegionOptions {
  /** Label for messages and snapshots. By default, the kind and the address: `rom@0x0`. */
  readonly name?: string;
}

/**
 * A guest physical address space: it maps RAM, ROM and MMIO regions to guest physical addresses.
 *
 * Each access is dispatched to the region that contains all its bytes. The result is
 * `FAULT_BOUNDARY`, and nothing changes, if no region contains them, if the access writes to ROM,
 * or if the device has no handler for the width and direction. The other result codes are those of
 * {@link GuestMemory}.
 *
 * The accessors of this class are the view path. {@link AddressSpace.native} has the same accessors
 * on the native path.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 *
 * const space = new AddressSpace();
 * space.addRom(0, new Uint8Array([0x13, 0, 0, 0]), { name: "boot" });
 * space.addRam(0x8000_0000, 1024 * 1024, { name: "dram" });
 *
 * space.writel(0x8000_0000, 0xdeadbeef);
 * console.log(space.native.readl(0x8000_0000).toString(16)); // deadbeef
 * console.log(space.tryWriteb(0, 1)); // 2: FAULT_BOUNDARY, since this is ROM
 * ```
 */
export class AddressSpace implements GuestAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The same accessors on the native path: the addon accesses RAM and ROM. */
  readonly native: NativeSpaceAccess;

  // The hot path serves the start of one RAM region, the hot region: the one with the most bytes
  // below 4 GiB. Two limits say how much of it the hot path may access, in units of 8 bytes.
  // `readQuads` ends at the first page with a read watchpoint. `writeQuads` ends at the first page
  // with a write watchpoint, and is 0 if the region is tracked. 0 sends every access to `general`.
  //
  // These fields and those below are private to TypeScript only, for the reason given in
  // GuestMemory, and are not grouped in an object, which saves the hot path a load. No access
  // changes them.
  private readQuads = 0;
  private writeQuads = 0;
  /** Makes every access that the hot path cannot make. */
  private readonly general: SpaceAccess;
  // The address and the arrays of the hot region. They are unset until there is one, which is safe
  // because the limits above are 0 until then. They are assigned again only if the hot region
  // changes: V8 treats a field that was assigned once as a constant.
  //
  // `firstN` is the address of the region in units of N bits. `first8` is a signed 32-bit integer,
  // because an unsigned one may exceed V8's range of small integers.
  declare private first8: number;
  declare private first16: number;
  declare private first32: number;
  declare private first64: number;
  declare private u8: Uint8Array;
  declare private u16: Uint16Array;
  declare private u32: Uint32Array;
  declare private u64: BigUint64Array;
  // On the prototype, because V8 treats a method of a prototype as a constant.
  declare private isView: typeof isView;
  static {
    this.prototype.isView = isView;
  }

  readonly #bus: Bus;
  #atomics: GuestAtomicAccess | undefined;

  constructor() {
    this.#bus = new Bus(() => this.#invalidate());
    this.general = new SpaceAccess(this.#bus, () => this.#renew());
    this.native = new NativeSpaceAccess(this.#bus);
  }

  /**
   * Maps RAM.
   *
   * @param gpa - Guest physical address of the first byte: a multiple of 4096.
   * @param memory - The memory to map, or the size in bytes of new memory to allocate. The same
   * memory may be mapped several times, in one space or in several.
   * @throws TypeError; RangeError if `gpa` is not aligned, or if the region would be empty, overlap
   * another region or end above 2^64; Error `ERR_OUT_OF_MEMORY`.
   */
  addRam(gpa: Gpa, memory: GuestMemory | Gpa, options: RamOptions = {}): RamRegion {
    const { name, trackDirty = false } = checkOptions(options);
    if (typeof trackDirty !== "boolean" && !isInstance(trackDirty, DirtyBitmap)) {
      throw typeError("trackDirty must be a boolean or a DirtyBitmap");
    }
    const isCallers = isGuestMemory(memory);
    const ram = isCallers ? memory : GuestMemory.allocate(memory);
    try {
      const region = new RamRegion(gpa, ram, name);
      const bitmap =
        trackDirty === false
          ? null
          : region.internals.marks.choose(trackDirty === true ? undefined : trackDirty);
      this.#bus.add(region, bitmap);
      return region;
    } catch (error) {
      if (!isCallers) {
        ram.destroy();
      }
      throw error;
    }
  }

  /**
   * Maps ROM.
   *
   * @param gpa - Guest physical address of the first byte: a multiple of 4096.
   * @param contents - The bytes, which are copied, or a {@link GuestMemory}, which is mapped
   * itself.
   * @throws The errors of {@link AddressSpace.addRam}.
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
   * Maps the registers of a device.
   *
   * @param gpa - Guest physical address of the first register: a multiple of 8.
   * @param size - Size in bytes, from 1 to 2^53 - 1.
   * @throws TypeError; RangeError if `gpa` is not aligned, or if the region would be empty, overlap
   * another region or end above 2^64.
   */
  addMmio(gpa: Gpa, size: Gpa, device: MmioDevice, options: RegionOptions = {}): MmioRegion {
    const region = new MmioRegion(gpa, size, device, checkOptions(options).name);
    this.#bus.add(region);
    return region;
  }

  /**
   * Unmaps a region. The memory of a RAM or ROM region is neither changed nor freed.
   *
   * @throws TypeError if `region` is not a region; RangeError if it is not mapped in this space.
   */
  remove(region: Region): void {
    this.#bus.remove(region);
  }

  /**
   * Atomic operations on the mapped RAM, with the methods of {@link GuestMemory.atomics}. They set
   * dirty marks, call watchpoints and fault as the plain accessors of the space do. ROM can only be
   * loaded from; an operation on MMIO is `FAULT_BOUNDARY`. {@link NativeSpaceAccess.atomics} has
   * the same operations on the native path.
   */
  get atomics(): GuestAtomicAccess {
    return (this.#atomics ??= spaceAtomics(this.#bus, "view"));
  }

  /** The mapped regions, sorted by address. The array is a copy: later changes do not affect it. */
  get regions(): readonly Region[] {
    return [...this.#bus.regions];
  }

  /**
   * The region that contains an address; null if the address is not mapped.
   *
   * @throws TypeError, RangeError if `gpa` is not an address: an integer from 0 to 2^64 - 1.
   */
  regionAt(gpa: Gpa): Region | null {
    return this.#bus.find(gpa);
  }

  /**
   * Calls a listener for each access that touches a range and does not fault: plain, atomic and
   * bulk accesses, on both paths. Only accesses of the watched kind to the pages (of 4096 bytes)
   * that the range touches become slower. The range need not be mapped.
   *
   * Adding and removing a watchpoint needs 64 KiB of free stack.
   *
   * @throws TypeError; RangeError if the range is empty or ends above 2^64, or if the stack is
   * nearly full.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 4096);
   * const watchpoint = space.watch({ gpa: 0x100, length: 4, kinds: "write" }, (access) => {
   *   console.log(access); // { gpa: 256n, width: 4, kind: 'write', value: 7 }
   * });
   * space.writel(0x100, 7);
   * watchpoint.remove();
   * ```
   */
  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    return this.#bus.watch(range, listener);
  }

  /**
   * Takes a snapshot of RAM and ROM, as {@link takeSnapshot} does.
   *
   * @param parent - An earlier snapshot of the same regions. The new snapshot continues its chain.
   * @throws The errors of {@link takeSnapshot}.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 1024 * 1024, { trackDirty: true });
   * const snapshot = space.snapshot();
   * space.writeb(0x1000, 1);
   * console.log(space.restore(snapshot)); // 1: pages written
   * console.log(space.readb(0x1000)); // 0
   * ```
   */
  snapshot(parent?: Snapshot): Snapshot {
    return takeSnapshot(this, parent);
  }

  /**
   * Restores RAM from a snapshot, as {@link restoreSnapshot} does. No watchpoint is called.
   *
   * @returns The number of pages written.
   * @throws The errors of {@link restoreSnapshot}. RAM does not change then.
   */
  restore(snapshot: Snapshot): number {
    return restoreSnapshot(this, snapshot);
  }

  /** Keeps `console.log(space)` from printing gigabytes. */
  [inspect.custom](): string {
    return `AddressSpace ${inspect(this.regions)}`;
  }

  /**
   * Keeps `JSON.stringify` from writing out gigabytes: it lists the regions without their bytes.
   */
  toJSON(): { type: "AddressSpace"; regions: readonly Region[] } {
    return { type: "AddressSpace", regions: this.regions };
  }

  // The hot path of the view path, written out per width and kept small for the reasons given in
  // GuestMemory. Every access that is not a plain access to the hot region goes to `general`, which
  // repeats all checks. An address below the hot region gives a negative index; as an unsigned
  // integer that index exceeds both limits.

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

  // Bulk access to RAM and ROM, at any alignment and across adjacent regions. An access that
  // touches an unmapped address or MMIO, or that writes to ROM, faults as a whole and changes
  // nothing. An access of 0 bytes succeeds at every address.

  /**
   * Copies bytes from RAM and ROM into a new Buffer.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault}; TypeError, RangeError; Error `ERR_OUT_OF_MEMORY`.
   */
  read(gpa: Gpa, length: Gpa): Buffer {
    const count = toByteCount(length, "length");
    const pieces = this.#bus.pieces(gpa, count, "read");
    const target = bulk.newBuffer(count);
    this.#readPieces(pieces, gpa, target);
    return target;
  }

  /**
   * Copies bytes from RAM and ROM into `target`, as many as `target` has.
   *
   * @throws {@link GuestMemoryFault}, and `target` does not change; TypeError.
   */
  readInto(gpa: Gpa, target: ArrayBufferView): void {
    const bytes = bytesOf(target, "target");
    this.#readPieces(this.#bus.pieces(gpa, bytes.length, "read"), gpa, bytes);
  }

  /**
   * Copies `source` into RAM. `source` may be a view of the same RAM.
   *
   * @throws {@link GuestMemoryFault}; TypeError; RangeError if `source` is detached or out of the
   * bounds of its buffer, before the call or because of a listener.
   */
  write(gpa: Gpa, source: ArrayBufferView): void {
    const bytes = bytesOf(source, "source");
    const count = bytes.length;
    const pieces = this.#bus.pieces(gpa, count, "write");
    this.#bus.notifyBulk(gpa, count, "write");
    if (bytes.length !== count) {
      throw rangeError("source was detached, or cut off, by a listener");
    }
    this.#bus.recheck(pieces, gpa, count, "write");
    copyIn(pieces, bytes);
  }

  /**
   * Sets every byte of a range to `value`.
   *
   * @param length - Bytes, from 0 to 2^53 - 1.
   * @param value - From 0 to 255.
   * @throws {@link GuestMemoryFault}; TypeError, RangeError.
   */
  fill(gpa: Gpa, length: Gpa, value: number): void {
    const count = toByteCount(length, "length");
    const byte = BYTE.checkValue(value);
    const pieces = this.#bus.pieces(gpa, count, "write");
    this.#bus.notifyBulk(gpa, count, "write");
    this.#bus.recheck(pieces, gpa, count, "write");
    for (const { region, offset, length: part } of pieces) {
      region.memory.fill(offset, part, byte);
    }
  }

  /**
   * Copies one range to another. The ranges may overlap.
   *
   * @param length - Bytes. At most 2^32, unless each range lies in one region and both regions map
   * the same memory.
   * @throws {@link GuestMemoryFault} for the source if it cannot be read, otherwise for the target;
   * TypeError, RangeError; Error `ERR_OUT_OF_MEMORY`.
   */
  copy(target: Gpa, source: Gpa, length: Gpa): void {
    const count = toByteCount(length, "length");
    const from = this.#bus.pieces(source, count, "read");
    const to = this.#bus.pieces(target, count, "write");
    this.#bus.notifyBulk(source, count, "read");
    this.#bus.notifyBulk(target, count, "write");
    this.#bus.recheck(from, source, count, "read");
    this.#bus.recheck(to, target, count, "write");
    const [first, second] = [from[0], to[0]];
    if (from.length === 1 && to.length === 1 && first!.region.memory === second!.region.memory) {
      first!.region.memory.copy(second!.offset, first!.offset, count);
    } else {
      // Through a temporary copy: several regions may map the same bytes.
      const bytes = bulk.newBuffer(count);
      copyOut(from, bytes);
      copyIn(to, bytes);
    }
  }

  #readPieces(pieces: readonly Piece[], gpa: Gpa, target: Uint8Array): void {
    const count = target.length;
    copyOut(pieces, target);
    this.#bus.notifyBulk(gpa, count, "read");
  }

  /** Invalidates every cache. The next access that `general` makes fills them again. */
  #invalidate(): void {
    this.readQuads = 0;
    this.writeQuads = 0;
    this.general.clear();
    this.native.clear();
  }

  /** Chooses the hot region and sets the limits of the hot path, from the current map. */
  #renew(): void {
    const ram = this.#bus.largest;
    if (ram === null) {
      return;
    }
    const { watches } = this.#bus;
    const readQuads = ram.unwatchedQuads(watches.index("read"));
    const writeQuads = ram.dirty !== null ? 0 : ram.unwatchedQuads(watches.index("write"));
    const { u8, u16, u32, u64 } = ram.lowWindow;
    const { start } = ram;
    if (this.u8 !== u8 || this.first8 !== (start | 0)) {
      // Shifted, not divided: V8 would represent quotients as floating-point numbers.
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
  // If the target is a view of RAM, copying one piece could overwrite the source of the next.
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
  // If the source is a view of RAM, copying one piece could overwrite the rest of it.
  const stable = pieces.length > 1 ? new Uint8Array(source) : source;
  let done = 0;
  for (const { region, offset, length } of pieces) {
    region.memory.write(offset, stable.subarray(done, done + length));
    done += length;
  }
}
