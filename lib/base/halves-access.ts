import type { GuestAccessors, GuestHalvesAccessors } from "./access.js";
import { GuestMemoryFault, type Operation } from "./errors.js";
import type { Gpa } from "./gpa.js";
import { gpaOf } from "./halves.js";
import { type GuestMemAccessResult, OK } from "./result.js";
import { uncloneable } from "./uncloneable.js";

const byte = new Uint8Array(1);
const word = new Uint16Array(1);
const long = new Uint32Array(1);

/** A range of addresses with one upper half, whose bytes are adjacent in one memory. */
export interface HalvesRange {
  /** The memory that contains the bytes. */
  readonly access: GuestAccessors;
  /** The address in `access` of the first byte. */
  readonly from: number;
  /** The lower half of the first address. */
  readonly low: number;
  /** Bytes, up to 2^32. */
  readonly length: number;
}

/**
 * Finds the range that contains an address, for accesses of one kind. Returns null if each access
 * has to go through the accessors of the whole, for instance an access to a device.
 */
export type FindRange = (gpa: Gpa, gpaLow: number, operation: Operation) => HalvesRange | null;

/**
 * The accessors with addresses in halves, over accessors with whole addresses.
 *
 * It caches the last range that was read and the last that was written. The address of an access
 * within them is the 32-bit difference of two lower halves, so no whole address is computed. All
 * other accesses compute it, which takes a bigint above 2^53 - 1.
 */
