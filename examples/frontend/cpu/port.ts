import { GuestMemAccessResult, type GuestAccessors } from "pound-guest-memory";
import type { AddressRules } from "./address-rules.js";
import { Mode } from "./mode.js";
import { AccessKind } from "./translation.js";

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

const LAST_32 = 0xffff_ffff;
const SIGN = 0x8000_0000 | 0;
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
  private readonly quad = new BigUint64Array(1);
  /** The halves of the 64-bit value. */
  readonly halves = new Int32Array(this.quad.buffer);

  /** The mode of loads and stores. */
  private mode = Mode.MACHINE;
  // The first address of each window and its bytes, which are compared as unsigned integers. V8
  // keeps signed ones without a box, and so the sizes have another sign.
  private readBase = 0;
  private readSize = LAST_32 ^ SIGN;
  private writeBase = 0;
  private writeSize = LAST_32 ^ SIGN;

  /**
   * @param memory - Either path's accessors: the two have the same methods.
   * @param rules - null if every address is physical and allowed.
   */
  constructor(
    private readonly memory: HartMemory,
    private readonly rules: AddressRules | null,
  ) {
    this.changeRules(Mode.MACHINE);
  }

  /** Takes a change of the rules, or of the mode with whose rights loads and stores are made. */
  changeRules(mode: Mode): void {
    this.mode = mode;
    if (this.rules !== null) {
      this.readSize = EMPTY;
      this.writeSize = EMPTY;
    }
  }

  loadb(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadb(low >>> 0, this.byte);
    }
    const gpa = this.resolve(low, high, 1, AccessKind.READ);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryReadb(gpa, this.byte);
  }

  loadw(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadw(low >>> 0, this.word);
    }
    const gpa = this.resolve(low, high, 2, AccessKind.READ);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryReadw(gpa, this.word);
  }

  loadl(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadl(low >>> 0, this.long);
    }
    const gpa = this.resolve(low, high, 4, AccessKind.READ);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryReadl(gpa, this.long);
  }

  loadq(low: number, high: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.readBase) ^ SIGN) < this.readSize) {
      return this.memory.tryReadq(low >>> 0, this.quad);
    }
    const gpa = this.resolve(low, high, 8, AccessKind.READ);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryReadq(gpa, this.quad);
  }

  storeb(low: number, high: number, value: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWriteb(low >>> 0, value & 0xff);
    }
    const gpa = this.resolve(low, high, 1, AccessKind.WRITE);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryWriteb(gpa, value & 0xff);
  }

  storew(low: number, high: number, value: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWritew(low >>> 0, value & 0xffff);
    }
    const gpa = this.resolve(low, high, 2, AccessKind.WRITE);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryWritew(gpa, value & 0xffff);
  }

  storel(low: number, high: number, value: number): GuestMemAccessResult {
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWritel(low >>> 0, value >>> 0);
    }
    const gpa = this.resolve(low, high, 4, AccessKind.WRITE);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryWritel(gpa, value >>> 0);
  }

  storeq(low: number, high: number, valueLow: number, valueHigh: number): GuestMemAccessResult {
    this.halves[0] = valueLow;
    this.halves[1] = valueHigh;
    if (high === 0 && ((low - this.writeBase) ^ SIGN) < this.writeSize) {
      return this.memory.tryWriteqFrom(low >>> 0, this.quad);
    }
    const gpa = this.resolve(low, high, 8, AccessKind.WRITE);
    return gpa === null ? FAULT_BOUNDARY : this.memory.tryWriteqFrom(gpa, this.quad);
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
