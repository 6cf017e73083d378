import { GuestMemoryFault, type Operation } from "../base/errors.js";
import { checkHalvesOut } from "../base/halves.js";
import { PAGE_SIZE } from "../base/page.js";
import type { Gpa } from "../base/gpa.js";
import { toAddress } from "../base/arguments.js";
import type { MemoryMarks } from "./marks.js";
import { GuestMemAccessResult } from "../base/result.js";
import {
  BYTE,
  checkOut,
  checkSlots,
  isView,
  LONG,
  QUAD,
  WORD,
  type Out,
  type Value,
  type Width,
} from "../base/widths.js";
import { branchFromNowOn } from "./accessor-forms.js";
import { EMPTY_WINDOW, WINDOW_SIZE, type Window, type Windows } from "./windows.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;

/**
 * The view path for all accesses: above 4 GiB, with bigint addresses, with faults, or with invalid
 * arguments.
 *
 * `GuestMemory` calls it for every access that its own fast path does not make, so it repeats all
 * checks. Accesses above 4 GiB have a second fast path, over the window that was used last. Its
 * code is generated for each width, for the reasons that accessor-forms.ts explains.
 */
export class GeneralAccess {
  // The fields of the window used last, except the first window, copied here for the hot path. They
  // use TypeScript's private for speed. The base of a window is a multiple of 2^32, so the bitwise
  // operators compute the same index from an address as from an offset. V8 therefore reuses the
  // index that the inlined fast path of the first window has computed.
  private u8: Uint8Array;
  private u16: Uint16Array;
  private u32: Uint32Array;
  private u64: BigUint64Array;
  private quads: number;
  /** As `quads`, for writes. 0 while writes are tracked or guarded: they take the slow path. */
  private writeQuads: number;
  private base: number;
  // Properties of the prototype, which V8 treats as constants.
  declare private checkSlots: typeof checkSlots;
  declare private isView: typeof isView;
  static {
    this.prototype.checkSlots = checkSlots;
    this.prototype.isView = isView;
  }

  readonly #size: number;
  readonly #owner: ArrayBufferLike | null;
  readonly #marks: MemoryMarks;
  #ended = false;

  /**
   * @param size - Bytes of RAM in all windows.
   * @param owner - The caller's buffer under the RAM, or null if the arena owns its pages.
   */
  constructor(
    size: number,
    readonly windows: Windows,
    owner: ArrayBufferLike | null,
    marks: MemoryMarks,
  ) {
    this.#size = size;
    this.#owner = owner;
    this.#marks = marks;
    const { u8, u16, u32, u64, quads } = EMPTY_WINDOW;
    this.u8 = u8;
    this.u16 = u16;
    this.u32 = u32;
    this.u64 = u64;
    this.quads = quads;
    this.writeQuads = quads;
    this.base = 0;
  }

  /** Call it after the tracking or the guarding of writes has started or ended. */
  marksChanged(): void {
    this.writeQuads = this.#marks.idle ? this.quads : 0;
  }

