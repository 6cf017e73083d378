import { rangeError } from "../base/errors.js";
import type { GdbArchitecture, GdbRegister } from "../debug/description.js";

/** The names of x0 to x31 in gdb's feature for RISC-V. */
const RISCV_REGISTERS =
  "zero ra sp gp tp t0 t1 t2 fp s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6";

/** Options of {@link riscvArchitecture}. */
export interface RiscvOptions {
  /** Bits of a register; 64 by default. */
  readonly xlen?: 32 | 64;
  /** The names of the control and status registers to show, such as `["mstatus", "mepc"]`. */
  readonly csrs?: readonly string[];
}

/**
 * The registers of RISC-V: 0 to 31 are `x0` to `x31`, 32 is `pc`, and the control and status
 * registers follow in the order of `csrs`.
 *
 * @throws RangeError if `xlen` is neither 32 nor 64.
 */
export function riscvArchitecture({ xlen = 64, csrs = [] }: RiscvOptions = {}): GdbArchitecture {
  if (xlen !== 32 && xlen !== 64) {
    throw rangeError("xlen must be 32 or 64");
  }
  const general = RISCV_REGISTERS.split(" ").map((name): GdbRegister => {
    const isPointer = name === "sp" || name === "gp" || name === "tp" || name === "fp";
    return { name, bits: xlen, type: name === "ra" ? "code_ptr" : isPointer ? "data_ptr" : "int" };
  });
  const cpu = {
    name: "org.gnu.gdb.riscv.cpu",
    registers: [...general, { name: "pc", bits: xlen, type: "code_ptr" }],
  };
  const control = {
    name: "org.gnu.gdb.riscv.csr",
    registers: csrs.map((name) => ({ name, bits: xlen, group: "system" })),
  };
  return {
    name: `riscv:rv${xlen}`,
    features: csrs.length === 0 ? [cpu] : [cpu, control],
    pc: "pc",
  };
}

/** The registers of AArch64: 0 to 30 are `x0` to `x30`, then `sp`, `pc` and `cpsr`. */
export function aarch64Architecture(): GdbArchitecture {
  const general = Array.from({ length: 31 }, (_, i): GdbRegister => ({ name: `x${i}`, bits: 64 }));
  return {
    name: "aarch64",
    features: [
      {
        name: "org.gnu.gdb.aarch64.core",
        registers: [
          ...general,
          { name: "sp", bits: 64, type: "data_ptr" },
          { name: "pc", bits: 64, type: "code_ptr" },
          { name: "cpsr", bits: 32 },
        ],
      },
    ],
    pc: "pc",
  };
}
