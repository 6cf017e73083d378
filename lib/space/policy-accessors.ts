import type { GuestAccessors } from "../base/access.js";
import type { Gpa } from "../base/gpa.js";
import { type AccessPolicy, policyNumber } from "../base/policy.js";
import type { GuestMemAccessResult } from "../base/result.js";
import type { checkSlots } from "../base/widths.js";

/** The fields of `AddressSpace` that its accessors use. */
abstract class PolicyAccessors {
  declare protected readonly policyReads: Int32Array;
  declare protected readonly policyWrites: Int32Array;
  declare protected readonly shift: number;
  declare protected readonly pageBits: number;
  declare protected readonly general: GuestAccessors;
  declare protected readonly view: DataView;
  declare protected readonly checkSlots: typeof checkSlots;
}

// The accessors of address spaces with another policy than the default. One class per policy, so
// that V8 sees the policy as a constant and each class has type feedback of its own. Nothing makes
// instances of these classes: `AddressSpace` copies their methods.

// #region generated: npm run generate
class AllowLittle extends PolicyAccessors {
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1)) {
            out[0] = this.view.getUint8((address + distance) >>> 0);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 1)) & this.pageBits)) {
            out[0] = this.view.getUint16((address + distance) >>> 0, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 3)) & this.pageBits)) {
            out[0] = this.view.getUint32((address + distance) >>> 0, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 7)) & this.pageBits)) {
            out[0] = this.view.getBigUint64((address + distance) >>> 0, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadq(gpa, out);
  }

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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 1)) & this.pageBits))) {
            this.view.setUint16((address + distance) >>> 0, value, true);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 3)) & this.pageBits))) {
            this.view.setUint32((address + distance) >>> 0, value, true);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
            this.view.setBigUint64((address + distance) >>> 0, value, true);
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
            const distance = ~this.policyWrites[address >>> this.shift]!;
            if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
              this.view.setBigUint64((address + distance) >>> 0, value, true);
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

  readb(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1)) {
            return this.view.getUint8((address + distance) >>> 0);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 1)) & this.pageBits)) {
            return this.view.getUint16((address + distance) >>> 0, true);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 3)) & this.pageBits)) {
            return this.view.getUint32((address + distance) >>> 0, true);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 7)) & this.pageBits)) {
            return this.view.getBigUint64((address + distance) >>> 0, true);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readq(gpa);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 1)) & this.pageBits))) {
            this.view.setUint16((address + distance) >>> 0, value, true);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 3)) & this.pageBits))) {
            this.view.setUint32((address + distance) >>> 0, value, true);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
            this.view.setBigUint64((address + distance) >>> 0, value, true);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writeq(gpa, value);
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
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 7)) & this.pageBits)) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            const low = view.getUint32(start, true);
            out[at + 1] = view.getUint32(start + 4, true);
            out[at] = low;
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadqHalves(gpa, out, at);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            view.setUint32(start, low, true);
            view.setUint32(start + 4, high, true);

            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqHalves(gpa, low, high);
  }
}

class FaultBig extends PolicyAccessors {
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1)) {
            out[0] = this.view.getUint8((address + distance) >>> 0);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            out[0] = this.view.getUint16((address + distance) >>> 0, false);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            out[0] = this.view.getUint32((address + distance) >>> 0, false);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            out[0] = this.view.getBigUint64((address + distance) >>> 0, false);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadq(gpa, out);
  }

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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            this.view.setUint16((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            this.view.setUint32((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            this.view.setBigUint64((address + distance) >>> 0, value, false);
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
            const distance = ~this.policyWrites[address >>> this.shift]!;
            if (!((address | distance) & 7)) {
              this.view.setBigUint64((address + distance) >>> 0, value, false);
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

  readb(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1)) {
            return this.view.getUint8((address + distance) >>> 0);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            return this.view.getUint16((address + distance) >>> 0, false);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            return this.view.getUint32((address + distance) >>> 0, false);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readl(gpa) >>> 0;
  }

  readq(gpa: Gpa): bigint {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            return this.view.getBigUint64((address + distance) >>> 0, false);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readq(gpa);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            this.view.setUint16((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            this.view.setUint32((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            this.view.setBigUint64((address + distance) >>> 0, value, false);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writeq(gpa, value);
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
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            const low = view.getUint32(start + 4, false);
            out[at + 1] = view.getUint32(start, false);
            out[at] = low;
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadqHalves(gpa, out, at);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            view.setUint32(start + 4, low, false);
            view.setUint32(start, high, false);

            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqHalves(gpa, low, high);
  }
}

class AllowBig extends PolicyAccessors {
  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1)) {
            out[0] = this.view.getUint8((address + distance) >>> 0);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 1)) & this.pageBits)) {
            out[0] = this.view.getUint16((address + distance) >>> 0, false);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 3)) & this.pageBits)) {
            out[0] = this.view.getUint32((address + distance) >>> 0, false);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 7)) & this.pageBits)) {
            out[0] = this.view.getBigUint64((address + distance) >>> 0, false);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadq(gpa, out);
  }

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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 1)) & this.pageBits))) {
            this.view.setUint16((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 3)) & this.pageBits))) {
            this.view.setUint32((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
            this.view.setBigUint64((address + distance) >>> 0, value, false);
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
            const distance = ~this.policyWrites[address >>> this.shift]!;
            if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
              this.view.setBigUint64((address + distance) >>> 0, value, false);
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

  readb(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1)) {
            return this.view.getUint8((address + distance) >>> 0);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 1)) & this.pageBits)) {
            return this.view.getUint16((address + distance) >>> 0, false);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 3)) & this.pageBits)) {
            return this.view.getUint32((address + distance) >>> 0, false);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 7)) & this.pageBits)) {
            return this.view.getBigUint64((address + distance) >>> 0, false);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readq(gpa);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 1)) & this.pageBits))) {
            this.view.setUint16((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 3)) & this.pageBits))) {
            this.view.setUint32((address + distance) >>> 0, value, false);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
            this.view.setBigUint64((address + distance) >>> 0, value, false);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writeq(gpa, value);
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
        if (address === gpa) {
          const distance = ~this.policyReads[address >>> this.shift]!;
          if (!(distance & 1 || (address ^ (address + 7)) & this.pageBits)) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            const low = view.getUint32(start + 4, false);
            out[at + 1] = view.getUint32(start, false);
            out[at] = low;
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadqHalves(gpa, out, at);
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
          const distance = ~this.policyWrites[address >>> this.shift]!;
          if (!((distance & 1) | ((address ^ (address + 7)) & this.pageBits))) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            view.setUint32(start + 4, low, false);
            view.setUint32(start, high, false);

            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqHalves(gpa, low, high);
  }
}

// #endregion

const CLASSES = [null, AllowLittle, FaultBig, AllowBig];

/**
 * The properties of the prototype of address spaces with a policy: their hot accessors, and a
 * constructor, which the caller replaces.
 *
 * @param policy - Another policy than the default.
 */
export function accessorsOf(policy: Required<AccessPolicy>): PropertyDescriptorMap {
  return Object.getOwnPropertyDescriptors(CLASSES[policyNumber(policy)]!.prototype);
}
