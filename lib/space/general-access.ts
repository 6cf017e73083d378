import type { GuestAccessors } from "../base/access.js";
import type { Bus } from "./bus.js";
import { PAGE_SIZE } from "../base/page.js";
import { GuestMemoryFault } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import type { Stretch } from "./regions.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD, type SpaceWidth } from "./widths.js";
import { checkOut, checkSlots, QUAD, type Out, type Value } from "../base/widths.js";
import { EMPTY_WINDOW } from "../memory/windows.js";

const NOWHERE = { ...EMPTY_WINDOW, base: 0 };

/** The fields of a stretch that the fast path caches. */
type Reach = Pick<Stretch, "base" | "quads" | "u8" | "u16" | "u32" | "u64">;

/**
 * The view path of an address space for all accesses: to any region, with number and bigint
 * addresses, including those that fault or throw.
 *
 * `AddressSpace` delegates every access here that its hot path does not make, so this class repeats
 * the checks of the hot path. It has a fast path of its own, which caches the last stretch that was
 * read and the last that was written, at any address, tracked or not. The fast path is written out
 * per width for the reasons given in GuestMemory. ROM is never cached for writes, and watched pages
 * are never part of a stretch.
 */
export class SpaceAccess implements GuestAccessors {
  // The cached stretches, in fields that are private to TypeScript only, as in AddressSpace. All
  // addresses of a cached stretch are safe integers, so `gpa - base` is exact for each of them.
  private readBase = 0;
  private readQuads = 0;
  private r8 = EMPTY_WINDOW.u8;
  private r16 = EMPTY_WINDOW.u16;
  private r32 = EMPTY_WINDOW.u32;
  private r64 = EMPTY_WINDOW.u64;
  private writeBase = 0;
  private writeQuads = 0;
  private w8 = EMPTY_WINDOW.u8;
  private w16 = EMPTY_WINDOW.u16;
  private w32 = EMPTY_WINDOW.u32;
  private w64 = EMPTY_WINDOW.u64;
  /** The marks of the pages of the stretch for writes; null if it is not tracked. */
  private marks: Uint8Array | null = null;
  // On the prototype, because V8 treats a method of a prototype as a constant.
  declare private checkSlots: typeof checkSlots;
  static {
    this.prototype.checkSlots = checkSlots;
  }

  readonly #bus: Bus;
  readonly #renew: () => void;
  /** Whether `renew` was called since the last `clear`. */
  #isFresh = false;

  /** @param renew - Opens the hot path of the address space again. */
  constructor(bus: Bus, renew: () => void) {
    this.#bus = bus;
    this.#renew = renew;
  }

