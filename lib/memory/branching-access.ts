import type { GuestMemoryAccess } from "../base/access.js";
import { GuestMemoryFault } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { checkSlots, isView } from "../base/widths.js";

/**
 * The accessors of `GuestMemory` after an access has been refused in the process. See
 * accessor-forms.ts. The fields are those of `GuestMemory`.
 *
 * - The comparison of the address with its shifted index refuses fractions, NaN, negative
 *   numbers, unaligned addresses and addresses of 4 GiB and above at once.
 * - In optimized code, the comparison of an element with undefined costs nothing: V8 must check
 *   the index and the buffer, which may be detached, in any case. Therefore stores read the
 *   element first, and no accessor reads a length.
 */
export class BranchingAccess implements Omit<GuestMemoryAccess, "size"> {
  declare protected readonly u8: Uint8Array;
  declare protected readonly u16: Uint16Array;
  declare protected readonly u32: Uint32Array;
  declare protected readonly u64: BigUint64Array;
  declare protected readonly quads: number;
  declare protected readonly writeQuads: number;
  declare protected readonly general: GuestMemoryAccess;
  // A property of the prototype, which V8 treats as a constant.
  declare protected checkSlots: typeof checkSlots;
  declare protected isView: typeof isView;
  static {
    this.prototype.checkSlots = checkSlots;
    this.prototype.isView = isView;
  }

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const index = gpa >>> 0;
        if (index === gpa && index >>> 3 < this.quads) {
          const value = this.u8[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const index = gpa >>> 1;
        if (index * 2 === gpa && index >>> 2 < this.quads) {
          const value = this.u16[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const index = gpa >>> 2;
        if (index * 4 === gpa && index >>> 1 < this.quads) {
          const value = this.u32[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const index = gpa >>> 3;
        if (index * 8 === gpa && index < this.quads) {
          const value = this.u64[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadq(gpa, out);
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
      if (index === gpa && index >>> 3 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
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
      const cells = this.u16;
      if (index * 2 === gpa && index >>> 2 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
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
      const cells = this.u32;
      if (index * 4 === gpa && index >>> 1 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
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
      const cells = this.u64;
      if (index * 8 === gpa && index < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
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
          const cells = this.u64;
          if (index * 8 === gpa && index < this.writeQuads && cells[index] !== undefined) {
            cells[index] = value;
            return 0;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 0;
      if (index === gpa && index >>> 3 < this.quads) {
        const value = this.u8[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 1;
      if (index * 2 === gpa && index >>> 2 < this.quads) {
        const value = this.u16[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 2;
      if (index * 4 === gpa && index >>> 1 < this.quads) {
        const value = this.u32[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readl(gpa) >>> 0;
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const index = gpa >>> 3;
      if (index * 8 === gpa && index < this.quads) {
        const value = this.u64[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readq(gpa);
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
      const cells = this.u8;
      if (index === gpa && index >>> 3 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
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
      const cells = this.u16;
      if (index * 2 === gpa && index >>> 2 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
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
      const cells = this.u32;
      if (index * 4 === gpa && index >>> 1 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
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
      const cells = this.u64;
      if (index * 8 === gpa && index < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        return;
      }
    }
    this.general.writeq(gpa, value);
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
      if (!(gpa & 7) && gpa >>> 0 === gpa) {
        const high = cells[index + 1];
        if (high !== undefined) {
          out[at] = cells[index]!;
          out[at + 1] = high;
          return 0;
        }
      }
    }
    return this.general.tryReadqHalves(gpa, out, at);
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
        gpa >>> 0 === gpa &&
        index >>> 1 < this.writeQuads &&
        cells[index + 1] !== undefined
      ) {
        cells[index] = low;
        cells[index + 1] = high;
        return 0;
      }
    }
    return this.general.tryWriteqHalves(gpa, low, high);
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
}
