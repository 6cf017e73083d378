import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace } from "pound-guest-memory";
import { Cpu } from "../../examples/frontend/cpu/cpu.js";
import { Mode } from "../../examples/frontend/cpu/mode.js";
import { PATHS } from "../support/paths.js";
import { anyInstruction, operand, signed } from "../support/riscv-code.js";
import {
  MCAUSE,
  MEPC,
  MIE,
  MSTATUS,
  MTVEC,
  NOP,
  PMPADDR0,
  PMPCFG0,
  SATP,
  T0,
  T1,
  T2,
} from "../support/virt-hart.js";

const RAM = 0x8000_0000;
const SIZE = 0x1_0000;
const HANDLER = 0x3000;
const FENCE_I = 0x0000_100f;
/** Code is compiled when it is jumped to for the second time, or never. */
const COMPILED = 2;
const INTERPRETED = 0;

const addi = (rd: number, rs1: number, value: number) =>
  ((value << 20) | (rs1 << 15) | (rd << 7) | 0x13) >>> 0;
const add = (rd: number, rs1: number, rs2: number) =>
  ((rs2 << 20) | (rs1 << 15) | (rd << 7) | 0x33) >>> 0;
const lw = (rd: number, rs1: number, offset: number) =>
  ((offset << 20) | (rs1 << 15) | 0x2000 | (rd << 7) | 0x03) >>> 0;
const sw = (rs2: number, rs1: number, offset: number) =>
  ((((offset >> 5) & 0x7f) << 25) |
    (rs2 << 20) |
    (rs1 << 15) |
    0x2000 |
    ((offset & 31) << 7) |
    0x23) >>>
  0;
const jal = (rd: number, offset: number) =>
  ((((offset >> 20) & 1) << 31) |
    (((offset >> 1) & 0x3ff) << 21) |
    (((offset >> 11) & 1) << 20) |
    (((offset >> 12) & 0xff) << 12) |
    (rd << 7) |
    0x6f) >>>
  0;
/** A branch: beq, bne, blt, bge, bltu and bgeu are 0, 1, 4, 5, 6 and 7. */
const branch = (kind: number, rs1: number, rs2: number, offset: number) =>
  ((((offset >> 12) & 1) << 31) |
    (((offset >> 5) & 0x3f) << 25) |
    (rs2 << 20) |
    (rs1 << 15) |
    (kind << 12) |
    (((offset >> 1) & 15) << 8) |
    (((offset >> 11) & 1) << 7) |
    0x63) >>>
  0;
const BNE = 1;

/** A hart in an address space of its own, at the first of some instructions. */
class Trial {
  readonly space = new AddressSpace();
  readonly cpu: Cpu;
  private readonly ram = this.space.addRam(RAM, SIZE).memory;

  constructor(
    path: "view" | "native",
    isFull: boolean,
    compileAfter: number,
    code: readonly number[],
    registers: Readonly<Record<number, bigint>> = {},
  ) {
    const { space } = this;
    const full = {
      space,
      path,
      guarder: (gpa: number, onWrite: () => void) => space.guardCode(gpa, 4096, onWrite),
    };
    this.cpu = new Cpu(
      path === "view" ? space : space.native,
      { base: RAM, size: SIZE },
      isFull ? full : null,
      compileAfter,
    );
    this.put(0, code);
    for (const [register, value] of Object.entries(registers)) {
      this.cpu.setRegister(Number(register), value);
    }
    this.cpu.csrs.write(MTVEC, BigInt(RAM + HANDLER));
    this.cpu.pc = BigInt(RAM);
  }

  put(offset: number, code: readonly number[]): void {
    code.forEach((instruction, i) => this.ram.writel(offset + 4 * i, instruction));
  }

  /** The number of functions that have been compiled and not been discarded. */
  get functions(): number {
    return this.cpu["blocks"].list.length;
  }

  /** All that the guest can see. */
  state() {
    const { cpu } = this;
    return {
      pc: cpu.pc,
      registers: Array.from(cpu.x).slice(0, 64),
      csrs: cpu.csrs.state(),
      time: cpu.time,
      retired: cpu.retired,
      memory: this.ram.read(0, SIZE).toString("base64"),
    };
  }

  release(): void {
    this.ram.destroy();
  }
}

