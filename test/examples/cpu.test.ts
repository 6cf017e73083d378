import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { Cpu } from "../../examples/frontend/cpu/cpu.js";
import { Clint } from "../../examples/frontend/devices/clint.js";
import { thrown } from "../support/errors.js";
import { anyInstruction, operand, signed, unsigned } from "../support/riscv-code.js";

const RD = 5;
const RS1 = 6;
const RS2 = 7;

const word = (value: bigint) => signed(value, 32);

/** Signed division as RISC-V defines it. */
function quotient(a: bigint, b: bigint): bigint {
  return b === 0n ? -1n : a / b;
}

function remainder(a: bigint, b: bigint): bigint {
  return b === 0n ? a : a % b;
}

type Operation = (a: bigint, b: bigint) => bigint;

/** Register-register instructions: opcode, funct3, funct7 and operation on unsigned operands. */
const REGISTER: Record<string, [number, number, number, Operation]> = {
  add: [0x33, 0, 0, (a, b) => a + b],
  sub: [0x33, 0, 0x20, (a, b) => a - b],
  sll: [0x33, 1, 0, (a, b) => a << (b & 63n)],
  slt: [0x33, 2, 0, (a, b) => (signed(a) < signed(b) ? 1n : 0n)],
  sltu: [0x33, 3, 0, (a, b) => (a < b ? 1n : 0n)],
  xor: [0x33, 4, 0, (a, b) => a ^ b],
  srl: [0x33, 5, 0, (a, b) => a >> (b & 63n)],
  sra: [0x33, 5, 0x20, (a, b) => signed(a) >> (b & 63n)],
  or: [0x33, 6, 0, (a, b) => a | b],
  and: [0x33, 7, 0, (a, b) => a & b],
  mul: [0x33, 0, 1, (a, b) => a * b],
  mulh: [0x33, 1, 1, (a, b) => (signed(a) * signed(b)) >> 64n],
  mulhsu: [0x33, 2, 1, (a, b) => (signed(a) * b) >> 64n],
  mulhu: [0x33, 3, 1, (a, b) => (a * b) >> 64n],
  div: [0x33, 4, 1, (a, b) => quotient(signed(a), signed(b))],
  divu: [0x33, 5, 1, quotient],
  rem: [0x33, 6, 1, (a, b) => remainder(signed(a), signed(b))],
  remu: [0x33, 7, 1, remainder],
  addw: [0x3b, 0, 0, (a, b) => word(a + b)],
  subw: [0x3b, 0, 0x20, (a, b) => word(a - b)],
  sllw: [0x3b, 1, 0, (a, b) => word(a << (b & 31n))],
  srlw: [0x3b, 5, 0, (a, b) => word(unsigned(a, 32) >> (b & 31n))],
  sraw: [0x3b, 5, 0x20, (a, b) => word(a) >> (b & 31n)],
  mulw: [0x3b, 0, 1, (a, b) => word(a * b)],
  divw: [0x3b, 4, 1, (a, b) => word(quotient(word(a), word(b)))],
  divuw: [0x3b, 5, 1, (a, b) => word(quotient(unsigned(a, 32), unsigned(b, 32)))],
  remw: [0x3b, 6, 1, (a, b) => word(remainder(word(a), word(b)))],
  remuw: [0x3b, 7, 1, (a, b) => word(remainder(unsigned(a, 32), unsigned(b, 32)))],
};

/** Instructions with an immediate: opcode, funct3 and operation. */
const IMMEDIATE: Record<string, [number, number, Operation]> = {
  addi: [0x13, 0, (a, i) => a + i],
  slti: [0x13, 2, (a, i) => (signed(a) < i ? 1n : 0n)],
  sltiu: [0x13, 3, (a, i) => (a < unsigned(i) ? 1n : 0n)],
  xori: [0x13, 4, (a, i) => a ^ i],
  ori: [0x13, 6, (a, i) => a | i],
  andi: [0x13, 7, (a, i) => a & i],
  addiw: [0x1b, 0, (a, i) => word(a + i)],
};

function assemble(opcode: number, funct3: number, upper: number): number {
  return (opcode | (RD << 7) | (funct3 << 12) | (RS1 << 15) | (upper << 20)) >>> 0;
}

