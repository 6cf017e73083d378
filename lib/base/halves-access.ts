import type { GuestAccessors, GuestHalvesAccessors } from "./access.js";
import { type FaultReason, GuestMemoryFault, type Operation } from "./errors.js";
import type { Gpa } from "./gpa.js";
import { checkGpaHalves, gpaOf } from "./halves.js";
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

/** A range with its upper half. */
type CachedRange = HalvesRange & { readonly high: number };

/**
 * The accessors with addresses in halves, over accessors with whole addresses.
 *
 * It caches the last range that was read and the last that was written. An address within them
 * needs only the difference of two lower halves. For another address it computes the whole address,
 * which is a bigint above 2^53 - 1.
 */
export class HalvesAccess implements GuestHalvesAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  // The cached ranges whose bytes have addresses below 2^32 in their memory; otherwise the lengths
  // are 0. An address in the memory is `gpaLow` plus the shift, modulo 2^32. The fields are private
  // to TypeScript only and not grouped in objects, for the reasons given in GuestMemory. `readLow`
  // and `readShift` are signed 32-bit integers, which are small integers in V8.
  private readAccess: GuestAccessors;
  private readHigh = 0;
  private readLow = 0;
  private readLength = 0;
  private readShift = 0;
  private writeAccess: GuestAccessors;
  private writeHigh = 0;
  private writeLow = 0;
  private writeLength = 0;
  private writeShift = 0;

  private readonly whole: GuestAccessors;
  readonly #find: FindRange;
  readonly #reason: (() => FaultReason) | undefined;
  readonly #cached: Record<Operation, CachedRange | null> = { read: null, write: null };
  /** The accessors for the address that `locate` returned last. */
  private located: GuestAccessors;

  /**
   * @param whole - Makes the accesses for which `find` returns null, and those that fault.
   * @param reason - Returns the reason of the last fault of `whole`; by default, the result code
   * determines it.
   */
  constructor(whole: GuestAccessors, find: FindRange, reason?: () => FaultReason) {
    this.whole = whole;
    this.#find = find;
    this.#reason = reason;
    this.readAccess = whole;
    this.writeAccess = whole;
    this.located = whole;
  }

  /** Invalidates the cached ranges. @internal */
  clear(): void {
    this.readLength = 0;
    this.writeLength = 0;
    this.#cached.read = null;
    this.#cached.write = null;
    this.readAccess = this.whole;
    this.writeAccess = this.whole;
    this.located = this.whole;
  }

  private reason(): FaultReason | undefined {
    return this.#reason?.();
  }

  /** The value that `JSON.stringify` writes, without the bytes of RAM. */
  toJSON(): { type: "HalvesAccess" } {
    return { type: "HalvesAccess" };
  }

  // #region generated: npm run generate

  tryReadb(gpaLow: number, gpaHigh: number, out: Uint8Array): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (
        offset < this.readLength &&
        this.readAccess.tryReadb((gpaLow + this.readShift) >>> 0, out) === OK
      ) {
        return OK;
      }
    }
    return this.slowReadb(gpaLow, gpaHigh, out);
  }

  tryReadw(gpaLow: number, gpaHigh: number, out: Uint16Array): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (
        offset < this.readLength &&
        this.readAccess.tryReadw((gpaLow + this.readShift) >>> 0, out) === OK
      ) {
        return OK;
      }
    }
    return this.slowReadw(gpaLow, gpaHigh, out);
  }

  tryReadl(gpaLow: number, gpaHigh: number, out: Uint32Array): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (
        offset < this.readLength &&
        this.readAccess.tryReadl((gpaLow + this.readShift) >>> 0, out) === OK
      ) {
        return OK;
      }
    }
    return this.slowReadl(gpaLow, gpaHigh, out);
  }

  tryReadq(gpaLow: number, gpaHigh: number, out: Uint32Array, at: number): GuestMemAccessResult {
    if (gpaHigh === this.readHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.readLow) >>> 0;
      if (
        offset < this.readLength &&
        this.readAccess.tryReadqHalves((gpaLow + this.readShift) >>> 0, out, at) === OK
      ) {
        return OK;
      }
    }
    return this.slowReadq(gpaLow, gpaHigh, out, at);
  }

  tryWriteb(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (
        offset < this.writeLength &&
        this.writeAccess.tryWriteb((gpaLow + this.writeShift) >>> 0, value) === OK
      ) {
        return OK;
      }
    }
    return this.slowWriteb(gpaLow, gpaHigh, value);
  }

  tryWritew(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (
        offset < this.writeLength &&
        this.writeAccess.tryWritew((gpaLow + this.writeShift) >>> 0, value) === OK
      ) {
        return OK;
      }
    }
    return this.slowWritew(gpaLow, gpaHigh, value);
  }

  tryWritel(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (
        offset < this.writeLength &&
        this.writeAccess.tryWritel((gpaLow + this.writeShift) >>> 0, value) === OK
      ) {
        return OK;
      }
    }
    return this.slowWritel(gpaLow, gpaHigh, value);
  }

  tryWriteq(gpaLow: number, gpaHigh: number, low: number, high: number): GuestMemAccessResult {
    if (gpaHigh === this.writeHigh && typeof gpaLow === "number" && gpaLow >>> 0 === gpaLow) {
      const offset = (gpaLow - this.writeLow) >>> 0;
      if (
        offset < this.writeLength &&
        this.writeAccess.tryWriteqHalves((gpaLow + this.writeShift) >>> 0, low, high) === OK
      ) {
        return OK;
      }
    }
    return this.slowWriteq(gpaLow, gpaHigh, low, high);
  }

  readb(gpaLow: number, gpaHigh: number): number {
    const result = this.tryReadb(gpaLow, gpaHigh, byte);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 1, "read", this.reason());
    }
    return byte[0]!;
  }

  readw(gpaLow: number, gpaHigh: number): number {
    const result = this.tryReadw(gpaLow, gpaHigh, word);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 2, "read", this.reason());
    }
    return word[0]!;
  }

  readl(gpaLow: number, gpaHigh: number): number {
    const result = this.tryReadl(gpaLow, gpaHigh, long);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 4, "read", this.reason());
    }
    return long[0]!;
  }

  readq(gpaLow: number, gpaHigh: number, out: Uint32Array, at: number): void {
    const result = this.tryReadq(gpaLow, gpaHigh, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 8, "read", this.reason());
    }
  }

  writeb(gpaLow: number, gpaHigh: number, value: number): void {
    const result = this.tryWriteb(gpaLow, gpaHigh, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 1, "write", this.reason());
    }
  }

  writew(gpaLow: number, gpaHigh: number, value: number): void {
    const result = this.tryWritew(gpaLow, gpaHigh, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 2, "write", this.reason());
    }
  }

  writel(gpaLow: number, gpaHigh: number, value: number): void {
    const result = this.tryWritel(gpaLow, gpaHigh, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 4, "write", this.reason());
    }
  }

  writeq(gpaLow: number, gpaHigh: number, low: number, high: number): void {
    const result = this.tryWriteq(gpaLow, gpaHigh, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpaOf(gpaLow, gpaHigh), 8, "write", this.reason());
    }
  }

  private slowReadb(gpaLow: number, gpaHigh: number, out: Uint8Array): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "read");
    const result = this.located.tryReadb(gpa, out);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryReadb(gpaOf(gpaLow, gpaHigh), out);
  }

  private slowReadw(gpaLow: number, gpaHigh: number, out: Uint16Array): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "read");
    const result = this.located.tryReadw(gpa, out);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryReadw(gpaOf(gpaLow, gpaHigh), out);
  }

  private slowReadl(gpaLow: number, gpaHigh: number, out: Uint32Array): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "read");
    const result = this.located.tryReadl(gpa, out);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryReadl(gpaOf(gpaLow, gpaHigh), out);
  }

  private slowReadq(
    gpaLow: number,
    gpaHigh: number,
    out: Uint32Array,
    at: number,
  ): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "read");
    const result = this.located.tryReadqHalves(gpa, out, at);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryReadqHalves(gpaOf(gpaLow, gpaHigh), out, at);
  }

  private slowWriteb(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "write");
    const result = this.located.tryWriteb(gpa, value);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryWriteb(gpaOf(gpaLow, gpaHigh), value);
  }

  private slowWritew(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "write");
    const result = this.located.tryWritew(gpa, value);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryWritew(gpaOf(gpaLow, gpaHigh), value);
  }

  private slowWritel(gpaLow: number, gpaHigh: number, value: number): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "write");
    const result = this.located.tryWritel(gpa, value);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryWritel(gpaOf(gpaLow, gpaHigh), value);
  }

  private slowWriteq(
    gpaLow: number,
    gpaHigh: number,
    low: number,
    high: number,
  ): GuestMemAccessResult {
    const gpa = this.locate(gpaLow, gpaHigh, "write");
    const result = this.located.tryWriteqHalves(gpa, low, high);
    // The whole repeats an access that faults, because it knows the reason.
    return result === OK || this.located === this.whole
      ? result
      : this.whole.tryWriteqHalves(gpaOf(gpaLow, gpaHigh), low, high);
  }

  // #endregion

  /**
   * Returns the address of an access in `located`, and caches the range around it.
   *
   * @throws TypeError, RangeError if a half is not a number from 0 to 2^32 - 1.
   */
  private locate(gpaLow: number, gpaHigh: number, operation: Operation): Gpa {
    checkGpaHalves(gpaLow, gpaHigh);
    let range = this.#cached[operation];
    if (range === null || range.high !== gpaHigh || !contains(range, gpaLow)) {
      const gpa = gpaOf(gpaLow, gpaHigh);
      const found = this.#find(gpa, gpaLow, operation);
      if (found === null) {
        this.located = this.whole;
        return gpa;
      }
      range = { ...found, high: gpaHigh };
      this.#cache(operation, range);
    }
    this.located = range.access;
    return range.from + (gpaLow - range.low);
  }

  #cache(operation: Operation, range: CachedRange): void {
    this.#cached[operation] = range;
    const { access, from, low, high } = range;
    const length = from + range.length <= 2 ** 32 ? range.length : 0;
    if (operation === "read") {
      this.readAccess = access;
      this.readHigh = high;
      this.readLow = low | 0;
      this.readLength = length;
      this.readShift = (from - low) | 0;
    } else {
      this.writeAccess = access;
      this.writeHigh = high;
      this.writeLow = low | 0;
      this.writeLength = length;
      this.writeShift = (from - low) | 0;
    }
  }
}

/** Whether a range contains a lower half, which is a number from 0 to 2^32 - 1. */
function contains({ low, length }: HalvesRange, gpaLow: number): boolean {
  return gpaLow >= low && gpaLow - low < length;
}

/** The accessors of RAM of `size` bytes with addresses in halves. */
export function halvesOfRam(access: GuestAccessors, size: number): HalvesAccess {
  return new HalvesAccess(access, rangesOfRam(access, size));
}

/** The ranges of RAM of `size` bytes that starts at address 0. */
function rangesOfRam(access: GuestAccessors, size: number): FindRange {
  return (gpa, gpaLow) => {
    if (gpa >= size) {
      return null;
    }
    const from = Number(gpa) - gpaLow;
    return { access, from, low: 0, length: Math.min(size - from, 2 ** 32) };
  };
}
