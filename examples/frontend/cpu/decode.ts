import { isAtomic } from "./atomic-unit.js";

/** The operation of an instruction. 0 is not used, since it marks a word that is not decoded. */
export const enum Op {
  ILLEGAL = 1,
  LUI,
  AUIPC,
  JAL,
  JALR,
  BEQ,
  BNE,
  BLT,
  BGE,
  BLTU,
  BGEU,
  LB,
  LH,
  LW,
  LD,
  LBU,
  LHU,
  LWU,
  SB,
  SH,
  SW,
  SD,
  ADDI,
  SLTI,
  SLTIU,
  XORI,
  ORI,
  ANDI,
  SLLI,
  SRLI,
  SRAI,
  ADD,
  SUB,
  SLL,
  SLT,
  SLTU,
  XOR,
  SRL,
  SRA,
  OR,
  AND,
  ADDIW,
  SLLIW,
  SRLIW,
  SRAIW,
  ADDW,
  SUBW,
  SLLW,
  SRLW,
  SRAW,
  MUL,
  MULH,
  MULHSU,
  MULHU,
  DIV,
  DIVU,
  REM,
  REMU,
  MULW,
  DIVW,
  DIVUW,
  REMW,
  REMUW,
  FENCE,
  FENCE_I,
  ECALL,
  EBREAK,
  MRET,
  SRET,
  SFENCE_VMA,
  WFI,
  /** Any operation of RV64A. */
  ATOMIC,
  CSRRW,
  CSRRS,
  CSRRC,
  CSRRWI,
  CSRRSI,
  CSRRCI,
  /** Code that has been compiled. The other bits are the number of its function. */
  COMPILED,
}

/** The index of the slot for writes to register 0, after the last register. */
const SINK = 64;

/** Operations by the value of an instruction's fields. */
type Table = Readonly<Record<number, Op>>;

const BRANCHES: Table = { 0: Op.BEQ, 1: Op.BNE, 4: Op.BLT, 5: Op.BGE, 6: Op.BLTU, 7: Op.BGEU };
const LOADS: Table = {
  0: Op.LB,
  1: Op.LH,
  2: Op.LW,
  3: Op.LD,
  4: Op.LBU,
  5: Op.LHU,
  6: Op.LWU,
};
const STORES: Table = { 0: Op.SB, 1: Op.SH, 2: Op.SW, 3: Op.SD };
const IMMEDIATE: Table = {
  0: Op.ADDI,
  2: Op.SLTI,
  3: Op.SLTIU,
  4: Op.XORI,
  6: Op.ORI,
  7: Op.ANDI,
};
const CSR: Table = {
  1: Op.CSRRW,
  2: Op.CSRRS,
  3: Op.CSRRC,
  5: Op.CSRRWI,
  6: Op.CSRRSI,
  7: Op.CSRRCI,
};

// Register-register instructions by funct7 * 8 + funct3.
const MULDIV = 1 * 8;
const ALTERNATE = 0x20 * 8;
const REGISTER: Table = {
  0: Op.ADD,
  1: Op.SLL,
  2: Op.SLT,
  3: Op.SLTU,
  4: Op.XOR,
  5: Op.SRL,
  6: Op.OR,
  7: Op.AND,
  [ALTERNATE + 0]: Op.SUB,
  [ALTERNATE + 5]: Op.SRA,
  [MULDIV + 0]: Op.MUL,
  [MULDIV + 1]: Op.MULH,
  [MULDIV + 2]: Op.MULHSU,
  [MULDIV + 3]: Op.MULHU,
  [MULDIV + 4]: Op.DIV,
  [MULDIV + 5]: Op.DIVU,
  [MULDIV + 6]: Op.REM,
  [MULDIV + 7]: Op.REMU,
};
const REGISTER_WORD: Table = {
  0: Op.ADDW,
  1: Op.SLLW,
  5: Op.SRLW,
  [ALTERNATE + 0]: Op.SUBW,
  [ALTERNATE + 5]: Op.SRAW,
  [MULDIV + 0]: Op.MULW,
  [MULDIV + 4]: Op.DIVW,
  [MULDIV + 5]: Op.DIVUW,
  [MULDIV + 6]: Op.REMW,
  [MULDIV + 7]: Op.REMUW,
};
// Shifts by a constant: operations by the bits above the constant and funct3.
const SHIFT: Table = { 1: Op.SLLI, 5: Op.SRLI, [0x10 * 8 + 5]: Op.SRAI };
const SHIFT_WORD: Table = { 1: Op.SLLIW, 5: Op.SRLIW, [ALTERNATE + 5]: Op.SRAIW };
const FENCES: Table = { 0: Op.FENCE, 1: Op.FENCE_I };
const SYSTEM: Table = {
  0x0000_0073: Op.ECALL,
  0x0010_0073: Op.EBREAK,
  0x1020_0073: Op.SRET,
  0x3020_0073: Op.MRET,
  0x1050_0073: Op.WFI,
};

