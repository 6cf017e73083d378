import { GuestMemAccessResult, type GuestAccessors } from "pound-guest-memory";
import { AccessKind } from "./access-kind.js";
import type { AddressRules } from "./address-rules.js";
import { Mode } from "./mode.js";

const { FAULT_BOUNDARY } = GuestMemAccessResult;

/** The accessors that a hart uses: either path's, or a wrapper's. */
export type HartMemory = Pick<
  GuestAccessors,
  | "tryReadb"
  | "tryReadw"
  | "tryReadl"
  | "tryReadq"
  | "tryWriteb"
  | "tryWritew"
  | "tryWritel"
  | "tryWriteqFrom"
>;

const BITS_32 = 2 ** 32;
/** The high halves from minus this to this less one are those of addresses that are numbers. */
export const NUMBER_HIGH = 2 ** 20;
const LAST_32 = 0xffff_ffff;
export const SIGN = 0x8000_0000 | 0;
const EMPTY = 0 ^ SIGN;
/** Bytes of the widest access, less one. */
const MARGIN = 7n;

/**
 * The loads and stores of a hart, at 64-bit addresses that are passed as halves.
 *
 * Nothing here allocates for the usual access: a load leaves its value in the array of its width.
 * The low half is passed as a signed 32-bit integer, which V8 keeps in a register, whereas it might
 * box a larger number.
 *
 * Addresses in a window need no translation and no check of rights. A window is the range around
 * the last access of its kind; without rules, it is all addresses below 4 GiB but the last.
 */
export class Port {
  readonly byte = new Uint8Array(1);
  readonly word = new Uint16Array(1);
  readonly long = new Uint32Array(1);
  readonly quad = new BigUint64Array(1);
  /** The halves of the 64-bit value. */
  readonly halves = new Int32Array(this.quad.buffer);

  /** The mode of loads and stores. */
  private mode = Mode.MACHINE;
  /** The accessors for the addresses of this mode; null if they are physical. */
  translated: HartMemory | null = null;
  // The first address of each window and its bytes, which are compared as unsigned integers. V8
  // keeps signed ones without a box, and so the sizes have another sign.
  readBase = 0;
  readSize = LAST_32 ^ SIGN;
  writeBase = 0;
  writeSize = LAST_32 ^ SIGN;

  /**
   * @param memory - Either path's accessors: the two have the same methods.
   * @param rules - null if every address is physical and allowed.
   * @param virtual - The same accessors of the MMU of `rules`.
   */
  constructor(
    private readonly memory: HartMemory,
    private readonly rules: AddressRules | null,
    readonly virtual: HartMemory | null,
  ) {
    this.changeMode(Mode.MACHINE);
  }

  /** Takes a change of the rules, or of the mode with whose rights loads and stores are made. */
  changeMode(mode: Mode): void {
    this.mode = mode;
    if (this.rules !== null) {
      this.readSize = EMPTY;
      this.writeSize = EMPTY;
      this.translated = this.rules.translates(mode) ? this.virtual : null;
    }
  }

  loadb(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadb(low >>> 0, this.byte);
    }
    return this.loadOutside(1, low, high);
  }

  loadw(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadw(low >>> 0, this.word);
    }
    return this.loadOutside(2, low, high);
  }

  loadl(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadl(low >>> 0, this.long);
    }
    return this.loadOutside(4, low, high);
  }

  loadq(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadq(low >>> 0, this.quad);
    }
    return this.loadOutside(8, low, high);
  }

  storeb(low: number, high: number, value: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWriteb(low >>> 0, value & 0xff);
    }
    return this.storeOutside(1, low, high, value);
  }

  storew(low: number, high: number, value: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWritew(low >>> 0, value & 0xffff);
    }
    return this.storeOutside(2, low, high, value);
  }

  storel(low: number, high: number, value: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWritel(low >>> 0, value >>> 0);
    }
    return this.storeOutside(4, low, high, value);
  }

  storeq(low: number, high: number, valueLow: number, valueHigh: number): GuestMemAccessResult {
    this.halves[0] = valueLow;
    this.halves[1] = valueHigh;
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWriteqFrom(low >>> 0, this.quad);
    }
    return this.storeOutside(8, low, high, 0);
  }

  /** A load outside the window. */
  loadOutside(width: number, low: number, high: number): GuestMemAccessResult {
    const memory = this.translated ?? this.memory;
    const at =
      this.translated === null
        ? this.resolve(low, high, width, AccessKind.READ)
        : virtual(low, high);
    if (at === null) {
      return FAULT_BOUNDARY;
    }
    switch (width) {
      case 1:
        return memory.tryReadb(at, this.byte);
      case 2:
        return memory.tryReadw(at, this.word);
      case 4:
        return memory.tryReadl(at, this.long);
      default:
        return memory.tryReadq(at, this.quad);
    }
  }

  /** A store outside the window. One of 8 bytes has its value in {@link Port.halves}. */
  storeOutside(width: number, low: number, high: number, value: number): GuestMemAccessResult {
    const memory = this.translated ?? this.memory;
    const at =
      this.translated === null
        ? this.resolve(low, high, width, AccessKind.WRITE)
        : virtual(low, high);
    if (at === null) {
      return FAULT_BOUNDARY;
    }
    switch (width) {
      case 1:
        return memory.tryWriteb(at, value & 0xff);
      case 2:
        return memory.tryWritew(at, value & 0xffff);
      case 4:
        return memory.tryWritel(at, value >>> 0);
      default:
        return memory.tryWriteqFrom(at, this.quad);
    }
  }

  /** Reads 16 bits of code at a physical address into {@link Port.word}. */
  fetchw(gpa: number | bigint): GuestMemAccessResult {
    return this.memory.tryReadw(gpa, this.word);
  }

  /** Reads 32 bits of code at a physical address into {@link Port.long}. */
  fetchl(gpa: number | bigint): GuestMemAccessResult {
    return this.memory.tryReadl(gpa, this.long);
  }

  /** The physical address of a load or store, after a look at the rules; null if it faults. */
  resolve(low: number, high: number, width: number, kind: AccessKind): number | bigint | null {
    const va = address(low, high);
    if (this.rules === null) {
      return va;
    }
    const gpa = this.rules.resolve(va, width, kind, this.mode);
    if (gpa !== null && this.rules.window !== null) {
      this.open(kind, this.rules.window.start, this.rules.window.end);
    }
    // Accessors are fastest for numbers.
    return gpa !== null && gpa <= LAST_32 ? Number(gpa) : gpa;
  }

  /** Sets the window of a kind, so far as it is below 4 GiB. */
  private open(kind: AccessKind, start: bigint, end: bigint): void {
    // The widest access to the last address of the window is still in the range.
    const inRange = end - MARGIN;
    const after = inRange < LAST_32 ? inRange : BigInt(LAST_32);
    if (after <= start) {
      return;
    }
    const [base, size] = [Number(start) | 0, Number(after - start) ^ SIGN];
    if (kind === AccessKind.READ) {
      this.readBase = base;
      this.readSize = size;
    } else {
      this.writeBase = base;
      this.writeSize = size;
    }
  }
}

/** A 64-bit address. It is a bigint above 4 GiB, since such addresses are rare. */
export function address(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** A 64-bit address as the MMU takes it: a signed number, or a bigint if no number is exact. */
function virtual(low: number, high: number): number | bigint {
  return high >= -NUMBER_HIGH && high < NUMBER_HIGH
    ? high * BITS_32 + (low >>> 0)
    : address(low, high);
}