export class HalvesAccess implements GuestHalvesAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  // The cached ranges, private to TypeScript only and not grouped in objects, for the reasons given
  // in GuestMemory. `readLow` is a signed integer, because V8 represents it as a small integer then.
  private readAccess: GuestAccessors;
  private readHigh = 0;
  private readLow = 0;
  private readLength = 0;
  private readFrom = 0;
  private writeAccess: GuestAccessors;
  private writeHigh = 0;
  private writeLow = 0;
  private writeLength = 0;
  private writeFrom = 0;

  readonly #whole: GuestAccessors;
  readonly #find: FindRange;

  /** @param whole - Makes the accesses for which `find` returns null. */
  constructor(whole: GuestAccessors, find: FindRange) {
    this.#whole = whole;
    this.#find = find;
    this.readAccess = whole;
    this.writeAccess = whole;
  }

  /** Invalidates the cached ranges. @internal */
  clear(): void {
    this.readAccess = this.#whole;
    this.readLength = 0;
    this.writeAccess = this.#whole;
    this.writeLength = 0;
  }

  /** The value that `JSON.stringify` writes, without the bytes of RAM. */
  toJSON(): { type: "HalvesAccess" } {
    return { type: "HalvesAccess" };
  }

  // #region generated: npm run generate

  tryReadb(gpaLow: number, gpaHigh: number, out: Uint8Array): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (offset < this.readLength) {
        return this.readAccess.tryReadb(this.readFrom + offset, out);
      }
    }
    return this.#whole.tryReadb(this.#toRead(gpaLow, gpaHigh), out);
  }

  tryReadw(gpaLow: number, gpaHigh: number, out: Uint16Array): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (offset < this.readLength) {
        return this.readAccess.tryReadw(this.readFrom + offset, out);
      }
    }
    return this.#whole.tryReadw(this.#toRead(gpaLow, gpaHigh), out);
  }

  tryReadl(gpaLow: number, gpaHigh: number, out: Uint32Array): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (offset < this.readLength) {
        return this.readAccess.tryReadl(this.readFrom + offset, out);
      }
    }
    return this.#whole.tryReadl(this.#toRead(gpaLow, gpaHigh), out);
  }

  tryReadq(gpaLow: number, gpaHigh: number, out: Uint32Array, at = 0): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (offset < this.readLength) {
        return this.readAccess.tryReadqHalves(this.readFrom + offset, out, at);
      }
    }
    return this.#whole.tryReadqHalves(this.#toRead(gpaLow, gpaHigh), out, at);
  }

  tryWriteb(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (offset < this.writeLength) {
        return this.writeAccess.tryWriteb(this.writeFrom + offset, value);
      }
    }
    return this.#whole.tryWriteb(this.#toWrite(gpaLow, gpaHigh), value);
  }

  tryWritew(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (offset < this.writeLength) {
        return this.writeAccess.tryWritew(this.writeFrom + offset, value);
      }
    }
    return this.#whole.tryWritew(this.#toWrite(gpaLow, gpaHigh), value);
  }

  tryWritel(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (offset < this.writeLength) {
        return this.writeAccess.tryWritel(this.writeFrom + offset, value);
      }
    }
    return this.#whole.tryWritel(this.#toWrite(gpaLow, gpaHigh), value);
  }

  tryWriteq(gpaLow: number, gpaHigh: number, low: number, high: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (offset < this.writeLength) {
        return this.writeAccess.tryWriteqHalves(this.writeFrom + offset, low, high);
      }
    }
    return this.#whole.tryWriteqHalves(this.#toWrite(gpaLow, gpaHigh), low, high);
  }

  readb(gpaLow: number, gpaHigh: number): number {
    const result = this.tryReadb(gpaLow, gpaHigh, byte);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 1, "read");
    }
    return byte[0]!;
  }

  readw(gpaLow: number, gpaHigh: number): number {
    const result = this.tryReadw(gpaLow, gpaHigh, word);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 2, "read");
    }
    return word[0]!;
  }

  readl(gpaLow: number, gpaHigh: number): number {
    const result = this.tryReadl(gpaLow, gpaHigh, long);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 4, "read");
    }
    return long[0]!;
  }

  readq(gpaLow: number, gpaHigh: number, out: Uint32Array, at = 0): void {
    const result = this.tryReadq(gpaLow, gpaHigh, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 8, "read");
    }
  }

  writeb(gpaLow: number, gpaHigh: number, value: number): void {
    const result = this.tryWriteb(gpaLow, gpaHigh, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 1, "write");
    }
  }

  writew(gpaLow: number, gpaHigh: number, value: number): void {
    const result = this.tryWritew(gpaLow, gpaHigh, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 2, "write");
    }
  }

  writel(gpaLow: number, gpaHigh: number, value: number): void {
    const result = this.tryWritel(gpaLow, gpaHigh, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 4, "write");
    }
  }

  writeq(gpaLow: number, gpaHigh: number, low: number, high: number): void {
    const result = this.tryWriteq(gpaLow, gpaHigh, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 8, "write");
    }
  }

  // #endregion

  /** The whole address of a read. Caches the range around it. */
  #toRead(gpaLow: number, gpaHigh: number): Gpa {
    const gpa = gpaOf(gpaLow, gpaHigh);
    const range = this.#find(gpa, gpaLow, "read");
    if (range !== null) {
      this.readAccess = range.access;
      this.readHigh = gpaHigh;
      this.readLow = range.low | 0;
      this.readLength = range.length;
      this.readFrom = range.from;
    }
    return gpa;
  }

  /** As `#toRead`, for a write. */
  #toWrite(gpaLow: number, gpaHigh: number): Gpa {
    const gpa = gpaOf(gpaLow, gpaHigh);
    const range = this.#find(gpa, gpaLow, "write");
    if (range !== null) {
      this.writeAccess = range.access;
      this.writeHigh = gpaHigh;
      this.writeLow = range.low | 0;
      this.writeLength = range.length;
      this.writeFrom = range.from;
    }
    return gpa;
  }
}

/** The ranges of RAM of `size` bytes that starts at address 0. */
export function rangesOfRam(access: GuestAccessors, size: number): FindRange {
  return (gpa, gpaLow) => {
    if (gpa >= size) {
      return null;
    }
    const from = Number(gpa) - gpaLow;
    return { access, from, low: 0, length: Math.min(size - from, 2 ** 32) };
  };
}
