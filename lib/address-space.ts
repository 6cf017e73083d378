import { inspect } from "node:util";
import type { GuestAccessors } from "./access.js";
import * as bulk from "./bulk.js";
import { Bus, type Piece } from "./bus.js";
import { DirtyBitmap, PAGE_SIZE } from "./dirty-bitmap.js";
import { GuestMemoryFault, rangeError, typeError } from "./errors.js";
import { MAX_U64, toByteCount, type Gpa } from "./gpa.js";
import { GuestMemory } from "./guest-memory.js";
import type { MmioDevice } from "./mmio.js";
import { NativeSpaceAccess } from "./native-space-access.js";
import { MmioRegion, RamRegion, type Region, RomRegion, type Stretch } from "./regions.js";
import { GuestMemAccessResult } from "./result.js";
import { restoreSnapshot } from "./snapshot/restore.js";
import type { Snapshot } from "./snapshot/snapshot.js";
import { takeSnapshot } from "./snapshot/take.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./space-widths.js";
import { TrackedWriter } from "./tracked-writer.js";
import type { WatchListener, Watchpoint, WatchRange } from "./watchpoint.js";
import { BYTE, checkOut, LONG, QUAD, WORD, type Out, type Value } from "./widths.js";
import { EMPTY_WINDOW } from "./windows.js";

const { OK } = GuestMemAccessResult;

/**
 * An address on its way from the hot path to a method that is not inlined. As an argument it would
 * be an object of V8's where it is 2^31 or above, and V8 makes that object ahead of the branches of
 * the caller that may need it, so also for accesses that never do.
 */
const pending = new Float64Array(1);

/** What the hot path needs of a stretch. */
type CachedStretch = Pick<Stretch, "base" | "u8" | "u16" | "u32" | "u64">;

