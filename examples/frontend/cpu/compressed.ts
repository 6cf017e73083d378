/** Opcodes of the 32-bit instructions that the compressed ones stand for. */
const LOAD = 0x03;
const IMMEDIATE = 0x13;
const IMMEDIATE_WORD = 0x1b;
const STORE = 0x23;
const REGISTER = 0x33;
const LUI = 0x37;
const REGISTER_WORD = 0x3b;
const BRANCH = 0x63;
const JALR = 0x67;
const JAL = 0x6f;
const EBREAK = 0x0010_0073;

const SP = 2;
/** The result for an encoding that is reserved, or that belongs to another extension. */
const ILLEGAL = 0;

/**
 * The 32-bit instruction that a compressed instruction of RV64IMAC stands for, as a signed integer;
 * 0, which is illegal, if there is no such instruction.
 *
 * @param half - The 16 bits. The lowest two are not 11.
 */
export function expand(half: number): number {
  const funct3 = (half >>> 13) & 7;
  switch (half & 3) {
    case 0:
      return expandQuadrant0(half, funct3);
    case 1:
      return expandQuadrant1(half, funct3);
    default:
      return expandQuadrant2(half, funct3);
  }
}

/** Loads and stores with an unsigned offset from one of the registers 8 to 15. */
function expandQuadrant0(half: number, funct3: number): number {
  const first = 8 + bits(half, 7, 3);
  const second = 8 + bits(half, 2, 3);
  const wordOffset = (bits(half, 10, 3) << 3) | (bits(half, 6, 1) << 2) | (bits(half, 5, 1) << 6);
  const doubleOffset = (bits(half, 10, 3) << 3) | (bits(half, 5, 2) << 6);
  switch (funct3) {
    case 0: {
      const offset =
        (bits(half, 11, 2) << 4) |
        (bits(half, 7, 4) << 6) |
        (bits(half, 6, 1) << 2) |
        (bits(half, 5, 1) << 3);
      return offset === 0 ? ILLEGAL : typeI(IMMEDIATE, 0, second, SP, offset);
    }
    case 2:
      return typeI(LOAD, 2, second, first, wordOffset);
    case 3:
      return typeI(LOAD, 3, second, first, doubleOffset);
    case 6:
      return typeS(STORE, 2, first, second, wordOffset);
    case 7:
      return typeS(STORE, 3, first, second, doubleOffset);
    default:
      return ILLEGAL;
  }
}

/** Arithmetic, jumps and branches. */
function expandQuadrant1(half: number, funct3: number): number {
  const rd = bits(half, 7, 5);
  const immediate = signed(bits(half, 2, 5) | (bits(half, 12, 1) << 5), 6);
  switch (funct3) {
    case 0:
      return typeI(IMMEDIATE, 0, rd, rd, immediate);
    case 1:
      return rd === 0 ? ILLEGAL : typeI(IMMEDIATE_WORD, 0, rd, rd, immediate);
    case 2:
      return typeI(IMMEDIATE, 0, rd, 0, immediate);
    case 3:
      return expandUpper(half, rd, immediate);
    case 4:
      return expandArithmetic(half, immediate);
    case 5:
      return typeJ(JAL, 0, jumpOffset(half));
    default:
      return typeB(BRANCH, funct3 === 6 ? 0 : 1, 8 + bits(half, 7, 3), 0, branchOffset(half));
  }
}

/** `c.addi16sp` and `c.lui`. */
function expandUpper(half: number, rd: number, immediate: number): number {
  if (immediate === 0) {
    return ILLEGAL;
  }
  if (rd !== SP) {
    return LUI | (rd << 7) | (immediate << 12);
  }
  const offset =
    (bits(half, 6, 1) << 4) |
    (bits(half, 2, 1) << 5) |
    (bits(half, 5, 1) << 6) |
    (bits(half, 3, 2) << 7) |
    (bits(half, 12, 1) << 9);
  return typeI(IMMEDIATE, 0, SP, SP, signed(offset, 10));
}

function expandArithmetic(half: number, immediate: number): number {
  const rd = 8 + bits(half, 7, 3);
  const rs2 = 8 + bits(half, 2, 3);
  switch (bits(half, 10, 2)) {
    case 0:
      return typeI(IMMEDIATE, 5, rd, rd, immediate & 63);
    case 1:
      return typeI(IMMEDIATE, 5, rd, rd, (immediate & 63) | 0x400);
    case 2:
      return typeI(IMMEDIATE, 7, rd, rd, immediate);
    default:
  }
  switch (bits(half, 5, 2) | (bits(half, 12, 1) << 2)) {
    case 0:
      return typeR(REGISTER, 0, rd, rd, rs2, 0x20);
    case 1:
      return typeR(REGISTER, 4, rd, rd, rs2, 0);
    case 2:
      return typeR(REGISTER, 6, rd, rd, rs2, 0);
    case 3:
      return typeR(REGISTER, 7, rd, rd, rs2, 0);
    case 4:
      return typeR(REGISTER_WORD, 0, rd, rd, rs2, 0x20);
    case 5:
      return typeR(REGISTER_WORD, 0, rd, rd, rs2, 0);
    default:
      return ILLEGAL;
  }
}

