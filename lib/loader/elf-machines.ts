/** The name of an instruction set. */
export type ElfMachine =
  | "sparc"
  | "x86"
  | "m68k"
  | "mips"
  | "parisc"
  | "ppc"
  | "ppc64"
  | "s390"
  | "arm"
  | "sh"
  | "sparcv9"
  | "ia64"
  | "x86-64"
  | "avr"
  | "openrisc"
  | "xtensa"
  | "msp430"
  | "nios2"
  | "aarch64"
  | "microblaze"
  | "arc"
  | "riscv"
  | "csky"
  | "loongarch"
  | "alpha";

/** The instruction sets that have a name here, by `e_machine`. */
const NAMES: Readonly<Record<number, ElfMachine>> = {
  2: "sparc",
  3: "x86",
  4: "m68k",
  8: "mips",
  15: "parisc",
  20: "ppc",
  21: "ppc64",
  22: "s390",
  40: "arm",
  42: "sh",
  43: "sparcv9",
  50: "ia64",
  62: "x86-64",
  83: "avr",
  92: "openrisc",
  94: "xtensa",
  105: "msp430",
  113: "nios2",
  183: "aarch64",
  189: "microblaze",
  195: "arc",
  243: "riscv",
  252: "csky",
  258: "loongarch",
  0x9026: "alpha",
};

/** Every {@link ElfMachine}. */
export const ELF_MACHINES: readonly ElfMachine[] = Object.values(NAMES);

/** The name of an `e_machine`; the number itself if it has none. */
export function machineOf(number: number): ElfMachine | number {
  return NAMES[number] ?? number;
}
