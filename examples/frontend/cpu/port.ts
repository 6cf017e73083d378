import type { GuestAccessors, GuestMemAccessResult } from "pound-guest-memory";

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

/**
 * The loads and stores of a hart, at 64-bit addresses that are passed as halves.
 *
 * Nothing here allocates: a load leaves its value in the array of its width. The low half is passed
 * as a signed 32-bit integer, which V8 keeps in a register, whereas it might box a larger number.
 */
export class Port {
  readonly byte = new Uint8Array(1);
  readonly word = new Uint16Array(1);
  readonly long = new Uint32Array(1);
  private readonly quad = new BigUint64Array(1);
  /** The halves of the 64-bit value. */
  readonly halves = new Int32Array(this.quad.buffer);

  /** @param memory - Either path's accessors: the two have the same methods. */
  constructor(private readonly memory: HartMemory) {}

  loadb(low: number, high: number): GuestMemAccessResult {
    return high === 0
      ? this.memory.tryReadb(low >>> 0, this.byte)
      : this.memory.tryReadb(address(low, high), this.byte);
  }

  loadw(low: number, high: number): GuestMemAccessResult {
    return high === 0
      ? this.memory.tryReadw(low >>> 0, this.word)
      : this.memory.tryReadw(address(low, high), this.word);
  }

  loadl(low: number, high: number): GuestMemAccessResult {
    return high === 0
      ? this.memory.tryReadl(low >>> 0, this.long)
      : this.memory.tryReadl(address(low, high), this.long);
  }

  loadq(low: number, high: number): GuestMemAccessResult {
    return high === 0
      ? this.memory.tryReadq(low >>> 0, this.quad)
      : this.memory.tryReadq(address(low, high), this.quad);
  }

  storeb(low: number, high: number, value: number): GuestMemAccessResult {
    return high === 0
      ? this.memory.tryWriteb(low >>> 0, value & 0xff)
      : this.memory.tryWriteb(address(low, high), value & 0xff);
  }

  storew(low: number, high: number, value: number): GuestMemAccessResult {
    return high === 0
      ? this.memory.tryWritew(low >>> 0, value & 0xffff)
      : this.memory.tryWritew(address(low, high), value & 0xffff);
  }

  storel(low: number, high: number, value: number): GuestMemAccessResult {
    return high === 0
      ? this.memory.tryWritel(low >>> 0, value >>> 0)
      : this.memory.tryWritel(address(low, high), value >>> 0);
  }

  storeq(low: number, high: number, valueLow: number, valueHigh: number): GuestMemAccessResult {
    this.halves[0] = valueLow;
    this.halves[1] = valueHigh;
    return high === 0
      ? this.memory.tryWriteqFrom(low >>> 0, this.quad)
      : this.memory.tryWriteqFrom(address(low, high), this.quad);
  }
}

/** A 64-bit address. It is a bigint above 4 GiB, since such addresses are rare. */
export function address(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}