/** Makes a trial that compiles and one that interprets, and asserts that both do the same. */
function compare(
  make: (compileAfter: number) => Trial,
  steps: readonly number[],
): { functions: number; traps: number } {
  const [compiled, interpreted] = [make(COMPILED), make(INTERPRETED)];
  for (const step of steps) {
    compiled.cpu.run(step);
    interpreted.cpu.run(step);
    expect(compiled.state()).to.deep.equal(interpreted.state());
  }
  expect(interpreted.functions).to.equal(0);
  const { functions, cpu } = compiled;
  compiled.release();
  interpreted.release();
  return { functions, traps: cpu.time - cpu.retired };
}

// csrr t6, mepc; addi t6, t6, 4; csrw mepc, t6; mret
const SKIP = [0x3410_2ff3, 0x004f_8f93, 0x341f_9073, 0x3020_0073];

for (const path of PATHS) {
  for (const isFull of [false, true]) {
    const hart = isFull ? "full" : "small";
    describe(`compiled code of the ${hart} hart, on the ${path} path`, () => {
      it("does what the interpreter does, on any code", function () {
        this.timeout(60_000);
        const pointer = fc.oneof(
          operand,
          fc.integer({ min: 0, max: SIZE / 8 }).map((i) => BigInt(RAM + 8 * i)),
          fc.integer({ min: 0, max: 64 }).map((i) => BigInt(RAM + 4 * i)),
        );
        const total = { functions: 0, traps: 0 };
        fc.assert(
          fc.property(
            fc.array(anyInstruction, { minLength: 8, maxLength: 48 }),
            fc.array(pointer, { minLength: 31, maxLength: 31 }),
            (instructions, values) => {
              // A loop, so that the same instructions run again and again.
              const code = [...instructions, jal(0, -4 * instructions.length)];
              const registers = Object.fromEntries(values.map((value, i) => [i + 1, value]));
              const found = compare(
                (after) => {
                  const trial = new Trial(path, isFull, after, code, registers);
                  trial.put(HANDLER, SKIP);
                  return trial;
                },
                [1, 63, 200, 7, 400],
              );
              total.functions += found.functions;
              total.traps += found.traps;
            },
          ),
          { numRuns: 100 },
        );
        expect(total.functions).to.be.above(100);
        expect(total.traps).to.be.above(1000);
      });

      it("does what the interpreter does, on any branches", () => {
        const register = fc.integer({ min: 0, max: 6 });
        const LENGTH = 24;
        const one = fc.oneof(
          fc.tuple(register, register, fc.integer({ min: -3, max: 3 })).map((_) => addi(..._)),
          fc.tuple(register, register, register).map((_) => add(..._)),
          fc
            .tuple(
              register,
              fc.constant(8),
              fc.nat(3).map((i) => 4 * i),
            )
            .map((_) => lw(..._)),
          fc
            .tuple(
              register,
              fc.constant(8),
              fc.nat(3).map((i) => 4 * i),
            )
            .map((_) => sw(..._)),
          fc.tuple(fc.constantFrom(0, 1, 4, 5, 6, 7), register, register, fc.nat(LENGTH)),
          fc.tuple(fc.constantFrom(0, 1, 4, 5, 6, 7), register, register, fc.nat(LENGTH)),
          fc.nat(LENGTH),
        );
        let functions = 0;
        fc.assert(
          fc.property(fc.array(one, { minLength: LENGTH, maxLength: LENGTH }), (parts) => {
            const code = parts.map((part, i) => {
              if (typeof part === "number" && part > LENGTH) {
                return part;
              }
              return typeof part === "number"
                ? jal(0, 4 * (part - i))
                : branch(part[0], part[1], part[2], 4 * (part[3] - i));
            });
            const registers = {
              1: 5n,
              2: 1n,
              3: 2n ** 64n - 7n,
              4: 0x7fff_fff0n,
              8: BigInt(RAM + 0x2000),
            };
            functions += compare(
              (after) => new Trial(path, isFull, after, [...code, jal(0, -4 * LENGTH)], registers),
              [500, 1, 333, 1000],
            ).functions;
          }),
          { numRuns: 150 },
        );
        expect(functions).to.be.above(150);
      });

      it("takes the timer interrupt in a loop after the same instruction", () => {
        const loop = [
          addi(T0, T0, 1),
          NOP,
          lw(T1, T2, 0),
          addi(T1, T1, 3),
          sw(T1, T2, 0),
          jal(0, -20),
        ];
        for (let alarm = 900; alarm < 920; alarm++) {
          const { functions } = compare(
            (after) => {
              const trial = new Trial(path, isFull, after, loop, { [T2]: BigInt(RAM + 0x2000) });
              trial.put(HANDLER, [jal(0, 0)]);
              trial.cpu.csrs.write(MIE, 1n << 7n);
              trial.cpu.csrs.write(MSTATUS, 8n);
              trial.cpu.setAlarm(alarm);
              return trial;
            },
            [alarm - 1, 1, 1, 100],
          );
          expect(functions).to.be.above(0);
        }
      });

      it("ends a run in a loop after the instruction that stops the hart", () => {
        const DEVICE = 0x1000_0000;
        const loop = [addi(T0, T0, 1), sw(T0, T1, 0), lw(T2, T1, 0), addi(T2, T2, 1), jal(0, -16)];
        const { functions } = compare(
          (after) => {
            const trial = new Trial(path, isFull, after, loop, { [T1]: BigInt(DEVICE) });
            const { cpu, space } = trial;
            const times: number[] = [];
            const access = () => {
              times.push(cpu.time);
              if (times.length === 500) {
                cpu.stop();
              }
            };
            space.addMmio(DEVICE, 4096, {
              readl: () => (access(), times.at(-1)!),
              writel: access,
            });
            cpu.run(1e6);
            expect(times).to.have.length(500);
            expect(times.slice(0, 4)).to.deep.equal([1, 2, 6, 7]);
            expect(cpu.time).to.equal(times.at(-1)! + 1);
            return trial;
          },
          [100],
        );
        expect(functions).to.be.above(0);
      });

      it("raises an exception in a loop at the instruction that caused it", () => {
        // The loads go on to the end of RAM.
        const loop = [addi(T0, T0, 1), lw(T2, T1, 0), addi(T1, T1, 256), jal(0, -12)];
        const start = { [T1]: BigInt(RAM + 0x4000) };
        const { functions } = compare(
          (after) => {
            const trial = new Trial(path, isFull, after, loop, start);
            trial.put(HANDLER, [jal(0, 0)]);
            return trial;
          },
          [2000],
        );
        expect(functions).to.be.above(0);
        const { cpu } = new Trial(path, isFull, COMPILED, loop, start);
        const rounds = (SIZE - 0x4000) / 256;
        cpu.run(4 * rounds + 2);
        expect(cpu.csrs.read(MCAUSE)).to.equal(5n);
        expect(cpu.csrs.read(MEPC)).to.equal(BigInt(RAM + 4));
        expect(cpu.register(T0)).to.equal(BigInt(rounds + 1));
        expect(cpu.retired).to.equal(4 * rounds + 1);
      });

      it("sees that code changes", () => {
        // A loop that puts the instruction in t1 over its first one when t0 is 100.
        const loop = [
          addi(T0, T0, 1),
          branch(BNE, T0, 10, 8),
          sw(T1, T2, 0),
          isFull ? NOP : FENCE_I,
          branch(BNE, T0, 11, -16),
          jal(0, 0),
        ];
        const registers = {
          [T1]: BigInt(addi(T0, T0, 2)),
          [T2]: BigInt(RAM),
          10: 100n,
          11: 200n,
        };
        const run = (after: number) => {
          const trial = new Trial(path, isFull, after, loop, registers);
          trial.cpu.run(10_000);
          expect(trial.cpu.register(T0)).to.equal(200n);
          return trial;
        };
        // 100 rounds of 1 and 50 of 2; one round has the store, and the last jump is a loop.
        const { functions } = compare((after) => run(after), [100]);
        expect(functions).to.be.above(0);
        const { cpu } = new Trial(path, isFull, COMPILED, loop, registers);
        cpu.run(4 * 150 + 1);
        expect(cpu.pc).to.equal(BigInt(RAM + 20));
      });

      if (isFull) {
        it("sees that it changes itself", () => {
          // A loop that stores instructions to higher and higher addresses, until it is there.
          const loop = [addi(T0, T0, 1), sw(T1, T2, 0), addi(T2, T2, 4), jal(0, -12)];
          const rounds = 100;
          const make = (after: number) => {
            const trial = new Trial(path, isFull, after, [jal(0, 0x1000)], {
              [T1]: BigInt(addi(T0, T0, 2)),
              [T2]: BigInt(RAM + 0x1000 - 4 * rounds),
            });
            trial.put(0x1000, loop);
            return trial;
          };
          expect(compare(make, [800, 100]).functions).to.be.above(0);
          const { cpu } = make(COMPILED);
          // The first instruction changes in the round after these, and the second one in the next.
          cpu.run(1 + 4 * (rounds + 3));
          expect(cpu.register(T0)).to.equal(BigInt(rounds + 1 + 2 + 4));
        });
      }

      it("stops at a breakpoint in a loop", () => {
        const loop = [addi(T0, T0, 1), NOP, jal(0, -8)];
        const trial = new Trial(path, isFull, COMPILED, loop);
        trial.cpu.run(100);
        expect(trial.functions).to.be.above(0);
        trial.cpu.setBreakpoints(new Set([BigInt(RAM + 4)]));
        trial.cpu.run(100);
        expect(trial.cpu.pc).to.equal(BigInt(RAM + 4));
        expect(trial.cpu.time).to.equal(100);
        trial.cpu.setBreakpoints(new Set());
        trial.cpu.run(200);
        expect(trial.cpu.time).to.equal(300);
        expect(trial.cpu.register(T0)).to.equal(100n);
      });

      it("keeps a bounded number of functions", () => {
        const LOOPS = 2500;
        const code = Array.from({ length: LOOPS }, () => [
          addi(T0, 0, 4),
          addi(T0, T0, -1),
          addi(T1, T1, 1),
          branch(BNE, T0, 0, -8),
        ]).flat();
        const trial = new Trial(path, isFull, COMPILED, [...code, jal(0, 0)]);
        trial.cpu.run(LOOPS * 13);
        expect(trial.cpu.register(T1)).to.equal(BigInt(4 * LOOPS));
        expect(trial.cpu.pc).to.equal(BigInt(RAM + 16 * LOOPS));
        expect(trial.functions).to.be.within(100, 2048);
      });
    });
  }
}

