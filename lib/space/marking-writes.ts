import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { checkSlots } from "../base/widths.js";
import type { SpaceAccess } from "./general-access.js";

/**
 * The writing accessors of an address space in whose home buffer a memory is tracked: they mark the
 * pages that they write. `AddressSpace` uses the prototype of this class, whose prototype is its
 * own, from the first such write on; no object is made of this class. Accessors that mark in every
 * space would make untracked writes slower.
 *
 * The fields are those of AddressSpace. Its own accessors, which a program may have kept from the
 * time before and which a subclass has, still mark: they find no entry for writes, and take the
 * slow path.
 */
export abstract class MarkingWrites {
  // Copies of `shift` and `view`: V8 of Node 22 no longer treats fields as constants that an object
  // had before its prototype changed.
  declare private readonly markedShift: number;
  declare private readonly markedView: DataView;
  /** The entries of the page table for writes. */
  declare private readonly markedWrites: Int32Array;
  /** A byte for each page of the home buffer; 1 is a mark. */
  declare private readonly marks: DataView;
  declare private readonly general: SpaceAccess;
  declare private readonly checkSlots: typeof checkSlots;

  // The mark is stored after the bytes, and even if it is set already: see DirtyBitmap.

  // #region generated: npm run generate

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x80 &&
        value <= 0xff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!(distance & 1)) {
            const place = (address + distance) | 0;
            this.markedView.setUint8(place >>> 0, value);
            this.marks.setUint8(place >>> 12, 1);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x8000 &&
        value <= 0xffff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!((address | distance) & 1)) {
            const place = (address + distance) | 0;
            this.markedView.setUint16(place >>> 0, value, true);
            this.marks.setUint8(place >>> 12, 1);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        (value >>> 0 === value || (value | 0) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!((address | distance) & 3)) {
            const place = (address + distance) | 0;
            this.markedView.setUint32(place >>> 0, value, true);
            this.marks.setUint8(place >>> 12, 1);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "bigint" &&
        (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!((address | distance) & 7)) {
            const place = (address + distance) | 0;
            this.markedView.setBigUint64(place >>> 0, value, true);
            this.marks.setUint8(place >>> 12, 1);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);

          const address = gpa >>> 0;
          if (address === gpa) {
            const distance = ~this.markedWrites[address >>> this.markedShift]!;
            if (!((address | distance) & 7)) {
              const place = (address + distance) | 0;
              this.markedView.setBigUint64(place >>> 0, value, true);
              this.marks.setUint8(place >>> 12, 1);
              return 0;
            }
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqFrom(gpa, source);
  }

  writeb(gpa: Gpa, value: number): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x80 &&
        value <= 0xff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!(distance & 1)) {
            const place = (address + distance) | 0;
            this.markedView.setUint8(place >>> 0, value);
            this.marks.setUint8(place >>> 12, 1);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x8000 &&
        value <= 0xffff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!((address | distance) & 1)) {
            const place = (address + distance) | 0;
            this.markedView.setUint16(place >>> 0, value, true);
            this.marks.setUint8(place >>> 12, 1);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        (value >>> 0 === value || (value | 0) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!((address | distance) & 3)) {
            const place = (address + distance) | 0;
            this.markedView.setUint32(place >>> 0, value, true);
            this.marks.setUint8(place >>> 12, 1);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "bigint" &&
        (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!((address | distance) & 7)) {
            const place = (address + distance) | 0;
            this.markedView.setBigUint64(place >>> 0, value, true);
            this.marks.setUint8(place >>> 12, 1);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writeq(gpa, value);
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
        if (address === gpa) {
          const distance = ~this.markedWrites[address >>> this.markedShift]!;
          if (!((address | distance) & 7)) {
            const place = (address + distance) | 0;
            const view = this.markedView;
            const start = place >>> 0;
            view.setUint32(start, low, true);
            view.setUint32(start + 4, high, true);
            this.marks.setUint8(place >>> 12, 1);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqHalves(gpa, low, high);
  }

  // #endregion
}
