import {
  type AccessPolicy,
  type Gpa,
  GuestMemAccessResult,
  type GuestMemoryAccess,
} from "pound-guest-memory";
import { halvesIn } from "./halves.js";

type Out = Uint8Array | Uint16Array | Uint32Array | BigUint64Array;

/**
 * A slow and simple guest RAM that works byte by byte: a reference that shares no code with lib.
 */
export class ByteMemory implements GuestMemoryAccess {
  readonly bytes: Uint8Array;
  readonly #unaligned: boolean;
  readonly #big: boolean;

  constructor(size: number, { alignment, endian }: AccessPolicy = {}) {
    this.bytes = new Uint8Array(size);
    this.#unaligned = alignment === "allow";
    this.#big = endian === "big";
  }

  get size(): bigint {
    return BigInt(this.bytes.length);
  }

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    return this.#tryRead(gpa, 1, out);
  }
  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    return this.#tryRead(gpa, 2, out);
  }
  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    return this.#tryRead(gpa, 4, out);
  }
  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    return this.#tryRead(gpa, 8, out);
  }
  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(gpa, 1, BigInt(value));
  }
  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(gpa, 2, BigInt(value));
  }
  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    return this.#tryWrite(gpa, 4, BigInt(value));
  }
  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    return this.#tryWrite(gpa, 8, value);
  }
  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    return this.tryWriteq(gpa, source[0]!);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    const value = new BigUint64Array(1);
    const result = this.tryReadq(gpa, value);
    if (result === GuestMemAccessResult.OK) {
      out.set(halvesIn(value), at);
    }
    return result;
  }
  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    return this.tryWriteq(gpa, (BigInt(high) << 32n) | BigInt(low));
  }

  readb = unused;
  readw = unused;
  readl = unused;
  readq = unused;
  writeb = unused;
  writew = unused;
  writel = unused;
  writeq = unused;
  readqHalves = unused;
  writeqHalves = unused;

  #tryRead(gpa: Gpa, width: number, out: Out): GuestMemAccessResult {
    const result = this.#check(BigInt(gpa), BigInt(width));
    if (result === GuestMemAccessResult.OK) {
      let value = 0n;
      for (let i = width - 1; i >= 0; i--) {
        value = (value << 8n) | BigInt(this.bytes[this.#place(gpa, width, i)]!);
      }
      out[0] = out instanceof BigUint64Array ? value : Number(value);
    }
    return result;
  }

  #tryWrite(gpa: Gpa, width: number, value: bigint): GuestMemAccessResult {
    const result = this.#check(BigInt(gpa), BigInt(width));
    if (result === GuestMemAccessResult.OK) {
      for (let i = 0; i < width; i++) {
        this.bytes[this.#place(gpa, width, i)] = Number((value >> BigInt(8 * i)) & 0xffn);
      }
    }
    return result;
  }

  /** The address of byte `i` of a value, counted from the least significant one. */
  #place(gpa: Gpa, width: number, i: number): number {
    return Number(gpa) + (this.#big ? width - 1 - i : i);
  }

  #check(gpa: bigint, width: bigint): GuestMemAccessResult {
    if (gpa + width > this.size) {
      return GuestMemAccessResult.FAULT_BOUNDARY;
    }
    return this.#unaligned || gpa % width === 0n
      ? GuestMemAccessResult.OK
      : GuestMemAccessResult.FAULT_UNALIGNED;
  }
}

function unused(): never {
  throw new Error("a replay uses the try forms alone");
}
