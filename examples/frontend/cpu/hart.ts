import type { InterruptedHart } from "../devices/clint.js";

/** The range of RAM, below 4 GiB, whose instructions a hart keeps decoded. */
export interface CodeRange {
  readonly base: number;
  readonly size: number;
}

/** A hart as its machine uses it. */
export interface Hart extends InterruptedHart {
  pc: bigint;
  /**
   * Executes up to `limit` instructions, or until {@link Hart.stop} is called.
   *
   * @returns Whether the hart has not been stopped.
   * @throws Error for a memory error that is not a guest fault.
   */
  run(limit: number): boolean;
  /** Ends {@link Hart.run} after the current instruction, and every later run at once. */
  stop(): void;
  /** The value of a register, from 0 to 2^64 - 1. */
  register(number: number): bigint;
  /** A 32-bit hash of the pc and all registers. */
  hash(): number;
}

/**
 * The hash of a hart.
 *
 * @param x - The registers, each as its low and its high half.
 * @param others - The pc and the control registers.
 */
export function hashRegisters(x: Int32Array, others: readonly bigint[]): number {
  let hash = 0;
  const add = (value: number) => (hash = Math.imul(hash ^ value, 0x9e3779b1) ^ (hash >>> 15));
  for (let i = 0; i < 64; i++) {
    add(x[i]!);
  }
  for (const value of others) {
    add(Number(BigInt.asIntN(32, value)));
    add(Number(BigInt.asIntN(32, value >> 32n)));
  }
  return hash >>> 0;
}
