import type { GuestAccessors } from "../base/access.js";
import type { Bus } from "./bus.js";
import type { Reach } from "./reach.js";
import { DeviceAccess } from "./device-access.js";
import { checkHalvesOut, quadOf, storeHalves } from "../base/halves.js";
import { PAGE_SIZE } from "../base/page.js";
import { GuestMemoryFault, type Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";
import { checkOut, checkSlots, isView, QUAD, type Out, type Value } from "../base/widths.js";
import { EMPTY_WINDOW } from "../memory/windows.js";

const BLOCK_SIZE = 2 ** 32;

/**
 * The view path of an address space for all accesses: to any region, with number and bigint
 * addresses, including those that fault or throw.
 *
 * `AddressSpace` delegates every access here that the page table does not serve, so this class
 * repeats the checks of the hot path. It has a fast path of its own, which caches the reach of the
 * last access of each kind, in any memory, tracked or not. The fast path is written out per width
 * for the reasons given in GuestMemory. Bytes that the guest cannot write are never cached for
 * writes, and watched pages are never part of a reach.
 */
export class SpaceAccess implements GuestAccessors {
  // The cached part of a reach: it starts and ends at multiples of 8, and lies between two
  // multiples of 2^32. The fields are protected by TypeScript only, as in AddressSpace. Most are
  // signed 32-bit integers, which V8 represents as small integers.
  /** Guest physical address of the first byte, modulo 2^32. */
  protected readLow = 0;
  /** The rest of that address; -1 if nothing is cached. */
  protected readHigh = -1;
  /** The number of addresses at which an access may start, minus 1. */
  protected readLast = 0;
  /** Bytes from an address to the offset in the view, modulo 2^32. */
  protected readDistance = 0;
  protected readView = EMPTY_WINDOW.data;
  protected writeLow = 0;
  protected writeHigh = -1;
  protected writeLast = 0;
  protected writeDistance = 0;
  protected writeView = EMPTY_WINDOW.data;
  /** The marks of the pages of that view; null if its bytes are not tracked. */
  protected marks: Uint8Array | null = null;
  protected readonly devices: DeviceAccess;
  // On the prototype, because V8 treats a method of a prototype as a constant.
  declare protected checkSlots: typeof checkSlots;
  declare private isView: typeof isView;
  static {
    this.prototype.checkSlots = checkSlots;
    this.prototype.isView = isView;
  }

  protected readonly bus: Bus;

  /** The bits that have to be 0 in the address of an access of 8 bytes. */
  protected readonly aligned: number;
  protected readonly littleEndian: boolean;
  /**
   * Bytes at the end of the cached part in which no access starts, so that unaligned accesses of 8
   * bytes end in it.
   */
  private readonly rest: number;

  constructor(bus: Bus) {
    const { unaligned, littleEndian } = bus.policy;
    this.bus = bus;
    this.aligned = unaligned ? 0 : 7;
    this.rest = unaligned ? 7 : 0;
    this.littleEndian = littleEndian;
    this.devices = new DeviceAccess(bus, false);
  }

  /** Invalidates the caches. */
  clear(): void {
    this.readHigh = -1;
    this.readView = EMPTY_WINDOW.data;
    this.writeHigh = -1;
    this.writeView = EMPTY_WINDOW.data;
    this.marks = null;
    this.devices.clear();
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (index <= this.readLast >>> 0 && gpa - address === this.readHigh) {
          const place = (address + this.readDistance) >>> 0;
          out[0] = this.readView.getUint8(place);
          return OK;
        }
        isChecked = true;
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    if (isChecked) {
      const found = this.devices.read(SPACE_BYTE, gpa);
      if (found >= 0) {
        out[0] = found;
        return OK;
      }
      if (found !== -1) {
        return this.bus.outcome.result;
      }
    }
    return this.tryRead(SPACE_BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & 1) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          out[0] = this.readView.getUint16(place, true);
          return OK;
        }
        isChecked = true;
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    if (isChecked) {
      const found = this.devices.read(SPACE_WORD, gpa);
      if (found >= 0) {
        out[0] = found;
        return OK;
      }
      if (found !== -1) {
        return this.bus.outcome.result;
      }
    }
    return this.tryRead(SPACE_WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & 3) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          out[0] = this.readView.getUint32(place, true);
          return OK;
        }
        isChecked = true;
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    if (isChecked) {
      const found = this.devices.read(SPACE_LONG, gpa);
      if (found >= 0) {
        out[0] = found;
        return OK;
      }
      if (found !== -1) {
        return this.bus.outcome.result;
      }
    }
    return this.tryRead(SPACE_LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & 7) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          out[0] = this.readView.getBigUint64(place, true);
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryRead(SPACE_QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x80 &&
        value <= 0xff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        const index = (address - this.writeLow) >>> 0;
        if (index <= this.writeLast >>> 0 && gpa - address === this.writeHigh) {
          const place = (address + this.writeDistance) >>> 0;
          this.writeView.setUint8(place, value);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
          }
          return OK;
        }
        isChecked = true;
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    if (isChecked) {
      const unsigned = value & 255;
      const result = this.devices.write(SPACE_BYTE, gpa, unsigned);
      if (result !== -1) {
        return result;
      }
    }
    return this.tryWrite(SPACE_BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x8000 &&
        value <= 0xffff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        const index = (address - this.writeLow) >>> 0;
        if (
          index <= this.writeLast >>> 0 &&
          (address & 1) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;
          this.writeView.setUint16(place, value, true);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
          }
          return OK;
        }
        isChecked = true;
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    if (isChecked) {
      const unsigned = value & 65535;
      const result = this.devices.write(SPACE_WORD, gpa, unsigned);
      if (result !== -1) {
        return result;
      }
    }
    return this.tryWrite(SPACE_WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        (value >>> 0 === value || (value | 0) === value)
      ) {
        const address = gpa >>> 0;
        const index = (address - this.writeLow) >>> 0;
        if (
          index <= this.writeLast >>> 0 &&
          (address & 3) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;
          this.writeView.setUint32(place, value, true);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
          }
          return OK;
        }
        isChecked = true;
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    if (isChecked) {
      const unsigned = value >>> 0;
      const result = this.devices.write(SPACE_LONG, gpa, unsigned);
      if (result !== -1) {
        return result;
      }
    }
    return this.tryWrite(SPACE_LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "bigint" &&
        (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
      ) {
        const address = gpa >>> 0;
        const index = (address - this.writeLow) >>> 0;
        if (
          index <= this.writeLast >>> 0 &&
          (address & 7) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;
          this.writeView.setBigUint64(place, value, true);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryWrite(SPACE_QUAD, gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);

          const address = gpa >>> 0;
          const index = (address - this.writeLow) >>> 0;
          if (
            index <= this.writeLast >>> 0 &&
            (address & 7) === 0 &&
            gpa - address === this.writeHigh
          ) {
            const place = (address + this.writeDistance) >>> 0;
            this.writeView.setBigUint64(place, value, true);
            const { marks } = this;
            if (marks !== null) {
              marks[place >>> 12] = 1;
            }
            return OK;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryWriteq(gpa, checkOut(QUAD, source, "source")[0]!);
  }

  readb(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (index <= this.readLast >>> 0 && gpa - address === this.readHigh) {
          const place = (address + this.readDistance) >>> 0;
          return this.readView.getUint8(place);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    const found = this.devices.read(SPACE_BYTE, gpa);
    if (found >= 0) {
      return found;
    }
    if (found !== -1) {
      this.fault(SPACE_BYTE, gpa);
    }
    return this.read(SPACE_BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & 1) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          return this.readView.getUint16(place, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    const found = this.devices.read(SPACE_WORD, gpa);
    if (found >= 0) {
      return found;
    }
    if (found !== -1) {
      this.fault(SPACE_WORD, gpa);
    }
    return this.read(SPACE_WORD, gpa);
  }

  readl(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & 3) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          return this.readView.getUint32(place, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    const found = this.devices.read(SPACE_LONG, gpa);
    if (found >= 0) {
      return found;
    }
    if (found !== -1) {
      this.fault(SPACE_LONG, gpa);
    }
    return this.read(SPACE_LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & 7) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          return this.readView.getBigUint64(place, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.read(SPACE_QUAD, gpa);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & 7) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;

          const view = this.readView;
          const start = place;
          const low = view.getUint32(start, true);
          out[at + 1] = view.getUint32(start + 4, true);
          out[at] = low;
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryReadHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof low === "number" &&
        (low >>> 0 === low || (low | 0) === low) &&
        typeof high === "number" &&
        (high >>> 0 === high || (high | 0) === high)
      ) {
        const address = gpa >>> 0;
        const index = (address - this.writeLow) >>> 0;
        if (
          index <= this.writeLast >>> 0 &&
          (address & 7) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;

          const view = this.writeView;
          const start = place;
          view.setUint32(start, low, true);
          view.setUint32(start + 4, high, true);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryWrite(SPACE_QUAD, gpa, quadOf(low, high));
  }

  writeb(gpa: Gpa, value: number): void {
    if (this.tryWriteb(gpa, value) !== OK) {
      this.fault(SPACE_BYTE, gpa, "write");
    }
  }

  writew(gpa: Gpa, value: number): void {
    if (this.tryWritew(gpa, value) !== OK) {
      this.fault(SPACE_WORD, gpa, "write");
    }
  }

  writel(gpa: Gpa, value: number): void {
    if (this.tryWritel(gpa, value) !== OK) {
      this.fault(SPACE_LONG, gpa, "write");
    }
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (this.tryWriteq(gpa, value) !== OK) {
      this.fault(SPACE_QUAD, gpa, "write");
    }
  }

  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    const result = this.tryReadqHalves(gpa, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "read", this.bus.outcome.reason);
    }
  }

  writeqHalves(gpa: Gpa, low: number, high: number): void {
    const result = this.tryWriteqHalves(gpa, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write", this.bus.outcome.reason);
    }
  }

  // #endregion

  protected tryRead<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    checkOut(kind.width, out, "out");
    const value = this.#load(kind, gpa);
    const { result } = this.bus.outcome;
    if (result === OK) {
      kind.width.store(out, value);
    }
    return result;
  }

  protected tryReadHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    checkHalvesOut(out, at);
    const value = this.#load(SPACE_QUAD, gpa);
    const { result } = this.bus.outcome;
    if (result === OK) {
      storeHalves(out, at, value);
    }
    return result;
  }

  protected read<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const value = this.#load(kind, gpa);
    if (this.bus.outcome.result !== OK) {
      this.fault(kind, gpa);
    }
    return value;
  }

  /** Throws the fault that `bus.outcome.result` and `bus.outcome.reason` describe. */
  protected fault<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    operation: Operation = "read",
  ): never {
    this.bus.outcome.fault(gpa, kind.bytes, operation);
  }

  /** Makes a read from any region, as `Bus.read` does, and caches its reach. */
  #load<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { width, bytes } = kind;
    const bus = this.bus;
    const watched = bus.watched.read(false, kind, gpa);
    if (watched !== undefined) {
      return watched;
    }
    const region = bus.lookup.find(gpa);
    if (region !== null && region.kind !== "mmio" && region.readable) {
      const { offset } = bus.lookup;
      const reach = bus.reaches.of(region, "read");
      if (reach !== null) {
        const at = reach.from + (offset - reach.offset);
        if (this.#isInReach(reach, offset, bytes)) {
          this.#cacheForReads(reach, offset);
          bus.outcome.result = OK;
          return width.get(reach.view, at, this.littleEndian);
        }
      }
    }
    if (region?.kind === "mmio") {
      this.devices.cache(region, "read", gpa, kind.log2);
    }
    return bus.rules.read(false, kind, gpa, region);
  }

  /** Makes a write to any region, as `Bus.write` does, and caches its reach. */
  protected tryWrite<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const { width, bytes, mask } = kind;
    const checked =
      typeof value === "number" && (value & mask) >>> 0 === value && mask !== 0
        ? value
        : width.checkValue(value);
    const bus = this.bus;
    const watched = bus.watched.write(false, kind, gpa, checked);
    if (watched !== undefined) {
      return watched;
    }
    const region = bus.lookup.find(gpa);
    if (region !== null && region.kind !== "mmio" && region.writable) {
      const { offset } = bus.lookup;
      const reach = bus.reaches.of(region, "write");
      if (reach !== null) {
        const at = reach.from + (offset - reach.offset);
        if (this.#isInReach(reach, offset, bytes)) {
          width.set(reach.view, at, checked, this.littleEndian);
          const { marks } = region.internals;
          // Marked after the write: see DirtyBitmap for the order.
          const page = Math.floor(offset / PAGE_SIZE);
          marks.dirty?.markPage(page);
          if ((offset % PAGE_SIZE) + bytes > PAGE_SIZE) {
            marks.dirty?.markPage(page + 1);
          }
          // Without plain marks, each write to tracked RAM has to come here.
          if (marks.dirty === null || marks.plain !== null) {
            this.#cacheForWrites(reach, offset, marks.plain);
          }
          return OK;
        }
      }
    }
    if (region?.kind === "mmio") {
      this.devices.cache(region, "write", gpa, kind.log2);
    }
    return bus.rules.write(false, kind, gpa, checked, region);
  }

  /** Whether an access at an offset in the memory is aligned and has all its bytes in a reach. */
  #isInReach(reach: Reach, offset: number, bytes: number): boolean {
    return (
      (offset & this.aligned & (bytes - 1)) === 0 && offset - reach.offset + bytes <= reach.length
    );
  }

  /** @param offset - Offset in the memory of the last access. */
  #cacheForReads(reach: Reach, offset: number): void {
    const [low, high] = partOf(reach, offset);
    this.readLow = low | 0;
    this.readHigh = low < high ? low - (low >>> 0) : -1;
    this.readLast = (high - low - 1 - this.rest) | 0;
    this.readDistance = (reach.from - reach.base) | 0;
    this.readView = reach.view;
  }

  /** @param marks - The marks of the memory; null if it is not tracked. */
  #cacheForWrites(reach: Reach, offset: number, marks: Uint8Array | null): void {
    const [low, high] = partOf(reach, offset);
    this.writeLow = low | 0;
    this.writeHigh = low < high ? low - (low >>> 0) : -1;
    this.writeLast = (high - low - 1 - this.rest) | 0;
    this.writeDistance = (reach.from - reach.base) | 0;
    this.writeView = reach.view;
    // The view starts at a page of the memory.
    this.marks = marks?.subarray((reach.offset - reach.from) / PAGE_SIZE) ?? null;
  }
}

/** The first address of the part of a reach to cache, and the address after its last one. */
function partOf({ base, length, offset: first }: Reach, offset: number): readonly [number, number] {
  const block = Math.floor((base + (offset - first)) / BLOCK_SIZE) * BLOCK_SIZE;
  const end = Math.min(block + BLOCK_SIZE, base + length);
  return [Math.max(block, Math.ceil(base / 8) * 8), Math.floor(end / 8) * 8];
}