  /** Ends the use of the RAM. The result of every later access is `ERROR_INTERNAL`. */
  end(): void {
    this.#ended = true;
    this.windows.end();
    this.#use(0, EMPTY_WINDOW);
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const index = gpa >>> 0;
        if (index === gpa - this.base && index >>> 3 < this.quads) {
          const value = this.u8[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const index = gpa >>> 1;
        if (index * 2 === gpa - this.base && index >>> 2 < this.quads) {
          const value = this.u16[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const index = gpa >>> 2;
        if (index * 4 === gpa - this.base && index >>> 1 < this.quads) {
          const value = this.u32[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const index = gpa >>> 3;
        if (index * 8 === gpa - this.base && index < this.quads) {
          const value = this.u64[index];
          if (value !== undefined) {
            out[0] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryRead(QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const index = gpa >>> 0;
      const cells = this.u8;
      if (
        index === gpa - this.base &&
        index >>> 3 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        return OK;
      }
    }
    return this.#tryWrite(BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const index = gpa >>> 1;
      const cells = this.u16;
      if (
        index * 2 === gpa - this.base &&
        index >>> 2 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        return OK;
      }
    }
    return this.#tryWrite(WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const index = gpa >>> 2;
      const cells = this.u32;
      if (
        index * 4 === gpa - this.base &&
        index >>> 1 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        return OK;
      }
    }
    return this.#tryWrite(LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const index = gpa >>> 3;
      const cells = this.u64;
      if (index * 8 === gpa - this.base && index < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        return OK;
      }
    }
    return this.#tryWrite(QUAD, gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          const index = gpa >>> 3;
          const cells = this.u64;
          if (
            index * 8 === gpa - this.base &&
            index < this.writeQuads &&
            cells[index] !== undefined
          ) {
            cells[index] = value;
            return OK;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.#tryWrite(QUAD, gpa, checkOut(QUAD, source, "source")[0]!);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 0;
      if (index === gpa - this.base && index >>> 3 < this.quads) {
        const value = this.u8[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.#read(BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 1;
      if (index * 2 === gpa - this.base && index >>> 2 < this.quads) {
        const value = this.u16[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.#read(WORD, gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 2;
      if (index * 4 === gpa - this.base && index >>> 1 < this.quads) {
        const value = this.u32[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.#read(LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const index = gpa >>> 3;
      if (index * 8 === gpa - this.base && index < this.quads) {
        const value = this.u64[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.#read(QUAD, gpa);
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

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof at === "number" &&
      this.isView(out) &&
      out[at] !== undefined &&
      out[at + 1] !== undefined &&
      out instanceof Uint32Array
    ) {
      const index = gpa >>> 2;
      const cells = this.u32;
      if (!(gpa & 7) && gpa >>> 0 === gpa - this.base && index >>> 1 < this.quads) {
        const high = cells[index + 1];
        if (high !== undefined) {
          out[at] = cells[index]!;
          out[at + 1] = high;
          return OK;
        }
      }
    }
    return this.#tryReadHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof low === "number" &&
      (low >>> 0 === low || (low | 0) === low) &&
      typeof high === "number" &&
      (high >>> 0 === high || (high | 0) === high)
    ) {
      const index = gpa >>> 2;
      const cells = this.u32;
      if (
        !(gpa & 7) &&
        gpa >>> 0 === gpa - this.base &&
        index >>> 1 < this.writeQuads &&
        cells[index + 1] !== undefined
      ) {
        cells[index] = low;
        cells[index + 1] = high;
        return OK;
      }
    }
    return this.#tryWriteHalves(gpa, low, high);
  }

  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    const result = this.tryReadqHalves(gpa, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "read");
    }
  }

  writeqHalves(gpa: Gpa, low: number, high: number): void {
    const result = this.tryWriteqHalves(gpa, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write");
    }
  }

  // #endregion

  /**
   * Checks the range of a bulk access and returns its address as a number.
   *
   * @throws {@link GuestMemoryFault} if the range does not lie in RAM; TypeError, RangeError for an
   * invalid address; Error `ERR_OUT_OF_MEMORY` if a window to write to cannot be made.
   */
  locateRange(gpa: Gpa, length: number, operation: Operation): number {
    const address = toAddress(gpa);
    const result = this.checkRange(address, length);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, length, operation);
    }
    if (operation === "write") {
      this.makeWindows(address, length);
    }
    return address;
  }

  /**
   * Makes the windows of a range of RAM. Call it before the first byte of the range is written.
   *
   * @throws Error `ERR_OUT_OF_MEMORY` if the runtime refuses an ArrayBuffer.
   */
  makeWindows(address: number, length: number): void {
    for (let end = address + length; end > address; end -= WINDOW_SIZE) {
      this.windows.at(end - 1);
    }
  }

  /** Whether the RAM has ended or the buffer over `address` is detached. */
  lost(address: number): boolean {
    if (this.#ended || this.#owner?.byteLength === 0) {
      return true;
    }
    return address < this.#size && this.windows.madeAt(address)?.u8.length === 0;
  }

  #tryRead<T extends Value, A extends Out>(
    width: Width<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    branchFromNowOn();
    checkOut(width, out, "out");
    const address = toAddress(gpa);
    const result = this.#check(address, width.bytes);
    if (result === OK) {
      width.store(out, width.get(this.windows.at(address).data, address >>> 0));
    }
    return result;
  }

  #tryWrite<T extends Value, A extends Out>(
    width: Width<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    branchFromNowOn();
    const checked = width.checkValue(value);
    const address = toAddress(gpa);
    const result = this.#checkWrite(address, width.bytes);
    if (result === OK) {
      width.set(this.windows.at(address).data, address >>> 0, checked);
      // After the write, as DirtyBitmap requires.
      this.#marks.dirty?.markPage(Math.floor(address / PAGE_SIZE));
    }
    return result;
  }

  #tryReadHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    branchFromNowOn();
    checkHalvesOut(out, at);
    const address = toAddress(gpa);
    const result = this.#check(address, QUAD.bytes);
    if (result === OK) {
      const { data } = this.windows.at(address);
      out[at] = LONG.get(data, address >>> 0);
      out[at + 1] = LONG.get(data, (address >>> 0) + LONG.bytes);
    }
    return result;
  }

  #tryWriteHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    branchFromNowOn();
    LONG.checkValue(low, "low");
    LONG.checkValue(high, "high");
    const address = toAddress(gpa);
    const result = this.#checkWrite(address, QUAD.bytes);
    if (result === OK) {
      const { data } = this.windows.at(address);
      LONG.set(data, address >>> 0, low);
      LONG.set(data, (address >>> 0) + LONG.bytes, high);
      this.#marks.dirty?.markPage(Math.floor(address / PAGE_SIZE));
    }
    return result;
  }

  #read<T extends Value, A extends Out>(width: Width<T, A>, gpa: Gpa): T {
    branchFromNowOn();
    const address = toAddress(gpa);
    const result = this.#check(address, width.bytes);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, width.bytes, "read");
    }
    return width.get(this.windows.at(address).data, address >>> 0);
  }

  /** Makes the checks of an access. On `OK`, its window becomes the window of the fast path. */
  #check(address: number, bytes: number): GuestMemAccessResult {
    const result = this.checkRange(address, bytes);
    if (result !== OK) {
      return result;
    }
    // `&` uses the low 32 bits of the address, which is exact, and costs a fifth of `%`.
    if ((address & (bytes - 1)) !== 0) {
      return FAULT_UNALIGNED;
    }
    // An aligned access never crosses a window, whose size is a multiple of every width.
    const base = address - (address % WINDOW_SIZE);
    if (base !== 0 && base !== this.base) {
      this.#use(base, this.windows.at(address));
    }
    return OK;
  }

  /** As `#check`, and calls the guards of a write that does not fault. */
  #checkWrite(address: number, bytes: number): GuestMemAccessResult {
    const result = this.#check(address, bytes);
    return result === OK && this.#marks.callGuards(address, bytes)
      ? this.#check(address, bytes)
      : result;
  }

  /** The result of an access to a range, without the check of its alignment. */
  checkRange(address: number, length: number): GuestMemAccessResult {
    if (this.lost(address)) {
      return ERROR_INTERNAL;
    }
    if (this.#size < length || address > this.#size - length) {
      return FAULT_BOUNDARY;
    }
    // Each window has its own buffer, which the caller may have transferred.
    for (let end = address + length; end > address; end -= WINDOW_SIZE) {
      if (this.lost(end - 1)) {
        return ERROR_INTERNAL;
      }
    }
    return OK;
  }

  /** As `checkRange`, and calls the guards of a write that does not fault. */
  prepareWrite(address: number, length: number): GuestMemAccessResult {
    const result = this.checkRange(address, length);
    return result === OK && length !== 0 && this.#marks.callGuards(address, length)
      ? this.checkRange(address, length)
      : result;
  }

  #use(base: number, { u8, u16, u32, u64, quads }: Window): void {
    this.u8 = u8;
    this.u16 = u16;
    this.u32 = u32;
    this.u64 = u64;
    this.quads = quads;
    this.base = base;
    this.marksChanged();
  }
}
