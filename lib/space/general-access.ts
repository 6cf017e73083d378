import type { GuestAccessors } from "../base/access.js";
import type { Bus } from "./bus.js";
import type { Reach } from "./reach.js";
import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { PAGE_SIZE } from "../base/page.js";
import { GuestMemoryFault } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";
import { checkOut, checkSlots, QUAD, type Out, type Value } from "../base/widths.js";
import { EMPTY_WINDOW } from "../memory/windows.js";

const NOWHERE: Reach = {
  base: 0,
  length: 0,
  bytes: EMPTY_WINDOW.u8,
  view: EMPTY_WINDOW.data,
  from: 0,
  offset: 0,
};

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
  // The cached reaches, in fields that are private to TypeScript only, as in AddressSpace. All
  // addresses of a reach are safe integers, so `gpa - base` is exact for each of them.
  private readBase = 0;
  private readLength = 0;
  private readFrom = 0;
  private readView = EMPTY_WINDOW.data;
  private writeBase = 0;
  private writeLength = 0;
  private writeFrom = 0;
  private writeView = EMPTY_WINDOW.data;
  /** The bitmap that tracks the cached bytes for writes; null if they are not tracked. */
  private dirty: DirtyBitmap | null = null;
  /** The offset in the memory of the first of those bytes. */
  private writeOffset = 0;
  // On the prototype, because V8 treats a method of a prototype as a constant.
  declare private checkSlots: typeof checkSlots;
  static {
    this.prototype.checkSlots = checkSlots;
  }

  readonly #bus: Bus;

  constructor(bus: Bus) {
    this.#bus = bus;
  }

  /** Invalidates the cached reaches. */
  clear(): void {
    this.#cacheForReads(NOWHERE);
    this.#cacheForWrites(NOWHERE, null);
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && index < this.readLength) {
          out[0] = this.readView.getUint8(this.readFrom + index);
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryRead(SPACE_BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 1) === 0 && index + 1 < this.readLength) {
          out[0] = this.readView.getUint16(this.readFrom + index, true);
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryRead(SPACE_WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 3) === 0 && index + 3 < this.readLength) {
          out[0] = this.readView.getUint32(this.readFrom + index, true);
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryRead(SPACE_LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 7) === 0 && index + 7 < this.readLength) {
          out[0] = this.readView.getBigUint64(this.readFrom + index, true);
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryRead(SPACE_QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && typeof value === "number" && (value & 0xff) === value) {
        const offset = gpa - this.writeBase;
        const index = offset >>> 0;
        if (index === offset && index < this.writeLength) {
          this.writeView.setUint8(this.writeFrom + index, value);
          if (this.dirty !== null) {
            this.markWrite(index);
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryWrite(SPACE_BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && typeof value === "number" && (value << 16) >>> 16 === value) {
        const offset = gpa - this.writeBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 1) === 0 && index + 1 < this.writeLength) {
          this.writeView.setUint16(this.writeFrom + index, value, true);
          if (this.dirty !== null) {
            this.markWrite(index);
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryWrite(SPACE_WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && typeof value === "number" && value >>> 0 === value) {
        const offset = gpa - this.writeBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 3) === 0 && index + 3 < this.writeLength) {
          this.writeView.setUint32(this.writeFrom + index, value, true);
          if (this.dirty !== null) {
            this.markWrite(index);
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryWrite(SPACE_LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "bigint" &&
        !(value < 0n) &&
        !(value > MAX_U64)
      ) {
        const offset = gpa - this.writeBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 7) === 0 && index + 7 < this.writeLength) {
          this.writeView.setBigUint64(this.writeFrom + index, value, true);
          if (this.dirty !== null) {
            this.markWrite(index);
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#tryWrite(SPACE_QUAD, gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);

          const offset = gpa - this.writeBase;
          const index = offset >>> 0;
          if (index === offset && (gpa & 7) === 0 && index + 7 < this.writeLength) {
            this.writeView.setBigUint64(this.writeFrom + index, value, true);
            if (this.dirty !== null) {
              this.markWrite(index);
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
        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && index < this.readLength) {
          return this.readView.getUint8(this.readFrom + index);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#read(SPACE_BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 1) === 0 && index + 1 < this.readLength) {
          return this.readView.getUint16(this.readFrom + index, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#read(SPACE_WORD, gpa);
  }

  readl(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 3) === 0 && index + 3 < this.readLength) {
          return this.readView.getUint32(this.readFrom + index, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#read(SPACE_LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    try {
      if (typeof gpa === "number") {
        const offset = gpa - this.readBase;
        const index = offset >>> 0;
        if (index === offset && (gpa & 7) === 0 && index + 7 < this.readLength) {
          return this.readView.getBigUint64(this.readFrom + index, true);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }
    return this.#read(SPACE_QUAD, gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    const result = this.tryWriteb(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 1, "write", this.#bus.reason);
    }
  }

  writew(gpa: Gpa, value: number): void {
    const result = this.tryWritew(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 2, "write", this.#bus.reason);
    }
  }

  writel(gpa: Gpa, value: number): void {
    const result = this.tryWritel(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 4, "write", this.#bus.reason);
    }
  }

  writeq(gpa: Gpa, value: bigint): void {
    const result = this.tryWriteq(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write", this.#bus.reason);
    }
  }

  // #endregion

  #tryRead<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    checkOut(kind.width, out, "out");
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
      throw new GuestMemoryFault(result, gpa, kind.bytes, "read", this.#bus.reason);
    }
    return value;
  }

  /** Makes a read from any region, as `Bus.read` does, and caches its reach. */
  #load<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { width, bytes } = kind;
    const bus = this.#bus;
    const watched = bus.readWatched(false, kind, gpa);
    if (watched !== undefined) {
      return watched;
    }
    const region = bus.find(gpa);
    if (region !== null && region.kind !== "mmio" && region.readable) {
      const { offset, room } = bus;
      const reach = bus.reach(region, "read");
      if (reach !== null) {
        const at = reach.from + (offset - reach.offset);
        if ((offset & (bytes - 1)) === 0 && bytes <= room) {
          this.#cacheForReads(reach);
          bus.result = OK;
          return width.get(reach.view, at);
        }
      }
    }
    return bus.read(false, kind, gpa, region);
  }

  /** Makes a write to any region, as `Bus.write` does, and caches its reach. */
  #tryWrite<T extends Value, A extends Out>(
    kind: SpaceWidth<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const { width, bytes, mask } = kind;
    const checked =
      typeof value === "number" && (value & mask) >>> 0 === value && mask !== 0
        ? value
        : width.checkValue(value);
    const bus = this.#bus;
    const watched = bus.writeWatched(false, kind, gpa, checked);
    if (watched !== undefined) {
      return watched;
    }
    const region = bus.find(gpa);
    if (region !== null && region.kind !== "mmio" && region.writable) {
      const { offset, room } = bus;
      const reach = bus.reach(region, "write");
      if (reach !== null) {
        const at = reach.from + (offset - reach.offset);
        if ((offset & (bytes - 1)) === 0 && bytes <= room) {
          width.set(reach.view, at, checked);
          const { dirty } = region.internals.marks;
          // Marked after the write: see DirtyBitmap for the order.
          dirty?.markPage(Math.floor(offset / PAGE_SIZE));
          this.#cacheForWrites(reach, dirty);
          return OK;
        }
      }
    }
    return bus.write(false, kind, gpa, checked, region);
  }

  /** Marks the page of a write to the cached bytes. */
  private markWrite(index: number): void {
    this.dirty!.markPage(Math.floor((this.writeOffset + index) / PAGE_SIZE));
  }

  #cacheForReads({ base, length, view, from }: Reach): void {
    this.readBase = base;
    this.readLength = length;
    this.readView = view;
    this.readFrom = from;
  }

  #cacheForWrites({ base, length, view, from, offset }: Reach, dirty: DirtyBitmap | null): void {
    this.writeBase = base;
    this.writeLength = length;
    this.writeView = view;
    this.writeFrom = from;
    this.writeOffset = offset;
    this.dirty = dirty;
  }
}