/** `sfence.vma` without its operands. */
const SFENCE_VMA = 0x1200_0073;
const SFENCE_OPERANDS = 0x01ff_8000;

/** Set in the first word of a decoded instruction that was compressed. */
const COMPRESSED = 1 << 8;

/** Bytes of a decoded instruction, given its first word. */
export function lengthOf(word: number): number {
  return 4 - ((word >>> 7) & 2);
}

/**
 * Decodes an instruction into two words of `code`, at `index`.
 *
 * The first word holds the {@link Op} in bits 0 to 7 and, from bits 8, 16 and 24 on, the indexes of
 * rd, rs1 and rs2 in the array of register halves, which are twice the register numbers. Bit 8,
 * which is 0 in every index, is set if the instruction was compressed. The second word holds the
 * immediate, or the instruction itself if it is illegal, atomic or in the SYSTEM opcode.
 *
 * @param instruction - 32 bits, signed.
 * @param half - The 16 bits of the compressed instruction that `instruction` stands for.
 */
export function decode(
  instruction: number,
  code: Int32Array,
  index: number,
  half: number | null = null,
): void {
  const [op = Op.ILLEGAL, immediate] = operation(instruction);
  const rd = (instruction >>> 7) & 31;
  const rs1 = (instruction >>> 15) & 31;
  const rs2 = (instruction >>> 20) & 31;
  const length = half === null ? 0 : COMPRESSED;
  code[index] = op | ((rd === 0 ? SINK : 2 * rd) << 8) | length | (rs1 << 17) | (rs2 << 25);
  code[index + 1] = op === Op.ILLEGAL ? (half ?? instruction) : immediate;
}

/**
 * The operation and the immediate of an instruction. The operation is undefined if it is illegal.
 */
function operation(instruction: number): readonly [Op | undefined, number] {
  const funct3 = (instruction >>> 12) & 7;
  const funct10 = (instruction >>> 25) * 8 + funct3;
  const immediateI = instruction >> 20;
  const immediateU = instruction & ~0xfff;

  switch (instruction & 0x7f) {
    case 0x37:
      return [Op.LUI, immediateU];
    case 0x17:
      return [Op.AUIPC, immediateU];
    case 0x6f:
      return [Op.JAL, immediateJ(instruction)];
    case 0x67:
      return [funct3 === 0 ? Op.JALR : undefined, immediateI];
    case 0x63:
      return [BRANCHES[funct3], immediateB(instruction)];
    case 0x03:
      return [LOADS[funct3], immediateI];
    case 0x23:
      return [STORES[funct3], (immediateI & ~31) | ((instruction >>> 7) & 31)];
    case 0x13:
      return funct3 === 1 || funct3 === 5
        ? [SHIFT[(instruction >>> 26) * 8 + funct3], immediateI & 63]
        : [IMMEDIATE[funct3], immediateI];
    case 0x1b:
      return funct3 === 0 ? [Op.ADDIW, immediateI] : [SHIFT_WORD[funct10], immediateI & 31];
    case 0x33:
      return [REGISTER[funct10], 0];
    case 0x3b:
      return [REGISTER_WORD[funct10], 0];
    case 0x0f:
      return [FENCES[funct3], 0];
    case 0x2f:
      return [isAtomic(instruction) ? Op.ATOMIC : undefined, instruction];
    case 0x73:
      if ((instruction & ~SFENCE_OPERANDS) === SFENCE_VMA) {
        return [Op.SFENCE_VMA, instruction];
      }
      return [funct3 === 0 ? SYSTEM[instruction] : CSR[funct3], instruction];
    default:
      return [undefined, 0];
  }
}

function immediateB(instruction: number): number {
  return (
    ((instruction >> 31) << 12) |
    ((instruction << 4) & 0x800) |
    ((instruction >>> 20) & 0x7e0) |
    ((instruction >>> 7) & 0x1e)
  );
}

function immediateJ(instruction: number): number {
  return (
    ((instruction >> 31) << 20) |
    (instruction & 0xf_f000) |
    ((instruction >>> 9) & 0x800) |
    ((instruction >>> 20) & 0x7fe)
  );
}
