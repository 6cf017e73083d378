/** The names of the registers in assembly. */
const NAMES =
  "zero ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6".split(
    " ",
  );

// Mnemonics by funct3, and for register-register instructions by funct7 too.
const BRANCHES = ["beq", "bne", "", "", "blt", "bge", "bltu", "bgeu"];
const LOADS = ["lb", "lh", "lw", "ld", "lbu", "lhu", "lwu", ""];
const STORES = ["sb", "sh", "sw", "sd", "", "", "", ""];
const IMMEDIATE = ["addi", "slli", "slti", "sltiu", "xori", "srli", "ori", "andi"];
const REGISTER: Readonly<Record<number, readonly string[]>> = {
  0x00: ["add", "sll", "slt", "sltu", "xor", "srl", "or", "and"],
  0x01: ["mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"],
  0x20: ["sub", "", "", "", "", "sra", "", ""],
};
const CSR = ["", "csrrw", "csrrs", "csrrc", "", "csrrwi", "csrrsi", "csrrci"];
const SYSTEM: Readonly<Record<number, string>> = {
  0x0000_0073: "ecall",
  0x0010_0073: "ebreak",
  0x1020_0073: "sret",
  0x1050_0073: "wfi",
  0x3020_0073: "mret",
};

/** The bits of a word from `low` on, unsigned. */
function bits(word: number, low: number, count: number): number {
  return (word >>> low) & ((1 << count) - 1);
}

function targetOfBranch(word: number): number {
  const high = ((word >> 31) << 12) | (bits(word, 7, 1) << 11);
  return high | (bits(word, 25, 6) << 5) | (bits(word, 8, 4) << 1);
}

function targetOfJump(word: number): number {
  const high = ((word >> 31) << 20) | (bits(word, 12, 8) << 12);
  return high | (bits(word, 20, 1) << 11) | (bits(word, 21, 10) << 1);
}

/**
 * The assembly of an instruction of RV64IM; `.word` and the number for any other one.
 *
 * @param word - The 32 bits of the instruction, signed.
 * @param address - Its address, from which branches are relative.
 */
export function disassemble(word: number, address: bigint): string {
  const [rd, rs1, rs2] = [bits(word, 7, 5), bits(word, 15, 5), bits(word, 20, 5)].map(
    (number) => NAMES[number]!,
  );
  const funct3 = bits(word, 12, 3);
  const funct7 = bits(word, 25, 7);
  const immediate = word >> 20;
  const at = (offset: number) => `0x${BigInt.asUintN(64, address + BigInt(offset)).toString(16)}`;
  const line = (name: string | undefined, ...operands: (string | number | undefined)[]) =>
    name ? `${name} ${operands.join(", ")}` : `.word 0x${(word >>> 0).toString(16)}`;
  switch (word & 0x7f) {
    case 0x37:
      return line("lui", rd, `0x${(word >>> 12).toString(16)}`);
    case 0x17:
      return line("auipc", rd, `0x${(word >>> 12).toString(16)}`);
    case 0x6f:
      return line("jal", rd, at(targetOfJump(word)));
    case 0x67:
      return line(funct3 === 0 ? "jalr" : "", rd, `${immediate}(${rs1!})`);
    case 0x63:
      return line(BRANCHES[funct3], rs1, rs2, at(targetOfBranch(word)));
    case 0x03:
      return line(LOADS[funct3], rd, `${immediate}(${rs1!})`);
    case 0x23:
      return line(STORES[funct3], rs2, `${((word >> 25) << 5) | bits(word, 7, 5)}(${rs1!})`);
    case 0x13:
    case 0x1b: {
      const isShift = funct3 === 1 || funct3 === 5;
      const arithmetic = funct3 === 5 && (word & 0x4000_0000) !== 0;
      const name = arithmetic ? "srai" : IMMEDIATE[funct3]!;
      const suffix = (word & 0x7f) === 0x1b ? "w" : "";
      return line(
        name + suffix,
        rd,
        rs1,
        isShift ? `0x${(immediate & 63).toString(16)}` : immediate,
      );
    }
    case 0x33:
    case 0x3b: {
      const name = REGISTER[funct7]?.[funct3];
      const suffix = (word & 0x7f) === 0x3b ? "w" : "";
      return line(name && name + suffix, rd, rs1, rs2);
    }
    case 0x0f:
      return funct3 === 0 ? "fence" : "fence.i";
    case 0x73: {
      const csr = `0x${(word >>> 20).toString(16)}`;
      const operand = funct3 > 4 ? bits(word, 15, 5) : rs1;
      return funct3 === 0 && word in SYSTEM ? SYSTEM[word]! : line(CSR[funct3], rd, csr, operand);
    }
    default:
      return line("");
  }
}