describe("compiled code of the full hart in supervisor mode", () => {
  it("has the address that it is mapped to", () => {
    const TABLE = 0x4000;
    const ALIAS = 0x1_0000_0000n;
    const loop = [
      0x0000_0297, // auipc t0, 0
      add(10, 10, T0),
      addi(11, 11, -1),
      branch(BNE, 11, 0, -12),
      addi(11, 0, 100),
      0x0006_0067, // jr a2
    ];
    const make = (after: number) => {
      const trial = new Trial("view", true, after, loop, { 11: 100n, 12: ALIAS });
      // Two superpages map the same code: valid, for reads, writes and fetches, with A and D set.
      for (const entry of [2, 4]) {
        trial.put(TABLE + 8 * entry, [((RAM >>> 12) << 10) | 0xcf]);
      }
      const { csrs } = trial.cpu;
      csrs.write(PMPADDR0, 2n ** 54n - 1n);
      csrs.write(PMPCFG0, 0x1fn);
      csrs.mode = Mode.SUPERVISOR;
      csrs.write(SATP, (8n << 60n) | BigInt((RAM + TABLE) >>> 12));
      return trial;
    };
    expect(compare(make, [300, 102, 200, 202]).functions).to.be.above(0);
    const { cpu } = make(COMPILED);
    cpu.run(2 * 402);
    expect(cpu.pc).to.equal(ALIAS);
    expect(cpu.register(10)).to.equal(100n * (BigInt(RAM) + ALIAS));
  });
});

