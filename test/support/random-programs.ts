/*
 * Random programs for the full hart, whose results are compared with those of QEMU. The guest
 * program `random` runs them.
 *
 * Their jumps go forward only, so that they end. They do nothing that RISC-V leaves to the
 * implementation, such as reading the time, and nothing that QEMU 7.2 does in another way than
 * RISC-V prescribes: values of control registers that are not legal, exceptions of atomic
 * operations, and writes of no bits to a register that cannot be written.
 */

/** Where the guest finds the programs. */
export const BODIES = 0x8040_0000;
const DATA = 0x8080_0000n;
/** The data with translation. */
const ALIASES = 0x40_0000_0000n - 0x20_0000n;

/** Modes of a program. */
const USER = 0;
const SUPERVISOR = 1;
const MACHINE = 3;
/** Flags of a program: it runs with page tables; the guest prints all traps and registers. */
const PAGED = 4;
export const VERBOSE = 8;

const HEADER = 8 + 8 * 32;
const MOST_JUMPED = 12;
/** The registers that point to data. No instruction writes them. */
const POINTERS = [30, 31];

// Opcodes.
const LOAD = 0x03;
const MISC_MEM = 0x0f;
const OP_IMM = 0x13;
const AUIPC = 0x17;
const OP_IMM_32 = 0x1b;
const STORE = 0x23;
const AMO = 0x2f;
const OP = 0x33;
const LUI = 0x37;
const OP_32 = 0x3b;
const BRANCH = 0x63;
const JALR = 0x67;
const JAL = 0x6f;
const SYSTEM = 0x73;

/** Control registers that programs may access, and numbers of some that do not exist. */
const CSRS = [0x140, 0x142, 0x143, 0x301, 0x342, 0x343];
const READ_ONLY_CSRS = [0xf14, 0xc05];
const NO_CSRS = [
  0x000, 0x001, 0x002, 0x003, 0x008, 0x200, 0x5a8, 0x600, 0x680, 0x800, 0xcc0, 0xfc0,
];

const SSTATUS = 0x100;
const MSTATUS = 0x300;
const CSRRS = 2;
const CSRRC = 3;

/** An instruction; one that jumps has a distance in instructions, and a function of bytes. */
interface Instruction {
  readonly bytes: 2 | 4;
  readonly bits: number;
  /** No jump goes to it. */
  readonly follows?: true;
  readonly jump?: { readonly by: number; readonly encode: (offset: number) => number };
}

/** Pseudorandom numbers: the generator mulberry32. */
class Random {
  constructor(private state: number) {}

  /** A number from 0 to 2^32 - 1. */
  word(): number {
    this.state = (this.state + 0x6d2b_79f5) | 0;
    let value = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
    return (value ^ (value >>> 14)) >>> 0;
  }

  below(limit: number): number {
    return this.word() % limit;
  }

  of<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }
}

/** One of the programs: its mode, and its instructions. */
class Program {
  private readonly random: Random;

  constructor(
    seed: number,
    private readonly mode: number,
  ) {
    this.random = new Random(seed);
  }

  /** The program as the guest expects it. */
  encode(count: number): Buffer {
    const registers = Array.from({ length: 32 }, (_, register) => this.value(register));
    const list = Array.from({ length: count }, () => this.instruction()).flat();
    // The program ends with an instruction that always traps, and so do jumps beyond it.
    list.push({ bytes: 4, bits: 0x73 });
    const starts: number[] = [];
    let size = 0;
    for (const { bytes } of list) {
      starts.push(size);
      size += bytes;
    }
    const padded = (size + 7) & ~7;
    const program = Buffer.alloc(HEADER + padded);
    const code = program.subarray(HEADER);
    list.forEach(({ bytes, bits, jump }, i) => {
      let to = jump === undefined ? i : Math.min(i + jump.by, list.length - 1);
      while (list[to]!.follows === true && to !== i) {
        to++;
      }
      const word = jump === undefined ? bits : jump.encode(starts[to]! - starts[i]!);
      if (bytes === 4) {
        code.writeUInt32LE(word >>> 0, starts[i]);
      } else {
        code.writeUInt16LE(word & 0xffff, starts[i]);
      }
    });
    // What is left is illegal, and after the end of the program.
    program.writeUInt32LE(HEADER + padded, 0);
    program.writeUInt32LE(this.mode, 4);
    registers.forEach((value, i) => program.writeBigUInt64LE(value, 8 + 8 * i));
    return program;
  }

  private value(register: number): bigint {
    if (register === 30) {
      const paged = (this.mode & PAGED) !== 0;
      return (paged ? ALIASES : DATA) + BigInt(0x1000 * this.random.below(15) + 0xff8);
    }
    if (register === 31) {
      return DATA + 0x8000n;
    }
    const { random } = this;
    const wide = (BigInt(random.word()) << 32n) | BigInt(random.word());
    const cases = [0n, 1n, 2n ** 64n - 1n, 2n ** 63n, 2n ** 63n - 1n, 2n ** 31n, 0xffff_ffffn];
    switch (random.below(4)) {
      case 0:
        return random.of(cases);
      case 1:
        return BigInt.asUintN(64, BigInt.asIntN(32, wide));
      default:
        return wide;
    }
  }