/** Runs instructions from address 0 on, in RAM of 4 KiB, with initial values of registers. */
function execute(instructions: readonly number[], registers: Record<number, bigint> = {}): Cpu {
  const memory = GuestMemory.allocate(4096);
  instructions.forEach((instruction, i) => memory.writel(4 * i, instruction));
  const cpu = new Cpu(memory, { base: 0, size: 4096 });
  for (const [register, value] of Object.entries(registers)) {
    cpu.x[2 * Number(register)] = Number(signed(value, 32));
    cpu.x[2 * Number(register) + 1] = Number(signed(value >> 32n, 32));
  }
  cpu.run(instructions.length);
  return cpu;
}

describe("the example's hart", () => {
  for (const [name, [opcode, funct3, funct7, compute]] of Object.entries(REGISTER)) {
    it(`does ${name} as arithmetic on bigints does`, () => {
      const instruction = assemble(opcode, funct3, (funct7 << 5) | RS2);
      fc.assert(
        fc.property(operand, operand, (a, b) => {
          const cpu = execute([instruction], { [RS1]: a, [RS2]: b });
          expect(cpu.register(RD)).to.equal(unsigned(compute(a, b)));
        }),
        { numRuns: 300 },
      );
    });
  }

  for (const [name, [opcode, funct3, compute]] of Object.entries(IMMEDIATE)) {
    it(`does ${name} as arithmetic on bigints does`, () => {
      fc.assert(
        fc.property(operand, fc.integer({ min: -2048, max: 2047 }), (a, immediate) => {
          const instruction = assemble(opcode, funct3, immediate & 0xfff);
          const cpu = execute([instruction], { [RS1]: a });
          expect(cpu.register(RD)).to.equal(unsigned(compute(a, BigInt(immediate))));
        }),
        { numRuns: 300 },
      );
    });
  }

  it("counts an instruction that traps in time, and not as retired", () => {
    const cpu = execute([0x0000_0013, 0xffff_ffff]);
    expect(cpu.time).to.equal(2);
    expect(cpu.retired).to.equal(1);
    expect(cpu.csrs.read(0x342), "mcause").to.equal(2n);
    expect(cpu.csrs.read(0x341), "mepc").to.equal(4n);
    expect(cpu.csrs.read(0x343), "mtval").to.equal(0xffff_ffffn);
    expect(cpu.pc, "mtvec").to.equal(0n);
  });

  it("keeps the lowest bits of mepc and the mode bit of mtvec clear", () => {
    // csrw mepc, t1; csrw mtvec, t1
    const cpu = execute([0x3413_1073, 0x3053_1073], { [RS1]: 2n ** 64n - 1n });
    expect(cpu.csrs.read(0x341)).to.equal(2n ** 64n - 4n);
    expect(cpu.csrs.read(0x305)).to.equal(2n ** 64n - 3n);
  });

  it("jumps to the interrupt's own vector in the vectored mode of mtvec", () => {
    // csrw mtvec, t1; csrw mie, t2; csrsi mstatus, 8; nop
    const cpu = execute([0x3053_1073, 0x3043_9073, 0x3004_6073, 0x0000_0013], {
      [RS1]: 0x101n,
      [RS2]: 1n << 7n,
    });
    cpu.setAlarm(cpu.time);
    cpu.run(1);
    // The vector holds zeros, an illegal instruction, and exceptions jump to the base.
    expect(cpu.csrs.read(0x341)).to.equal(0x100n + 4n * 7n);
    expect(cpu.csrs.read(0x342)).to.equal(2n);
    expect(cpu.pc).to.equal(0x100n);
  });

  it("takes the timer interrupt at the same instruction, however a run is divided", () => {
    // csrw mtvec, t1; csrw mie, t2; csrsi mstatus, 8; j .
    const program = [0x3053_1073, 0x3043_9073, 0x3004_6073, 0x0000_006f];
    const hashes = [1, 7, 100].map((step) => {
      const cpu = execute(program, { [RS1]: 0x100n, [RS2]: 1n << 7n });
      cpu.setAlarm(50);
      while (cpu.time < 700) {
        cpu.run(Math.min(step, 700 - cpu.time));
      }
      return cpu.hash();
    });
    expect(new Set(hashes).size).to.equal(1);
  });

  it("throws for a memory error that is not a guest fault", () => {
    const memory = GuestMemory.allocate(4096);
    const cpu = new Cpu(memory, { base: 0, size: 4096 });
    memory.destroy();
    expect(thrown(() => cpu.run(1)).name).to.equal("Error");
  });

  it("fetches from RAM outside the code range", () => {
    const space = new AddressSpace();
    space.addRam(0x1000, 4096);
    space.writel(0x1000, 0x02a0_0293); // li t0, 42
    const cpu = new Cpu(space, { base: 0x8000_0000, size: 4096 });
    cpu.pc = 0x1000n;
    cpu.run(1);
    expect(cpu.register(RD)).to.equal(42n);
    expect(cpu.pc).to.equal(0x1004n);
  });
});

