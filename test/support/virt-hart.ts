import type { Mode } from "../../examples/frontend/cpu/mode.js";
import { VirtMachine } from "../../examples/frontend/virt.js";

export const RAM = 0x8000_0000;
export const HANDLER = 0x8000_1000;
export const MIB = 2 ** 20;
export const NOP = 0x0000_0013;
export const T0 = 5;
export const T1 = 6;
export const T2 = 7;

// Control registers.
export const SSTATUS = 0x100;
export const STVEC = 0x105;
export const SEPC = 0x141;
export const SCAUSE = 0x142;
export const STVAL = 0x143;
export const SIP = 0x144;
export const SATP = 0x180;
export const MSTATUS = 0x300;
export const MISA = 0x301;
export const MEDELEG = 0x302;
export const MIDELEG = 0x303;
export const MIE = 0x304;
export const MTVEC = 0x305;
export const MEPC = 0x341;
export const MCAUSE = 0x342;
export const MTVAL = 0x343;
export const MIP = 0x344;
export const PMPCFG0 = 0x3a0;
export const PMPADDR0 = 0x3b0;
export const TIME = 0xc01;

export const MPP_SUPERVISOR = 1n << 11n;
export const MPRV = 1n << 17n;

export const MRET = 0x3020_0073;
export const SRET = 0x1020_0073;
export const ECALL = 0x0000_0073;
export const csrr = (rd: number, csr: number) => ((csr << 20) | 0x2073 | (rd << 7)) >>> 0;
/** An operation of RV64A: `rd = op(t1 + 0, rs2)`. */
export const amo = (funct5: number, width: 2 | 3, rd: number, rs2: number) =>
  ((funct5 << 27) | (rs2 << 20) | (T1 << 15) | (width << 12) | (rd << 7) | 0x2f) >>> 0;

export const PATHS = ["view", "native"] as const;

/** A machine with instructions at the start of RAM, at the first of them. */
export function machine(
  path: "view" | "native",
  instructions: readonly number[],
  registers: Readonly<Record<number, bigint>> = {},
): VirtMachine {
  const firmware = Buffer.alloc(4 * instructions.length);
  instructions.forEach((instruction, i) => firmware.writeUInt32LE(instruction, 4 * i));
  const made = new VirtMachine({ path, ramSize: 8 * MIB, firmware });
  const { cpu } = made;
  cpu.pc = BigInt(RAM);
  for (const [register, value] of Object.entries(registers)) {
    cpu.x[2 * Number(register)] = Number(BigInt.asIntN(32, value));
    cpu.x[2 * Number(register) + 1] = Number(BigInt.asIntN(32, value >> 32n));
  }
  cpu.csrs.write(MTVEC, BigInt(HANDLER));
  return made;
}

/** Enters a mode by `mret`, with all memory allowed, and executes instructions there. */
export function below(
  path: "view" | "native",
  mode: Mode,
  instructions: readonly number[],
  registers: Readonly<Record<number, bigint>> = {},
): VirtMachine {
  const made = machine(path, [MRET, ...instructions], registers);
  const { csrs } = made.cpu;
  csrs.write(PMPADDR0, 2n ** 54n - 1n);
  csrs.write(PMPCFG0, 0x1fn);
  csrs.write(MEPC, BigInt(RAM + 4));
  csrs.write(MSTATUS, BigInt(mode) << 11n);
  made.cpu.run(1 + instructions.length);
  return made;
}