/** What the caches hold when they hold nothing. */
const NOWHERE: CachedStretch = { ...EMPTY_WINDOW, base: 0 };

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
  /** The same accessors, with RAM and ROM through N-API. */
  readonly native: NativeSpaceAccess;

  // The stretch of RAM or ROM that was last read, and the stretch of RAM last written, flat for the
  // hot path, and private to TypeScript only, as in GuestMemory. An address less the base, cut to
  // 32 bits, is below a stretch's length only for addresses inside it, since no stretch reaches
  // above 4 GiB. What must not be reached without further checks is never in here: ROM for writes,
  // RAM that is tracked, pages that are watched.
  private readBase = 0;
  private r8 = EMPTY_WINDOW.u8;
  private r16 = EMPTY_WINDOW.u16;
  private r32 = EMPTY_WINDOW.u32;
  private r64 = EMPTY_WINDOW.u64;
  private writeBase = 0;
  private w8 = EMPTY_WINDOW.u8;
  private w16 = EMPTY_WINDOW.u16;
  private w32 = EMPTY_WINDOW.u32;
  private w64 = EMPTY_WINDOW.u64;

  private readonly tracked = new TrackedWriter();

  readonly #bus = new Bus(() => {
    this.#cacheForReads(NOWHERE);
    this.#cacheForWrites(NOWHERE);
    this.tracked.clear();
  });
  readonly #forgetEnding = new Map<Region, () => void>();

  constructor() {
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
    if (typeof trackDirty !== "boolean" && !(trackDirty instanceof DirtyBitmap)) {
      throw typeError("trackDirty must be a boolean or a DirtyBitmap");
    }
    const given = memory instanceof GuestMemory;
    const ram = given ? memory : GuestMemory.allocate(memory);
    try {
      const region = new RamRegion(gpa, ram, () => this.#bus.changed(), name);
      if (trackDirty !== false) {
        region.startTracking(trackDirty === true ? undefined : trackDirty);
      }
      return this.#addMemory(region);
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
    const rom = contents instanceof GuestMemory ? contents : memoryOf(contents);
    try {
      return this.#addMemory(new RomRegion(gpa, rom, name));
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
    this.#forgetEnding.get(region)?.();
    this.#forgetEnding.delete(region);
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

  // The view path, written out per width for the reasons given in GuestMemory.

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    if (!(out instanceof Uint8Array) || out.length === 0) {
      checkOut(BYTE, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      if (address === gpa && offset < this.r8.length) {
        out[0] = this.r8[offset]!;
        return OK;
      }
      pending[0] = gpa;
      return this.#tryReadPending(SPACE_BYTE, out);
    }
    return this.#tryRead(SPACE_BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    if (!(out instanceof Uint16Array) || out.length === 0) {
      checkOut(WORD, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      const index = offset >>> 1;
      if (address === gpa && (address & 1) === 0 && index < this.r16.length) {
        out[0] = this.r16[index]!;
        return OK;
      }
      pending[0] = gpa;
      return this.#tryReadPending(SPACE_WORD, out);
    }
    return this.#tryRead(SPACE_WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    if (!(out instanceof Uint32Array) || out.length === 0) {
      checkOut(LONG, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      const index = offset >>> 2;
      if (address === gpa && (address & 3) === 0 && index < this.r32.length) {
        out[0] = this.r32[index]!;
        return OK;
      }
      pending[0] = gpa;
      return this.#tryReadPending(SPACE_LONG, out);
    }
    return this.#tryRead(SPACE_LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    if (!(out instanceof BigUint64Array) || out.length === 0) {
      checkOut(QUAD, out, "out");
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      const index = offset >>> 3;
      if (address === gpa && (address & 7) === 0 && index < this.r64.length) {
        out[0] = this.r64[index]!;
        return OK;
      }
      pending[0] = gpa;
      return this.#tryReadPending(SPACE_QUAD, out);
    }
    return this.#tryRead(SPACE_QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value === (value & 0xff)) {
      const address = gpa >>> 0;
      const offset = (address - this.writeBase) >>> 0;
      if (address === gpa && offset < this.w8.length) {
        this.w8[offset] = value;
        return OK;
      }
    }
    if (this.tracked.writeb(gpa, value)) {
      return OK;
    }
    if (typeof gpa === "number") {
      pending[0] = gpa;
      return this.#tryWritePending(SPACE_BYTE, value);
    }
    return this.#tryWrite(SPACE_BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value === (value & 0xffff)) {
      const address = gpa >>> 0;
      const offset = (address - this.writeBase) >>> 0;
      const index = offset >>> 1;
      if (address === gpa && (address & 1) === 0 && index < this.w16.length) {
        this.w16[index] = value;
        return OK;
      }
    }
    if (this.tracked.writew(gpa, value)) {
      return OK;
    }
    if (typeof gpa === "number") {
      pending[0] = gpa;
      return this.#tryWritePending(SPACE_WORD, value);
    }
    return this.#tryWrite(SPACE_WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value === value >>> 0) {
      const address = gpa >>> 0;
      const offset = (address - this.writeBase) >>> 0;
      const index = offset >>> 2;
      if (address === gpa && (address & 3) === 0 && index < this.w32.length) {
        this.w32[index] = value;
        return OK;
      }
    }
    if (this.tracked.writel(gpa, value)) {
      return OK;
    }
    if (typeof gpa === "number") {
      pending[0] = gpa;
      return this.#tryWritePending(SPACE_LONG, value);
    }
    return this.#tryWrite(SPACE_LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      !(value < 0n) &&
      !(value > MAX_U64)
    ) {
      const address = gpa >>> 0;
      const offset = (address - this.writeBase) >>> 0;
      const index = offset >>> 3;
      if (address === gpa && (address & 7) === 0 && index < this.w64.length) {
        this.w64[index] = value;
        return OK;
      }
    }
    if (this.tracked.writeq(gpa, value)) {
      return OK;
    }
    if (typeof gpa === "number") {
      pending[0] = gpa;
      return this.#tryWritePending(SPACE_QUAD, value);
    }
    return this.#tryWrite(SPACE_QUAD, gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    if (typeof gpa === "number" && source != null) {
      const value = source[0];
      if (value !== undefined && source instanceof BigUint64Array) {
        const address = gpa >>> 0;
        const offset = (address - this.writeBase) >>> 0;
        const index = offset >>> 3;
        if (address === gpa && (address & 7) === 0 && index < this.w64.length) {
          this.w64[index] = value;
          return OK;
        }
      }
    }
    return this.tryWriteq(gpa, checkOut(QUAD, source, "source")[0]!);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      if (address === gpa && offset < this.r8.length) {
        return this.r8[offset]!;
      }
      pending[0] = gpa;
      return this.#readPending(SPACE_BYTE);
    }
    return this.#read(SPACE_BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      const index = offset >>> 1;
      if (address === gpa && (address & 1) === 0 && index < this.r16.length) {
        return this.r16[index]!;
      }
      pending[0] = gpa;
      return this.#readPending(SPACE_WORD);
    }
    return this.#read(SPACE_WORD, gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      const index = offset >>> 2;
      if (address === gpa && (address & 3) === 0 && index < this.r32.length) {
        return this.r32[index]!;
      }
      pending[0] = gpa;
      return this.#readPending(SPACE_LONG);
    }
    return this.#read(SPACE_LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const offset = (address - this.readBase) >>> 0;
      const index = offset >>> 3;
      if (address === gpa && (address & 7) === 0 && index < this.r64.length) {
        return this.r64[index]!;
      }
      pending[0] = gpa;
      return this.#readPending(SPACE_QUAD);
    }
    return this.#read(SPACE_QUAD, gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    const result = this.tryWriteb(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 1, "write");
    }
  }

  writew(gpa: Gpa, value: number): void {
    const result = this.tryWritew(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 2, "write");
    }
  }

  writel(gpa: Gpa, value: number): void {
    const result = this.tryWritel(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 4, "write");
    }
  }

  writeq(gpa: Gpa, value: bigint): void {
    const result = this.tryWriteq(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write");
    }
  }

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
    const bytes = bulk.bytesOf(target, "target");
    this.#readPieces(this.#bus.pieces(gpa, bytes.length, "read"), gpa, bytes);
  }

  /**
   * Copies `source` into RAM. It may be a view of this RAM.
   *
   * @throws {@link GuestMemoryFault}; TypeError.
   */
  write(gpa: Gpa, source: ArrayBufferView): void {
    const bytes = bulk.bytesOf(source, "source");
    const pieces = this.#bus.pieces(gpa, bytes.length, "write");
    this.#bus.tellBulk(pieces, gpa, bytes.length, "write");
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
    this.#bus.tellBulk(pieces, gpa, count, "write");
    for (const { region, offset, length: part } of pieces) {
      region.memory.fill(offset, part, byte);
      mark(region, offset, part);
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
    this.#bus.tellBulk(from, source, count, "read");
    this.#bus.tellBulk(to, target, count, "write");
    const [first, second] = [from[0], to[0]];
    if (from.length === 1 && to.length === 1 && first!.region.memory === second!.region.memory) {
      first!.region.memory.copy(second!.offset, first!.offset, count);
      mark(second!.region, second!.offset, count);
    } else {
      // By way of a copy: the regions may be windows on the same bytes.
      const bytes = bulk.newBuffer(count);
      copyOut(from, bytes);
      copyIn(to, bytes);
    }
  }

  #readPieces(pieces: readonly Piece[], gpa: Gpa, target: Uint8Array): void {
    copyOut(pieces, target);
    this.#bus.tellBulk(pieces, gpa, target.length, "read");
  }

  #addMemory<R extends RamRegion | RomRegion>(region: R): R {
    this.#bus.add(region);
    // Held weakly: memory may outlive every space that it is mapped in.
    const bus = new WeakRef(this.#bus);
    const forget = region.internals.onEnding(() => bus.deref()?.changed());
    this.#forgetEnding.set(region, forget);
    return region;
  }

  #tryReadPending<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    out: A,
  ): GuestMemAccessResult {
    return this.#tryRead(kind, pending[0]!, out);
  }

  #readPending<T extends Value, A extends Out>(kind: SpaceWidth<T, A>): T {
    return this.#read(kind, pending[0]!);
  }

  #tryWritePending<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    value: T,
  ): GuestMemAccessResult {
    return this.#tryWrite(kind, pending[0]!, value);
  }

  #tryRead<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    const value = this.#load(kind, gpa);
    const { result } = this.#bus;
    if (result === OK) {
      kind.width.store(out, value);
    }
    return result;
  }

  #read<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const value = this.#load(kind, gpa);
    const { result } = this.#bus;
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, kind.bytes, "read");
    }
    return value;
  }

  /** Makes any read, as `Bus.read` does, and caches where it went for the next ones. */
  #load<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { width, bytes } = kind;
    const bus = this.#bus;
    const region = bus.find(gpa);
    if (region !== null && region.kind !== "mmio") {
      const stretch = region.readStretchAt(bus.offset);
      if (stretch !== null) {
        const at = bus.offset - stretch.from;
        if ((at & (bytes - 1)) === 0 && at <= stretch.u8.length - bytes) {
          if (stretch.near) {
            this.#cacheForReads(stretch);
          }
          bus.result = OK;
          return width.get(stretch.data, at);
        }
      }
    }
    return bus.read(false, kind, gpa, region);
  }

  /** Makes any write, as `Bus.write` does, and caches where it went for the next ones. */
  #tryWrite<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const { width, bytes } = kind;
    const checked = width.checkValue(value);
    const bus = this.#bus;
    const region = bus.find(gpa);
    if (region !== null && region.kind === "ram") {
      const { offset } = bus;
      const stretch = region.writeStretchAt(offset);
      if (stretch !== null) {
        const at = offset - stretch.from;
        if ((at & (bytes - 1)) === 0 && at <= stretch.u8.length - bytes) {
          width.set(stretch.data, at, checked);
          if (region.dirty !== null) {
            // Only now: see DirtyBitmap.
            region.dirty.markPage(Math.floor(offset / PAGE_SIZE));
            if (stretch.near) {
              this.tracked.set(stretch, region.dirty);
            }
          } else if (stretch.near) {
            this.#cacheForWrites(stretch);
          }
          return OK;
        }
      }
    }
    return bus.write(false, kind, gpa, checked, region);
  }

  #cacheForReads({ base, u8, u16, u32, u64 }: CachedStretch): void {
    this.readBase = base;
    this.r8 = u8;
    this.r16 = u16;
    this.r32 = u32;
    this.r64 = u64;
  }

  #cacheForWrites({ base, u8, u16, u32, u64 }: CachedStretch): void {
    this.writeBase = base;
    this.w8 = u8;
    this.w16 = u16;
    this.w32 = u32;
    this.w64 = u64;
  }
}

function checkOptions<O extends RegionOptions>(options: O): O {
  if (typeof options !== "object" || options === null) {
    throw typeError("options must be an object");
  }
  return options;
}

function memoryOf(contents: ArrayBufferView): GuestMemory {
  const bytes = bulk.bytesOf(contents, "contents");
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
    mark(region, offset, length);
    done += length;
  }
}

/** Marks pages that were written. */
function mark(region: RamRegion | RomRegion, offset: number, length: number): void {
  if (region.kind === "ram") {
    region.dirty?.mark(offset, length);
  }
}
