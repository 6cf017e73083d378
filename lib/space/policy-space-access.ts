import type { Bus } from "./bus.js";
import type { Gpa } from "../base/gpa.js";
import { quadOf } from "../base/halves.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { checkOut, QUAD } from "../base/widths.js";
import { SpaceAccess } from "./general-access.js";
import { SPACE_BYTE, SPACE_LONG, SPACE_QUAD, SPACE_WORD } from "./widths.js";

/**
 * As `SpaceAccess`, for spaces with another policy than the default. One class serves all of them:
 * it has the policy in fields, which takes a little longer than constants would.
 */
export class PolicySpaceAccess extends SpaceAccess {
  /** The offset in bytes of the low half of a 64-bit value: 0 or 4. */
  private readonly lowAt: number;

  constructor(bus: Bus) {
    super(bus);
    this.lowAt = this.littleEndian ? 0 : 4;
  }

  // #region generated: npm run generate

  override tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
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

  override tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & this.aligned & 1) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          out[0] = this.readView.getUint16(place, this.littleEndian);
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

  override tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    let isChecked = false;
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & this.aligned & 3) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          out[0] = this.readView.getUint32(place, this.littleEndian);
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

  override tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & this.aligned & 7) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          out[0] = this.readView.getBigUint64(place, this.littleEndian);
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryRead(SPACE_QUAD, gpa, out);
  }

  override tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
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

  override tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
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
          (address & this.aligned & 1) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;
          this.writeView.setUint16(place, value, this.littleEndian);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
            marks[(place + 1) >>> 12] = 1;
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

  override tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
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
          (address & this.aligned & 3) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;
          this.writeView.setUint32(place, value, this.littleEndian);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
            marks[(place + 3) >>> 12] = 1;
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

  override tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
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
          (address & this.aligned & 7) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;
          this.writeView.setBigUint64(place, value, this.littleEndian);
          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
            marks[(place + 7) >>> 12] = 1;
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryWrite(SPACE_QUAD, gpa, value);
  }

  override tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);

          const address = gpa >>> 0;
          const index = (address - this.writeLow) >>> 0;
          if (
            index <= this.writeLast >>> 0 &&
            (address & this.aligned & 7) === 0 &&
            gpa - address === this.writeHigh
          ) {
            const place = (address + this.writeDistance) >>> 0;
            this.writeView.setBigUint64(place, value, this.littleEndian);
            const { marks } = this;
            if (marks !== null) {
              marks[place >>> 12] = 1;
              marks[(place + 7) >>> 12] = 1;
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

  override readb(gpa: Gpa): number {
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

  override readw(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & this.aligned & 1) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          return this.readView.getUint16(place, this.littleEndian);
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

  override readl(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & this.aligned & 3) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          return this.readView.getUint32(place, this.littleEndian);
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

  override readq(gpa: Gpa): bigint {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        const index = (address - this.readLow) >>> 0;
        if (
          index <= this.readLast >>> 0 &&
          (address & this.aligned & 7) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;
          return this.readView.getBigUint64(place, this.littleEndian);
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.read(SPACE_QUAD, gpa);
  }

  override tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
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
          (address & this.aligned & 7) === 0 &&
          gpa - address === this.readHigh
        ) {
          const place = (address + this.readDistance) >>> 0;

          const view = this.readView;
          const start = place;
          const low = view.getUint32(start + this.lowAt, this.littleEndian);
          out[at + 1] = view.getUint32(start + 4 - this.lowAt, this.littleEndian);
          out[at] = low;
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryReadHalves(gpa, out, at);
  }

  override tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
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
          (address & this.aligned & 7) === 0 &&
          gpa - address === this.writeHigh
        ) {
          const place = (address + this.writeDistance) >>> 0;

          const view = this.writeView;
          const start = place;
          view.setUint32(start + this.lowAt, low, this.littleEndian);
          view.setUint32(start + 4 - this.lowAt, high, this.littleEndian);

          const { marks } = this;
          if (marks !== null) {
            marks[place >>> 12] = 1;
            marks[(place + 7) >>> 12] = 1;
          }
          return OK;
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.tryWrite(SPACE_QUAD, gpa, quadOf(low, high));
  }

  // #endregion
}
