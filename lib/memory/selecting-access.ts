import type { GuestMemoryAccess } from "../base/access.js";
import { GuestMemoryFault } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { checkSlots, isView } from "../base/widths.js";
import { EMPTY_WINDOW } from "./windows.js";

/**
 * The accessors of `GuestMemory` for a process in which no access has been refused yet. See
 * accessor-forms.ts. The fields are those of `GuestMemory`.
 *
 * An accessor does not branch at each check. It selects -1 as the index if a check fails, and no
 * typed array has that index. The bits that must be 0 in an aligned address become the highest bits
 * of the index, so an unaligned address is out of bounds too. As long as the typed arrays have had
 * every index, V8 compiles `in` to its usual check of the bounds, without a branch to the slow
 * path:
 *
 * - V8 peels the caller's loop only if no branch in it leads out of it, and code that has never run
 *   does. In the peeled loop, V8 does not repeat the checks and loads that are the same each time.
 * - Without the branches and the second check of the bounds, an access takes half the instructions.
 *
 * Bytes from 2 GiB on have negative indices, so they take the slow path.
 */
export class SelectingAccess implements Omit<GuestMemoryAccess, "size"> {
  declare protected readonly u8: Uint8Array;
  declare protected readonly u16: Uint16Array;
  declare protected readonly u32: Uint32Array;
  declare protected readonly u64: BigUint64Array;
  declare protected readonly w8: Uint8Array;
  declare protected readonly w16: Uint16Array;
  declare protected readonly w32: Uint32Array;
  declare protected readonly w64: BigUint64Array;
  declare protected readonly general: GuestMemoryAccess;
  // A property of the prototype, which V8 treats as a constant.
  declare protected checkSlots: typeof checkSlots;
  declare protected isView: typeof isView;
  static {
    // For RAM whose first window is not made yet, in both forms.
    const { u8, u16, u32, u64, quads } = EMPTY_WINDOW;
    const writable = { w8: u8, w16: u16, w32: u32, w64: u64, writeQuads: quads };
    Object.assign(this.prototype, { u8, u16, u32, u64, quads, ...writable });
    this.prototype.checkSlots = checkSlots;
    this.prototype.isView = isView;
  }

  // #region generated: npm run generate

