import type { Gpa } from "../base/gpa.js";
import { MAX_U64 } from "../base/gpa.js";
import { rangeError, typeError } from "../base/errors.js";
import { OK } from "../base/result.js";
import type { AddressSpace } from "../space/address-space.js";

/** What came of an attempt to change an entry of a page table. */
export type Update = "made" | "refused" | "lost";

/** Reads and changes the 64-bit entries of the guest's page tables. */
export class PageTableEntries {
  /** The halves of the entry that `read` has read last. */
  readonly halves = new Uint32Array(2);
  readonly #before = new BigUint64Array(1);

  constructor(private readonly space: AddressSpace) {}

  /**
   * Reads an entry to `halves`.
   *
   * @param isProbe - Whether the read must have no effect on devices, watchpoints and traces.
   * @returns False if the entry cannot be accessed.
   */
  read(at: Gpa, isProbe: boolean): boolean {
    return isProbe ? this.#peek(at) : this.space.tryReadqHalves(at, this.halves, 0) === OK;
  }

  #peek(at: Gpa): boolean {
    const entry = new DataView(new ArrayBuffer(8));
    if (this.space.peek(at, entry).length !== 0) {
      return false;
    }
    const value = entry.getBigUint64(0, this.space.policy.endian !== "big");
    this.halves[0] = Number(BigInt.asUintN(32, value));
    this.halves[1] = Number(value >> 32n);
    return true;
  }

  /**
   * Changes an entry by compare-and-exchange.
   *
   * @returns `"lost"` if another thread has changed the entry since it was read.
   */
  update(at: Gpa, before: bigint, after: bigint): Update {
    const { atomics } = this.space;
    if (atomics.tryCompareExchangeq(at, before, after, this.#before) !== OK) {
      return "refused";
    }
    return this.#before[0] === before ? "made" : "lost";
  }
}

/** The 64-bit value of two halves. */
export function quad(low: number, high: number): bigint {
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0);
}

/** @throws TypeError, RangeError if the value of a register is not from 0n to 2^64 - 1. */
export function checkRegister(value: bigint, name: string): bigint {
  if (typeof value !== "bigint") {
    throw typeError(`${name} must be a bigint`);
  }
  if (value < 0n || value > MAX_U64) {
    throw rangeError(`${name} must be from 0 to 2^64 - 1`);
  }
  return value;
}
