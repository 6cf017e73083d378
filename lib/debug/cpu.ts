import type { Gpa } from "../base/gpa.js";

/** A result of {@link GdbCpu.run} that stops the machine. */
export type GdbStop =
  /** The guest has ended, with an exit status from 0 to 255. */
  | { readonly exited: number }
  /** The CPU cannot continue. The debugger shows the signal: 4 is SIGILL, 11 is SIGSEGV. */
  | { readonly signal: number };

/** A page or superpage in guest physical memory, as `mmu.probe` returns it. */
export interface GdbTranslation {
  /** Guest physical address of its first byte: a multiple of `size`. */
  readonly gpa: Gpa;
  /** Its bytes: a power of two from 256 to 2^52. */
  readonly size: number;
}

/**
 * A CPU of the machine. Its methods may return promises, for instance if it runs in a worker: then
 * it runs at the same time as the other CPUs. Watchpoints see accesses in this thread only.
 */
export interface GdbCpu {
  /** The name that gdb lists for the thread; by default `cpu` and its index. */
  readonly name?: string;
  /**
   * Reads a register.
   *
   * @param number - The number of the register in {@link GdbArchitecture.features}, from 0.
   * @returns The value. Bits above those of the register are ignored.
   */
  readRegister(number: number): bigint | Promise<bigint>;
  /**
   * Writes a register.
   *
   * @param value - From 0 to 2^bits - 1.
   */
  writeRegister(number: number, value: bigint): void | Promise<void>;
  /**
   * Executes up to `limit` instructions. It returns before an instruction at one of `breakpoints`,
   * unless that is the first one.
   *
   * A watchpoint stops the machine by an error that the access throws: `run` must let it pass, with
   * the registers as they were before the instruction. While there are watchpoints, `limit` is 1.
   * Any other error that `run` throws is shown to the user of gdb, and stops the machine.
   */
  run(
    limit: number,
    breakpoints: ReadonlySet<bigint>,
  ): GdbStop | undefined | Promise<GdbStop | undefined>;
  /**
   * Finds the page that contains a virtual address, without an effect on the guest: usually
   * `(va) => mmu.probe(va)`. Without this method, the addresses of the debugger are physical.
   *
   * While there are watchpoints, it is called before each instruction.
   *
   * @param va - From 0 to 2^64 - 1.
   * @returns Null if the CPU's page tables do not map the address. If translation is off, the page
   * at the same physical address.
   */
  translate?(va: bigint): GdbTranslation | null | Promise<GdbTranslation | null>;
}