  private get isMachine(): boolean {
    return (this.mode & 3) === MACHINE;
  }

  private rd(): number {
    return this.random.below(30);
  }

  private rs(): number {
    return this.random.below(32);
  }

  /** The register of an address. Below machine mode, nothing but data can be accessed. */
  private base(): number {
    return this.isMachine || this.random.below(4) > 0 ? this.random.of(POINTERS) : this.rs();
  }

  private word(bits: number): Instruction[] {
    return [{ bytes: 4, bits: bits >>> 0 }];
  }

  /** Instructions to which no jump goes, but to the first one. */
  private sequence(...words: readonly number[]): Instruction[] {
    return words.map((bits, i) => ({
      bytes: 4,
      bits: bits >>> 0,
      ...(i > 0 && { follows: true }),
    }));
  }

  private instruction(): Instruction[] {
    const { random } = this;
    const kind = random.below(100);
    if (kind < 30) {
      return this.arithmetic();
    }
    if (kind < 45) {
      return this.loadOrStore();
    }
    if (kind < 50) {
      return this.atomic();
    }
    if (kind < 70) {
      return this.compressed();
    }
    if (kind < 78) {
      return this.jump();
    }
    if (kind < 86) {
      return this.control();
    }
    return kind < 89 ? this.system() : this.any();
  }

  private arithmetic(): Instruction[] {
    const { random } = this;
    const opcode = random.of([OP_IMM, OP_IMM, OP_IMM_32, OP, OP, OP_32, LUI, AUIPC]);
    const funct3 = random.below(8);
    const base = (this.rs() << 15) | (funct3 << 12) | (this.rd() << 7) | opcode;
    switch (opcode) {
      case OP:
      case OP_32:
        return this.word((random.of([0, 0x20, 1, 1]) << 25) | (this.rs() << 20) | base);
      case OP_IMM_32:
      case OP_IMM:
        return funct3 === 1 || funct3 === 5
          ? this.word((random.of([0, 0x10]) << 26) | (random.below(64) << 20) | base)
          : this.word((random.below(4096) << 20) | base);
      default:
        return this.word((random.word() & ~0xfff) | (this.rd() << 7) | opcode);
    }
  }

  private loadOrStore(): Instruction[] {
    const { random } = this;
    const immediate = random.of([random.below(4096), 8 * random.below(512), random.below(16)]);
    const fields = (this.base() << 15) | (random.below(8) << 12);
    return random.below(2) === 0
      ? this.word((immediate << 20) | fields | (this.rd() << 7) | LOAD)
      : this.word(
          ((immediate >> 5) << 25) | (this.rs() << 20) | fields | ((immediate & 31) << 7) | STORE,
        );
  }

  private atomic(): Instruction[] {
    const { random } = this;
    // QEMU 7.2 raises the exceptions of a load for atomic operations, which RISC-V does not allow,
    // and does not look at the address of a conditional store that fails. So these access RAM.
    const base = (this.mode & PAGED) === 0 ? random.of(POINTERS) : 31;
    const width = random.of([2, 3]);
    const encode = (operation: number, rs2: number) =>
      ((operation << 27) |
        (random.below(4) << 25) |
        (rs2 << 20) |
        (base << 15) |
        (width << 12) |
        (this.rd() << 7) |
        AMO) >>>
      0;
    if (random.below(4) === 0) {
      // Without an instruction between, after which a hart may lose the reservation.
      return this.sequence(encode(2, 0), encode(3, this.rs()));
    }
    return this.word(encode(random.of([0, 1, 4, 8, 12, 16, 20, 24, 28]), this.rs()));
  }

  private compressed(): Instruction[] {
    for (;;) {
      const bits = this.random.below(0x10000);
      if (this.isAllowedHalf(bits)) {
        return [{ bytes: 2, bits }];
      }
    }
  }

  /** Whether a compressed instruction neither jumps nor writes a pointer. */
  private isAllowedHalf(bits: number): boolean {
    const quadrant = bits & 3;
    const funct3 = bits >>> 13;
    const rd = (bits >>> 7) & 31;
    const accesses = funct3 !== 0 && funct3 !== 4 && quadrant !== 1;
    if (quadrant === 3 || (accesses && this.isMachine)) {
      return false;
    }
    if (quadrant === 1) {
      return funct3 < 5 && (funct3 === 4 || !POINTERS.includes(rd));
    }
    const jumps = quadrant === 2 && funct3 === 4 && ((bits >>> 2) & 31) === 0 && bits !== 0x9002;
    return !jumps && (quadrant === 0 || !POINTERS.includes(rd));
  }