  /** Invalidates the cached stretches. */
  clear(): void {
    this.#isFresh = false;
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
        if (index === offset && index >>> 3 < this.readQuads) {
          const value = this.r8[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(SPACE_BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const offset = gpa - this.readBase;
        const index = offset >>> 1;
        if ((index << 1) >>> 0 === offset && index >>> 2 < this.readQuads) {
          const value = this.r16[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(SPACE_WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const offset = gpa - this.readBase;
        const index = offset >>> 2;
        if ((index << 2) >>> 0 === offset && index >>> 1 < this.readQuads) {
          const value = this.r32[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(SPACE_LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const offset = gpa - this.readBase;
        const index = offset >>> 3;
        if ((index << 3) >>> 0 === offset && index < this.readQuads) {
          const value = this.r64[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(SPACE_QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && (value & 0xff) === value) {
      const offset = gpa - this.writeBase;
      const index = offset >>> 0;
      const cells = this.w8;
      if (index === offset && index >>> 3 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        const { marks } = this;
        if (marks !== null) {
          marks[offset >>> 12] = 1;
        }
        return OK;
      }
    }
    return this.#tryWrite(SPACE_BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && (value << 16) >>> 16 === value) {
      const offset = gpa - this.writeBase;
      const index = offset >>> 1;
      const cells = this.w16;
      if (
        (index << 1) >>> 0 === offset &&
        index >>> 2 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        const { marks } = this;
        if (marks !== null) {
          marks[offset >>> 12] = 1;
        }
        return OK;
      }
    }
    return this.#tryWrite(SPACE_WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value >>> 0 === value) {
      const offset = gpa - this.writeBase;
      const index = offset >>> 2;
      const cells = this.w32;
      if (
        (index << 2) >>> 0 === offset &&
        index >>> 1 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        const { marks } = this;
        if (marks !== null) {
          marks[offset >>> 12] = 1;
        }
        return OK;
      }
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
      const offset = gpa - this.writeBase;
      const index = offset >>> 3;
      const cells = this.w64;
      if ((index << 3) >>> 0 === offset && index < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        const { marks } = this;
        if (marks !== null) {
          marks[offset >>> 12] = 1;
        }
        return OK;
      }
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
          const index = offset >>> 3;
          const cells = this.w64;
          if (
            (index << 3) >>> 0 === offset &&
            index < this.writeQuads &&
            cells[index] !== undefined
          ) {
            cells[index] = value;
            const { marks } = this;
            if (marks !== null) {
              marks[offset >>> 12] = 1;
            }
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.tryWriteq(gpa, checkOut(QUAD, source, "source")[0]!);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      const index = offset >>> 0;
      if (index === offset && index >>> 3 < this.readQuads) {
        const value = this.r8[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.#read(SPACE_BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      const index = offset >>> 1;
      if ((index << 1) >>> 0 === offset && index >>> 2 < this.readQuads) {
        const value = this.r16[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.#read(SPACE_WORD, gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      const index = offset >>> 2;
      if ((index << 2) >>> 0 === offset && index >>> 1 < this.readQuads) {
        const value = this.r32[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.#read(SPACE_LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const offset = gpa - this.readBase;
      const index = offset >>> 3;
      if ((index << 3) >>> 0 === offset && index < this.readQuads) {
        const value = this.r64[index];
        if (value !== undefined) {
          return value;
        }
      }
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
      throw new GuestMemoryFault(result, gpa, kind.bytes, "read");
    }
    return value;
  }

  /** Makes a read to any region, as `Bus.read` does, and caches its stretch. */
  #load<T extends Value, A extends Out>(kind: SpaceWidth<T, A>, gpa: Gpa): T {
    const { width, bytes } = kind;
    const bus = this.#bus;
    const region = bus.find(gpa);
    if (region !== null && region.kind !== "mmio") {
      this.#refresh();
      const stretch = region.readStretchAt(bus.offset, bus.watches.index("read"), bus.version);
      if (stretch !== null) {
        const at = bus.offset - stretch.from;
        if ((at & (bytes - 1)) === 0 && at <= stretch.u8.length - bytes) {
          if (stretch.safe) {
            this.#cacheForReads(stretch);
          }
          bus.result = OK;
          return width.get(stretch.data, at);
        }
      }
    }
    return bus.read(false, kind, gpa, region);
  }

  /** Makes a write to any region, as `Bus.write` does, and caches its stretch. */
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
      this.#refresh();
      const { offset } = bus;
      const stretch = region.writeStretchAt(offset, bus.watches.index("write"), bus.version);
      if (stretch !== null) {
        const at = offset - stretch.from;
        if ((at & (bytes - 1)) === 0 && at <= stretch.u8.length - bytes) {
          width.set(stretch.data, at, checked);
          // Marked after the write: see DirtyBitmap for the order.
          const { marks } = region.internals;
          marks.dirty?.markPage(Math.floor(offset / PAGE_SIZE));
          // Without plain marks, each write to tracked RAM has to come here.
          if (stretch.safe && (marks.dirty === null || marks.plain !== null)) {
            this.#cacheForWrites(
              stretch,
              marks.plain?.subarray(Math.floor(stretch.from / PAGE_SIZE)) ?? null,
            );
          }
          return OK;
        }
      }
    }
    return bus.write(false, kind, gpa, checked, region);
  }

  #refresh(): void {
    if (!this.#isFresh) {
      this.#renew();
      this.#isFresh = true;
    }
  }

  #cacheForReads({ base, quads, u8, u16, u32, u64 }: Reach): void {
    this.readBase = base;
    this.readQuads = quads;
    this.r8 = u8;
    this.r16 = u16;
    this.r32 = u32;
    this.r64 = u64;
  }

  #cacheForWrites({ base, quads, u8, u16, u32, u64 }: Reach, marks: Uint8Array | null): void {
    this.writeBase = base;
    this.writeQuads = quads;
    this.w8 = u8;
    this.w16 = u16;
    this.w32 = u32;
    this.w64 = u64;
    this.marks = marks;
  }
}
