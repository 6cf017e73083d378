import type { GuestAccessors, GuestHalvesAccessors } from "../base/access.js";
import { checkHalvesOut, quadOf } from "../base/halves.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { uncloneable } from "../base/uncloneable.js";
import { BYTE, checkOut, isView, LONG, QUAD, WORD } from "../base/widths.js";
import { native } from "../native/addon.js";
import { block16, block32, block64, block8 } from "../native/block-views.js";
import {
  GPA_HIGH32,
  GPA_LOW32,
  MEMORY32,
  OPERATION32,
  RESULT32,
  VALUE16,
  VALUE32,
  VALUE64,
  VALUE8,
} from "../native/call-block.js";
import { VALUE_HIGH32, VALUE_LOW32 } from "../native/value-halves.js";
import type { TranslatedAccess } from "./general-access.js";
import { MmuHalves } from "./halves.js";
import type { VirtualAddress } from "./virtual-address.js";

const {
  mmuReadb,
  mmuReadw,
  mmuReadl,
  mmuReadq,
  mmuWriteb,
  mmuWritew,
  mmuWritel,
  mmuWriteq,
  mmuFetchb,
  mmuFetchw,
  mmuFetchl,
} = native;

/**
 * The native path of an MMU: {@link Mmu.native}. C++ translates the address by the TLB of the view
 * path and looks it up in the page table of the space. It leaves the other accesses, such as those
 * that have to walk, to JavaScript, which makes them by the native path of the space.
 */