  private jump(): Instruction[] {
    const { random } = this;
    const by = 1 + random.below(MOST_JUMPED);
    const [rs1, rs2, rd] = [this.rs(), this.rs(), this.rd()];
    const jump = (encode: (offset: number) => number): Instruction => ({
      bytes: 4,
      bits: 0,
      jump: { by, encode },
    });
    switch (random.below(6)) {
      case 0:
        return [jump((offset) => encodeJump(offset) | (rd << 7) | JAL)];
      case 1: {
        const base = 1 + random.below(29);
        // The offset is that of the second instruction, so the jump goes at most to the one before.
        return [
          ...this.word((base << 7) | AUIPC),
          {
            bytes: 4,
            bits: 0,
            follows: true,
            jump: {
              by,
              encode: (offset) => ((offset + 4) << 20) | (base << 15) | (rd << 7) | JALR,
            },
          },
        ];
      }
      case 2:
        return [
          {
            bytes: 2,
            bits: 0,
            jump: { by, encode: (offset) => encodeHalfBranch(offset) | ((rs1 & 7) << 7) | 0xc001 },
          },
        ];
      default: {
        const funct3 = random.below(8);
        return [
          jump(
            (offset) => encodeBranch(offset) | (rs2 << 20) | (rs1 << 15) | (funct3 << 12) | BRANCH,
          ),
        ];
      }
    }
  }

  private control(): Instruction[] {
    const { random } = this;
    if (random.below(3) === 0) {
      // Bits 13 to 30 of mstatus or sstatus: QEMU allows values of UXL and MPP that RISC-V does
      // not.
      const [mask, rd] = [1 + random.below(29), this.rd()];
      const csr = random.of([SSTATUS, MSTATUS]);
      const funct3 = random.of([CSRRS, CSRRC]);
      return this.sequence(
        (random.below(0x4_0000) << 13) | (mask << 7) | LUI,
        (csr << 20) | (mask << 15) | (funct3 << 12) | (rd << 7) | SYSTEM,
      );
    }
    if (random.below(5) === 0) {
      const csr = random.of(READ_ONLY_CSRS);
      return this.word((csr << 20) | (CSRRS << 12) | (this.rd() << 7) | SYSTEM);
    }
    const csr = random.of(random.below(4) === 0 ? NO_CSRS : CSRS);
    const funct3 = random.of([1, 2, 3, 5, 6, 7]);
    return this.word((csr << 20) | (this.rs() << 15) | (funct3 << 12) | (this.rd() << 7) | SYSTEM);
  }

  private system(): Instruction[] {
    const { random } = this;
    const sfence = 0x1200_0073 | (this.rs() << 15) | (this.rs() << 20);
    const fence = (random.below(4096) << 20) | MISC_MEM;
    return this.word(random.of([0x73, 0x0010_0073, 0x100f, fence, sfence, 0x1050_0073 | 0x80]));
  }

  /** Any word of 32 bits that neither jumps nor writes a pointer. */
  private any(): Instruction[] {
    for (;;) {
      const bits = (this.random.word() | 3) >>> 0;
      const opcode = bits & 0x7f;
      const rd = (bits >>> 7) & 31;
      const accesses = [LOAD, STORE].includes(opcode);
      const isExcluded =
        [BRANCH, JAL, JALR, SYSTEM, AMO].includes(opcode) || (accesses && this.isMachine);
      if (!isExcluded && (opcode === STORE || !POINTERS.includes(rd))) {
        return this.word(bits);
      }
    }
  }
}

function encodeJump(offset: number): number {
  return (
    (((offset >> 20) & 1) << 31) |
    (((offset >> 1) & 0x3ff) << 21) |
    (((offset >> 11) & 1) << 20) |
    (((offset >> 12) & 0xff) << 12)
  );
}

function encodeBranch(offset: number): number {
  return (
    (((offset >> 12) & 1) << 31) |
    (((offset >> 5) & 0x3f) << 25) |
    (((offset >> 1) & 15) << 8) |
    (((offset >> 11) & 1) << 7)
  );
}

function encodeHalfBranch(offset: number): number {
  return (
    (((offset >> 8) & 1) << 12) |
    (((offset >> 3) & 3) << 10) |
    (((offset >> 6) & 3) << 5) |
    (((offset >> 1) & 3) << 3) |
    (((offset >> 5) & 1) << 2)
  );
}

const MODES = [
  ...[MACHINE, SUPERVISOR, USER, MACHINE],
  ...[SUPERVISOR | PAGED, USER | PAGED, SUPERVISOR | PAGED, USER | PAGED],
];

/** Some random programs. */
export interface Batch {
  /** The seed of the first one; those of the others follow. */
  readonly seed: number;
  readonly count: number;
  /** Instructions of each program, more or less. */
  readonly length: number;
  /** Flags for all of them. */
  readonly flags?: number;
}

/** The programs whose output on QEMU is test/fixtures/random-programs.txt. */
export const BATCHES: readonly Batch[] = [
  { seed: 1, count: 104, length: 8000 },
  { seed: 1001, count: 104, length: 8000 },
];

/** The programs of a batch, as the guest expects them in its memory. */
export function randomPrograms({ seed, count, length, flags = 0 }: Batch): Buffer {
  const programs = Array.from({ length: count }, (_, i) =>
    new Program(seed + i, MODES[i % MODES.length]! | flags).encode(length),
  );
  return Buffer.concat([...programs, Buffer.alloc(8)]);
}