/** Loads and stores relative to the stack pointer, moves, additions and jumps to registers. */
function expandQuadrant2(half: number, funct3: number): number {
  const rd = bits(half, 7, 5);
  const rs2 = bits(half, 2, 5);
  const high = bits(half, 12, 1);
  switch (funct3) {
    case 0:
      return typeI(IMMEDIATE, 1, rd, rd, rs2 | (high << 5));
    case 2: {
      const offset = (bits(half, 4, 3) << 2) | (high << 5) | (bits(half, 2, 2) << 6);
      return rd === 0 ? ILLEGAL : typeI(LOAD, 2, rd, SP, offset);
    }
    case 3: {
      const offset = (bits(half, 5, 2) << 3) | (high << 5) | (bits(half, 2, 3) << 6);
      return rd === 0 ? ILLEGAL : typeI(LOAD, 3, rd, SP, offset);
    }
    case 4:
      if (rs2 !== 0) {
        return typeR(REGISTER, 0, rd, high === 0 ? 0 : rd, rs2, 0);
      }
      if (rd !== 0) {
        return typeI(JALR, 0, high, rd, 0);
      }
      return high === 0 ? ILLEGAL : EBREAK;
    case 6:
      return typeS(STORE, 2, SP, rs2, (bits(half, 9, 4) << 2) | (bits(half, 7, 2) << 6));
    case 7:
      return typeS(STORE, 3, SP, rs2, (bits(half, 10, 3) << 3) | (bits(half, 7, 3) << 6));
    default:
      return ILLEGAL;
  }
}

function jumpOffset(half: number): number {
  const offset =
    (bits(half, 3, 3) << 1) |
    (bits(half, 11, 1) << 4) |
    (bits(half, 2, 1) << 5) |
    (bits(half, 7, 1) << 6) |
    (bits(half, 6, 1) << 7) |
    (bits(half, 9, 2) << 8) |
    (bits(half, 8, 1) << 10) |
    (bits(half, 12, 1) << 11);
  return signed(offset, 12);
}

function branchOffset(half: number): number {
  const offset =
    (bits(half, 3, 2) << 1) |
    (bits(half, 10, 2) << 3) |
    (bits(half, 2, 1) << 5) |
    (bits(half, 5, 2) << 6) |
    (bits(half, 12, 1) << 8);
  return signed(offset, 9);
}

/** `count` bits of a value from bit number `from` on. */
function bits(value: number, from: number, count: number): number {
  return (value >>> from) & ((1 << count) - 1);
}

/** The value of a two's complement number of `width` bits. */
function signed(value: number, width: number): number {
  return (value << (32 - width)) >> (32 - width);
}

function typeR(
  opcode: number,
  funct3: number,
  rd: number,
  rs1: number,
  rs2: number,
  funct7: number,
): number {
  return opcode | (rd << 7) | (funct3 << 12) | (rs1 << 15) | (rs2 << 20) | (funct7 << 25);
}

function typeI(opcode: number, funct3: number, rd: number, rs1: number, immediate: number): number {
  return opcode | (rd << 7) | (funct3 << 12) | (rs1 << 15) | (immediate << 20);
}

function typeS(
  opcode: number,
  funct3: number,
  rs1: number,
  rs2: number,
  immediate: number,
): number {
  return typeR(opcode, funct3, immediate & 31, rs1, rs2, immediate >> 5);
}

function typeB(opcode: number, funct3: number, rs1: number, rs2: number, offset: number): number {
  const low = (offset & 0x1e) | ((offset >> 11) & 1);
  const high = ((offset >> 5) & 0x3f) | ((offset >> 6) & 0x40);
  return typeR(opcode, funct3, low, rs1, rs2, high);
}

function typeJ(opcode: number, rd: number, offset: number): number {
  return (
    opcode |
    (rd << 7) |
    (offset & 0xf_f000) |
    (((offset >> 11) & 1) << 20) |
    (((offset >> 1) & 0x3ff) << 21) |
    (((offset >> 20) & 1) << 31)
  );
}