export class NativeMmuAccess implements GuestAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The number of the page table in the call block; at first, one that no table has. @internal */
  table = 0xffff_ffff;
  /** The number of the selected TLB in the call block. @internal */
  tlb = 0xffff_ffff;
  private readonly general: TranslatedAccess;
  #halves: GuestHalvesAccessors | undefined;

  /** @internal */
  constructor(general: TranslatedAccess) {
    this.general = general;
  }

  /** The accessors of {@link Mmu.halves} on the native path. */
  get halves(): GuestHalvesAccessors {
    return (this.#halves ??= new MmuHalves(this));
  }

  /** Keeps `JSON.stringify` from writing out the RAM. */
  toJSON(): { type: "NativeMmuAccess" } {
    return { type: "NativeMmuAccess" };
  }

  /**
   * Writes the tables and the address of the next call into the call block. Returns false for an
   * address that no entry of a TLB has, or that is not valid.
   */
  private prepare(va: VirtualAddress): boolean {
    if (typeof va !== "number") {
      return false;
    }
    const low = va >>> 0;
    const high = (va - low) * 2 ** -32;
    const block = block32;
    block[GPA_LOW32] = low;
    block[GPA_HIGH32] = high;
    block[MEMORY32] = this.table;
    block[OPERATION32] = this.tlb;
    return (high | 0) === high;
  }

  // #region generated: npm run generate

  tryReadb(va: VirtualAddress, out: Uint8Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint8Array)) {
      checkOut(BYTE, out, "out");
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuReadb();
      if (block[RESULT32] === OK) {
        out[0] = block8[VALUE8]!;
        return OK;
      }
    }
    return this.general.tryRead(0, va, out);
  }

  tryReadw(va: VirtualAddress, out: Uint16Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint16Array)) {
      checkOut(WORD, out, "out");
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuReadw();
      if (block[RESULT32] === OK) {
        out[0] = block16[VALUE16]!;
        return OK;
      }
    }
    return this.general.tryRead(1, va, out);
  }

  tryReadl(va: VirtualAddress, out: Uint32Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint32Array)) {
      checkOut(LONG, out, "out");
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuReadl();
      if (block[RESULT32] === OK) {
        out[0] = block32[VALUE32]!;
        return OK;
      }
    }
    return this.general.tryRead(2, va, out);
  }

  tryReadq(va: VirtualAddress, out: BigUint64Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof BigUint64Array)) {
      checkOut(QUAD, out, "out");
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuReadq();
      if (block[RESULT32] === OK) {
        out[0] = block64[VALUE64]!;
        return OK;
      }
    }
    return this.general.tryRead(3, va, out);
  }

  tryWriteb(va: VirtualAddress, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && value >= -0x80 && value <= 0xff && (value | 0) === value
        ? value
        : BYTE.checkValue(value);
    if (this.prepare(va)) {
      const block = block32;
      block8[VALUE8] = checked;
      mmuWriteb();
      if (block[RESULT32] === OK) {
        return OK;
      }
    }
    return this.general.tryWrite(0, va, checked);
  }

  tryWritew(va: VirtualAddress, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && value >= -0x8000 && value <= 0xffff && (value | 0) === value
        ? value
        : WORD.checkValue(value);
    if (this.prepare(va)) {
      const block = block32;
      block16[VALUE16] = checked;
      mmuWritew();
      if (block[RESULT32] === OK) {
        return OK;
      }
    }
    return this.general.tryWrite(1, va, checked);
  }

  tryWritel(va: VirtualAddress, value: number): GuestMemAccessResult {
    const checked =
      typeof value === "number" && (value >>> 0 === value || (value | 0) === value)
        ? value
        : LONG.checkValue(value);
    if (this.prepare(va)) {
      const block = block32;
      block32[VALUE32] = checked;
      mmuWritel();
      if (block[RESULT32] === OK) {
        return OK;
      }
    }
    return this.general.tryWrite(2, va, checked);
  }

  tryWriteq(va: VirtualAddress, value: bigint): GuestMemAccessResult {
    const checked = QUAD.checkValue(value);
    if (this.prepare(va)) {
      const block = block32;
      block64[VALUE64] = checked;
      mmuWriteq();
      if (block[RESULT32] === OK) {
        return OK;
      }
    }
    return this.general.tryWrite(3, va, checked);
  }

  tryWriteqFrom(va: VirtualAddress, source: BigUint64Array): GuestMemAccessResult {
    const value =
      isView(source) && source[0] !== undefined && source instanceof BigUint64Array
        ? source[0]
        : checkOut(QUAD, source, "source")[0]!;
    if (this.prepare(va)) {
      const block = block32;
      block64[VALUE64] = value;
      mmuWriteq();
      if (block[RESULT32] === OK) {
        return OK;
      }
    }
    return this.general.tryWrite(3, va, value);
  }

  readb(va: VirtualAddress): number {
    if (this.prepare(va)) {
      const block = block32;

      mmuReadb();
      if (block[RESULT32] === OK) {
        return block8[VALUE8]!;
      }
    }
    return this.general.read(0, va);
  }

  readw(va: VirtualAddress): number {
    if (this.prepare(va)) {
      const block = block32;

      mmuReadw();
      if (block[RESULT32] === OK) {
        return block16[VALUE16]!;
      }
    }
    return this.general.read(1, va);
  }

  readl(va: VirtualAddress): number {
    if (this.prepare(va)) {
      const block = block32;

      mmuReadl();
      if (block[RESULT32] === OK) {
        return block32[VALUE32]!;
      }
    }
    return this.general.read(2, va);
  }

  readq(va: VirtualAddress): bigint {
    if (this.prepare(va)) {
      const block = block32;

      mmuReadq();
      if (block[RESULT32] === OK) {
        return block64[VALUE64]!;
      }
    }
    return this.general.readQuad(va);
  }

  writeb(va: VirtualAddress, value: number): void {
    this.general.check(this.tryWriteb(va, value), va);
  }

  writew(va: VirtualAddress, value: number): void {
    this.general.check(this.tryWritew(va, value), va);
  }

  writel(va: VirtualAddress, value: number): void {
    this.general.check(this.tryWritel(va, value), va);
  }

  writeq(va: VirtualAddress, value: bigint): void {
    this.general.check(this.tryWriteq(va, value), va);
  }

  tryReadqHalves(va: VirtualAddress, out: Uint32Array, at: number): GuestMemAccessResult {
    if (
      typeof at !== "number" ||
      !isView(out) ||
      out[at] === undefined ||
      out[at + 1] === undefined ||
      !(out instanceof Uint32Array)
    ) {
      checkHalvesOut(out, at);
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuReadq();
      if (block[RESULT32] === OK) {
        out[at] = block[VALUE_LOW32]!;
        out[at + 1] = block[VALUE_HIGH32]!;
        return OK;
      }
    }
    return this.general.tryReadqHalves(va, out, at);
  }

  tryWriteqHalves(va: VirtualAddress, low: number, high: number): GuestMemAccessResult {
    const checkedLow =
      typeof low === "number" && (low >>> 0 === low || (low | 0) === low)
        ? low
        : LONG.checkValue(low, "low");
    const checkedHigh =
      typeof high === "number" && (high >>> 0 === high || (high | 0) === high)
        ? high
        : LONG.checkValue(high, "high");
    if (this.prepare(va)) {
      const block = block32;
      block[VALUE_LOW32] = checkedLow;
      block[VALUE_HIGH32] = checkedHigh;
      mmuWriteq();
      if (block[RESULT32] === OK) {
        return OK;
      }
    }
    return this.general.tryWrite(3, va, quadOf(checkedLow, checkedHigh));
  }

  readqHalves(va: VirtualAddress, out: Uint32Array, at: number): void {
    this.general.check(this.tryReadqHalves(va, out, at), va);
  }

  writeqHalves(va: VirtualAddress, low: number, high: number): void {
    this.general.check(this.tryWriteqHalves(va, low, high), va);
  }

  /** Fetches 8 bits of an instruction, with the right to execute instead of the right to read. */
  tryFetchb(va: VirtualAddress, out: Uint8Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint8Array)) {
      checkOut(BYTE, out, "out");
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuFetchb();
      if (block[RESULT32] === OK) {
        out[0] = block8[VALUE8]!;
        return OK;
      }
    }
    return this.general.tryFetch(0, va, out);
  }

  /** Fetches 16 bits of an instruction, with the right to execute instead of the right to read. */
  tryFetchw(va: VirtualAddress, out: Uint16Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint16Array)) {
      checkOut(WORD, out, "out");
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuFetchw();
      if (block[RESULT32] === OK) {
        out[0] = block16[VALUE16]!;
        return OK;
      }
    }
    return this.general.tryFetch(1, va, out);
  }

  /** Fetches 32 bits of an instruction, with the right to execute instead of the right to read. */
  tryFetchl(va: VirtualAddress, out: Uint32Array): GuestMemAccessResult {
    if (!isView(out) || out[0] === undefined || !(out instanceof Uint32Array)) {
      checkOut(LONG, out, "out");
    }
    if (this.prepare(va)) {
      const block = block32;

      mmuFetchl();
      if (block[RESULT32] === OK) {
        out[0] = block32[VALUE32]!;
        return OK;
      }
    }
    return this.general.tryFetch(2, va, out);
  }

  /** As `tryFetch`, but returns the value. @throws {@link GuestMemoryFault} */
  fetchb(va: VirtualAddress): number {
    if (this.prepare(va)) {
      const block = block32;

      mmuFetchb();
      if (block[RESULT32] === OK) {
        return block8[VALUE8]!;
      }
    }
    return this.general.fetch(0, va);
  }

  /** As `tryFetch`, but returns the value. @throws {@link GuestMemoryFault} */
  fetchw(va: VirtualAddress): number {
    if (this.prepare(va)) {
      const block = block32;

      mmuFetchw();
      if (block[RESULT32] === OK) {
        return block16[VALUE16]!;
      }
    }
    return this.general.fetch(1, va);
  }

  /** As `tryFetch`, but returns the value. @throws {@link GuestMemoryFault} */
  fetchl(va: VirtualAddress): number {
    if (this.prepare(va)) {
      const block = block32;

      mmuFetchl();
      if (block[RESULT32] === OK) {
        return block32[VALUE32]!;
      }
    }
    return this.general.fetch(2, va);
  }

  // #endregion
}