  tryReadb(gpa: number, out: Uint8Array): GuestMemAccessResult {
    try {
      if (out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const index = gpa >>> 0 === gpa ? gpa | 0 : -1;
        const cells = this.u8;
        if (index in cells) {
          const value = cells[index]!;
          out[0] = value;
          return 0;
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: number, out: Uint16Array): GuestMemAccessResult {
    try {
      if (out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const index = gpa >>> 0 === gpa ? (gpa >>> 1) | (gpa << 31) : -1;
        const cells = this.u16;
        if (index in cells) {
          const value = cells[index]!;
          out[0] = value;
          return 0;
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: number, out: Uint32Array): GuestMemAccessResult {
    try {
      if (out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const index = gpa >>> 0 === gpa ? (gpa >>> 2) | (gpa << 30) : -1;
        const cells = this.u32;
        if (index in cells) {
          const value = cells[index]!;
          out[0] = value;
          return 0;
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: number, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const index = gpa >>> 0 === gpa ? (gpa >>> 3) | (gpa << 29) : -1;
        const cells = this.u64;
        if (index in cells) {
          const value = cells[index]!;
          out[0] = value;
          return 0;
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    const index =
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value &&
      gpa >>> 0 === gpa
        ? gpa | 0
        : -1;
    const cells = this.w8;
    if (index in cells) {
      cells[index] = value;
      return 0;
    }
    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    const index =
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value &&
      gpa >>> 0 === gpa
        ? (gpa >>> 1) | (gpa << 31)
        : -1;
    const cells = this.w16;
    if (index in cells) {
      cells[index] = value;
      return 0;
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    const valueUnsigned = typeof value === "number" && value >>> 0 === value;
    const valueSigned = typeof value === "number" && (value | 0) === value;
    const index =
      typeof gpa === "number" && (valueUnsigned || valueSigned) && gpa >>> 0 === gpa
        ? (gpa >>> 2) | (gpa << 30)
        : -1;
    const cells = this.w32;
    if (index in cells) {
      cells[index] = value;
      return 0;
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    const valueUnsigned = typeof value === "bigint" && BigInt.asUintN(64, value) === value;
    const valueSigned = typeof value === "bigint" && BigInt.asIntN(64, value) === value;
    const index =
      typeof gpa === "number" && (valueUnsigned || valueSigned) && gpa >>> 0 === gpa
        ? (gpa >>> 3) | (gpa << 29)
        : -1;
    const cells = this.w64;
    if (index in cells) {
      cells[index] = value;
      return 0;
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: number, source: BigUint64Array): GuestMemAccessResult {
    try {
      const value = source[0];
      if (value !== undefined && source instanceof BigUint64Array) {
        this.checkSlots(source);
        const index = gpa >>> 0 === gpa ? (gpa >>> 3) | (gpa << 29) : -1;
        const cells = this.w64;
        if (index in cells) {
          cells[index] = value;
          return 0;
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    const index = typeof gpa === "number" && gpa >>> 0 === gpa ? gpa | 0 : -1;
    const cells = this.u8;
    if (index in cells) {
      const value = cells[index]!;
      return value;
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    const index = typeof gpa === "number" && gpa >>> 0 === gpa ? (gpa >>> 1) | (gpa << 31) : -1;
    const cells = this.u16;
    if (index in cells) {
      const value = cells[index]!;
      return value;
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    const index = typeof gpa === "number" && gpa >>> 0 === gpa ? (gpa >>> 2) | (gpa << 30) : -1;
    const cells = this.u32;
    if (index in cells) {
      const value = cells[index]!;
      return value;
    }
    return this.general.readl(gpa) >>> 0;
  }

  readq(gpa: Gpa): bigint {
    const index = typeof gpa === "number" && gpa >>> 0 === gpa ? (gpa >>> 3) | (gpa << 29) : -1;
    const cells = this.u64;
    if (index in cells) {
      const value = cells[index]!;
      return value;
    }
    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    const index =
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x80 &&
      value <= 0xff &&
      (value | 0) === value &&
      gpa >>> 0 === gpa
        ? gpa | 0
        : -1;
    const cells = this.w8;
    if (index in cells) {
      cells[index] = value;
      return;
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    const index =
      typeof gpa === "number" &&
      typeof value === "number" &&
      value >= -0x8000 &&
      value <= 0xffff &&
      (value | 0) === value &&
      gpa >>> 0 === gpa
        ? (gpa >>> 1) | (gpa << 31)
        : -1;
    const cells = this.w16;
    if (index in cells) {
      cells[index] = value;
      return;
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    const valueUnsigned = typeof value === "number" && value >>> 0 === value;
    const valueSigned = typeof value === "number" && (value | 0) === value;
    const index =
      typeof gpa === "number" && (valueUnsigned || valueSigned) && gpa >>> 0 === gpa
        ? (gpa >>> 2) | (gpa << 30)
        : -1;
    const cells = this.w32;
    if (index in cells) {
      cells[index] = value;
      return;
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    const valueUnsigned = typeof value === "bigint" && BigInt.asUintN(64, value) === value;
    const valueSigned = typeof value === "bigint" && BigInt.asIntN(64, value) === value;
    const index =
      typeof gpa === "number" && (valueUnsigned || valueSigned) && gpa >>> 0 === gpa
        ? (gpa >>> 3) | (gpa << 29)
        : -1;
    const cells = this.w64;
    if (index in cells) {
      cells[index] = value;
      return;
    }
    this.general.writeq(gpa, value);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);
        const index = typeof gpa === "number" && gpa >>> 0 === gpa ? (gpa >>> 2) | (gpa << 29) : -1;
        const cells = this.u32;
        if (index in cells) {
          const high = cells[index + 1];
          if (high !== undefined) {
            out[at] = cells[index]!;
            out[at + 1] = high;
            return 0;
          }
        }
      }
    } catch {
      // Not a typed array. The slow path throws an error with a code.
    }
    return this.general.tryReadqHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    const lowUnsigned = typeof low === "number" && low >>> 0 === low;
    const lowSigned = typeof low === "number" && (low | 0) === low;
    const highUnsigned = typeof high === "number" && high >>> 0 === high;
    const highSigned = typeof high === "number" && (high | 0) === high;
    const index =
      typeof gpa === "number" &&
      (lowUnsigned || lowSigned) &&
      (highUnsigned || highSigned) &&
      gpa >>> 0 === gpa
        ? (gpa >>> 2) | (gpa << 29)
        : -1;
    const cells = this.w32;
    if (index in cells && cells[index + 1] !== undefined) {
      cells[index] = low;
      cells[index + 1] = high;
      return 0;
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
