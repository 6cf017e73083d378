import { endianness } from "node:os";
import type { GuestMemoryAccess } from "./access.js";
import { GuestMemoryFault } from "./errors.js";
import { toAddress, type Gpa } from "./gpa.js";
import { native, type Handle, type NativeAccessors } from "./native.js";
import { GuestMemAccessResult } from "./result.js";
import { BYTE, checkOut, LONG, QUAD, WORD, type Out, type Value, type Width } from "./widths.js";

const { OK, ERROR_INTERNAL } = GuestMemAccessResult;

// `CallBlock` of the addon, in host byte order: gpa (u64), value (u64), result (u32).
const block8 = new Uint8Array(native.callBlock);
const block16 = new Uint16Array(native.callBlock);
const block32 = new Uint32Array(native.callBlock);
const block64 = new BigUint64Array(native.callBlock);
const GPA_LOW = endianness() === "LE" ? 0 : 1;
const GPA_HIGH = 1 - GPA_LOW;
const VALUE8 = 8;
const VALUE16 = 4;
const VALUE32 = 2;
const VALUE64 = 1;
const RESULT32 = 4;

/**
 * The native path: each call crosses N-API and runs the compiled C++ accessor, which makes every
 * check of the guest's access. TypeScript only checks what C++ types would not let through.
 */
export class NativeAccess implements GuestMemoryAccess {
  readonly size: bigint;
  readonly #call: NativeAccessors;
  readonly #lost: (address: number) => boolean;

  /** @param lost - Tells whether the buffer over an address was taken away, as the view path does. */
  constructor(handle: Handle, size: bigint, lost: (address: number) => boolean) {
    this.size = size;
    this.#call = native.guestMemoryAccessors(handle);
    this.#lost = lost;
  }

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    checkOut(BYTE, out);
    const result = this.#run(gpa, this.#call.readb);
    if (result === OK) {
      out[0] = block8[VALUE8]!;
    }
    return result;
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    checkOut(WORD, out);
    const result = this.#run(gpa, this.#call.readw);
    if (result === OK) {
      out[0] = block16[VALUE16]!;
    }
    return result;
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    checkOut(LONG, out);
    const result = this.#run(gpa, this.#call.readl);
    if (result === OK) {
      out[0] = block32[VALUE32]!;
    }
    return result;
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    checkOut(QUAD, out);
    const result = this.#run(gpa, this.#call.readq);
    if (result === OK) {
      out[0] = block64[VALUE64]!;
    }
    return result;
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    block8[VALUE8] = BYTE.checkValue(value);
    return this.#run(gpa, this.#call.writeb);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    block16[VALUE16] = WORD.checkValue(value);
    return this.#run(gpa, this.#call.writew);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    block32[VALUE32] = LONG.checkValue(value);
    return this.#run(gpa, this.#call.writel);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    block64[VALUE64] = QUAD.checkValue(value);
    return this.#run(gpa, this.#call.writeq);
  }

  readb(gpa: Gpa): number {
    this.#check(this.#run(gpa, this.#call.readb), BYTE, gpa, "read");
    return block8[VALUE8]!;
  }

  readw(gpa: Gpa): number {
    this.#check(this.#run(gpa, this.#call.readw), WORD, gpa, "read");
    return block16[VALUE16]!;
  }

  readl(gpa: Gpa): number {
    this.#check(this.#run(gpa, this.#call.readl), LONG, gpa, "read");
    return block32[VALUE32]!;
  }

  readq(gpa: Gpa): bigint {
    this.#check(this.#run(gpa, this.#call.readq), QUAD, gpa, "read");
    return block64[VALUE64]!;
  }

  writeb(gpa: Gpa, value: number): void {
    this.#check(this.tryWriteb(gpa, value), BYTE, gpa, "write");
  }

  writew(gpa: Gpa, value: number): void {
    this.#check(this.tryWritew(gpa, value), WORD, gpa, "write");
  }

  writel(gpa: Gpa, value: number): void {
    this.#check(this.tryWritel(gpa, value), LONG, gpa, "write");
  }

  writeq(gpa: Gpa, value: bigint): void {
    this.#check(this.tryWriteq(gpa, value), QUAD, gpa, "write");
  }

  /** Puts the address into the call block, exactly, and runs one compiled accessor. */
  #run(gpa: Gpa, accessor: () => void): GuestMemAccessResult {
    const address = toAddress(gpa);
    if (this.#lost(address)) {
      return ERROR_INTERNAL;
    }
    if (typeof gpa === "number") {
      block32[GPA_LOW] = gpa;
      block32[GPA_HIGH] = gpa / 2 ** 32;
    } else {
      block64[0] = gpa;
    }
    accessor();
    return block32[RESULT32] as GuestMemAccessResult;
  }

  #check<T extends Value, A extends Out>(
    result: GuestMemAccessResult,
    width: Width<T, A>,
    gpa: Gpa,
    operation: "read" | "write",
  ): void {
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, width.bytes, operation);
    }
  }
}