describe("the values of registers in compiled code", () => {
  it("are those of the interpreter for each operation", () => {
    for (const [one, other] of fc.sample(fc.tuple(operand, operand), { numRuns: 40, seed: 1 })) {
      // All register-register and immediate operations, with both operands in a loop.
      const code: number[] = [];
      for (const funct7 of [0, 1, 0x20]) {
        for (let funct3 = 0; funct3 < 8; funct3++) {
          for (const opcode of [0x33, 0x3b]) {
            code.push(
              ((funct7 << 25) | (11 << 20) | (10 << 15) | (funct3 << 12) | (12 << 7) | opcode) >>>
                0,
            );
            // The sum depends on all results so far.
            code.push(add(13, 13, 12));
          }
        }
      }
      const immediate = Number(signed(other) & 0xfffn) & 0x7ff;
      for (let funct3 = 0; funct3 < 8; funct3++) {
        for (const opcode of [0x13, 0x1b]) {
          code.push(((immediate << 20) | (10 << 15) | (funct3 << 12) | (12 << 7) | opcode) >>> 0);
          code.push(add(13, 13, 12));
        }
      }
      code.push(jal(0, -4 * code.length));
      const { functions } = compare(
        (after) => {
          const trial = new Trial("view", false, after, code, { 10: one, 11: other });
          trial.put(HANDLER, SKIP);
          return trial;
        },
        [3000],
      );
      expect(functions).to.be.above(0);
    }
  });
});