describe("the example's hart on any code", () => {
  it("has the same results on both paths, and never throws for what the guest does", () => {
    const BASE = 0x8000_0000;
    const SIZE = 0x1000;
    const HANDLER = SIZE - 16;
    // csrr t6, mepc; addi t6, t6, 4; csrw mepc, t6; mret
    const handler = [0x3410_2ff3, 0x004f_8f93, 0x341f_9073, 0x3020_0073];
    const pointer = fc.oneof(
      operand,
      fc.integer({ min: 0, max: SIZE / 8 }).map((i) => BigInt(BASE + 8 * i)),
      fc.bigInt({ min: BigInt(BASE) - 16n, max: BigInt(BASE + SIZE) + 16n }),
    );
    let traps = 0;
    let stores = 0;
    fc.assert(
      fc.property(
        fc.array(anyInstruction, { minLength: 32, maxLength: 64 }),
        fc.array(pointer, { minLength: 31, maxLength: 31 }),
        (instructions, registers) => {
          const [view, native] = (["view", "native"] as const).map((path) => {
            const space = new AddressSpace();
            const { memory } = space.addRam(BASE, SIZE);
            instructions.forEach((instruction, i) => memory.writel(4 * i, instruction));
            handler.forEach((instruction, i) => memory.writel(HANDLER + 4 * i, instruction));
            const before = memory.read(0, SIZE);
            const cpu = new Cpu(path === "view" ? space : space.native, { base: BASE, size: SIZE });
            registers.forEach((value, i) => {
              cpu.x[2 * i + 2] = Number(signed(value, 32));
              cpu.x[2 * i + 3] = Number(signed(value >> 32n, 32));
            });
            cpu.csrs.write(0x305, BigInt(BASE + HANDLER));
            cpu.pc = BigInt(BASE);
            cpu.run(200);
            const after = memory.read(0, SIZE);
            memory.destroy();
            return { cpu, before, after };
          });
          expect(view!.cpu.hash()).to.equal(native!.cpu.hash());
          expect(view!.cpu.retired).to.equal(native!.cpu.retired);
          expect(view!.after.equals(native!.after)).to.be.true;
          expect(view!.cpu.time).to.equal(200);
          expect(view!.cpu.register(0)).to.equal(0n);
          traps += view!.cpu.time - view!.cpu.retired;
          stores += view!.after.equals(view!.before) ? 0 : 1;
        },
      ),
      { numRuns: 400 },
    );
    // The test needs both traps and instructions between them.
    expect(traps).to.be.within(1000, 79_000);
    expect(stores).to.be.above(20);
  });
});

describe("the example's interruptor", () => {
  it("reads and writes its registers whole and in halves", () => {
    let alarm = 0;
    const hart = {
      time: 0x1_2345_6789,
      setAlarm: (time: number) => void (alarm = time),
      setSoftwareInterrupt: () => undefined,
    };
    const clint = new Clint(hart);
    expect(clint.readq(0x4000)).to.equal(2n ** 64n - 1n);
    clint.writel(0x4000, 0x89ab_cdef);
    clint.writel(0x4004, 0x12);
    expect(clint.readq(0x4000)).to.equal(0x12_89ab_cdefn);
    expect(alarm).to.equal(0x12_89ab_cdef);
    expect(clint.readl(0x4000)).to.equal(0x89ab_cdef);
    expect(clint.readl(0x4004)).to.equal(0x12);
    expect(clint.readl(0xbff8)).to.equal(0x2345_6789);
    expect(clint.readl(0xbffc)).to.equal(1);
  });
});
