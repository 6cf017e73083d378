import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { checkSlots } from "../base/widths.js";
import type { GeneralAccess } from "./general-access.js";

/**
 * The writing accessors of tracked memory, which set dirty marks. `GuestMemory` uses the prototype
 * of this class, whose prototype is its own, for each memory whose tracking has started; no object
 * is made of this class.
 *
 * Accessors that mark conditionally, or in an array that is empty while the memory is not tracked,
 * would make writes to untracked memory up to 1.5 times as slow. Accessors of another object, which
 * those of GuestMemory call, would make tracked writes 1.3 times as slow as these.
 *
 * The fields are those of GuestMemory. The accessors of GuestMemory itself, which a program may
 * have kept from the time before, still mark: they take the slow path while writes are tracked.
 */
export abstract class TrackedWrites {
  declare private readonly u8: Uint8Array;
  declare private readonly u16: Uint16Array;
  declare private readonly u32: Uint32Array;
  declare private readonly u64: BigUint64Array;
  declare private readonly marks: Uint8Array;
  declare private readonly general: GeneralAccess;
  declare private readonly checkSlots: typeof checkSlots;

  // The check of the boundary is that the page has a mark and that the typed array has the element.
  // The mark is stored after the element, and even if it is set already: see DirtyBitmap.

  // #region generated: npm run generate

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const index = gpa >>> 0;
      const page = index >>> 12;
      const { marks } = this;
      const cells = this.u8;
      if (index === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return 0;
      }
    }
    return this.general.tryWriteb(gpa, value);
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
      const page = index >>> 11;
      const { marks } = this;
      const cells = this.u16;
      if (index * 2 === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return 0;
      }
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const index = gpa >>> 2;
      const page = index >>> 10;
      const { marks } = this;
      const cells = this.u32;
      if (index * 4 === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return 0;
      }
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const index = gpa >>> 3;
      const page = index >>> 9;
      const { marks } = this;
      const cells = this.u64;
      if (index * 8 === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return 0;
      }
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          const index = gpa >>> 3;
          const page = index >>> 9;
          const { marks } = this;
          const cells = this.u64;
          if (index * 8 === gpa && marks[page] !== undefined && cells[index] !== undefined) {
            cells[index] = value;
            marks[page] = 1;
            return 0;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  writeb(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value
    ) {
      const index = gpa >>> 0;
      const page = index >>> 12;
      const { marks } = this;
      const cells = this.u8;
      if (index === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return;
      }
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value
    ) {
      const index = gpa >>> 1;
      const page = index >>> 11;
      const { marks } = this;
      const cells = this.u16;
      if (index * 2 === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return;
      }
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    if (
      typeof gpa === "number" &&
      typeof value === "number" &&
      (value >>> 0 === value || (value | 0) === value)
    ) {
      const index = gpa >>> 2;
      const page = index >>> 10;
      const { marks } = this;
      const cells = this.u32;
      if (index * 4 === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return;
      }
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
    ) {
      const index = gpa >>> 3;
      const page = index >>> 9;
      const { marks } = this;
      const cells = this.u64;
      if (index * 8 === gpa && marks[page] !== undefined && cells[index] !== undefined) {
        cells[index] = value;
        marks[page] = 1;
        return;
      }
    }
    this.general.writeq(gpa, value);
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
      const page = index >>> 10;
      const { marks } = this;
      const cells = this.u32;
      if (
        !(gpa & 7) &&
        gpa >>> 0 === gpa &&
        marks[page] !== undefined &&
        cells[index + 1] !== undefined
      ) {
        cells[index] = low;
        cells[index + 1] = high;
        marks[page] = 1;
        return 0;
      }
    }
    return this.general.tryWriteqHalves(gpa, low, high);
  }

  // #endregion
}
