import { expect } from "chai";
import fc from "fast-check";
import { Pmp } from "../../examples/frontend/cpu/pmp.js";
import { Mode } from "../../examples/frontend/cpu/mode.js";
import { Plic } from "../../examples/frontend/devices/plic.js";
import { Uart } from "../../examples/frontend/devices/uart.js";
import { VirtMachine } from "../../examples/frontend/virt.js";
import {
  amo,
  below,
  csrr,
  ECALL,
  HANDLER,
  machine,
  MCAUSE,
  MEDELEG,
  MEPC,
  MIB,
  MIDELEG,
  MIE,
  MIP,
  MISA,
  MPP_SUPERVISOR,
  MPRV,
  MRET,
  MSTATUS,
  MTVAL,
  NOP,
  PATHS,
  PMPADDR0,
  PMPCFG0,
  RAM,
  SATP,
  SCAUSE,
  SEPC,
  SIP,
  SRET,
  SSTATUS,
  STVAL,
  STVEC,
  T0,
  T1,
  T2,
  TIME,
} from "../support/virt-hart.js";

for (const path of PATHS) {
  describe(`the full hart on the ${path} path`, () => {
    it("has the registers of RV64IMAC with supervisor and user mode", () => {
      const { csrs } = machine(path, []).cpu;
      expect(csrs.read(MISA)).to.equal(0x8000_0000_0014_1105n);
      csrs.write(MSTATUS, 2n ** 64n - 1n);
      expect(csrs.read(MSTATUS)).to.equal(0xa_007e_19aan);
      expect(csrs.read(SSTATUS)).to.equal(0x2_000c_0122n);
      for (const mode of [8n, 9n]) {
        csrs.write(SATP, (mode << 60n) | 5n);
        csrs.write(SATP, 10n << 60n);
        expect(csrs.read(SATP), "Sv39 and Sv48, but not Sv57").to.equal((mode << 60n) | 5n);
      }
    });

    it("executes compressed instructions, also across the end of a page", () => {
      const { cpu, space } = machine(path, []);
      space.writew(RAM + 0xffa, 0x4295); // c.li t0, 5
      space.writew(RAM + 0xffc, 0x0289); // c.addi t0, 2
      space.writew(RAM + 0xffe, 0x8293); // addi t0, t0, 100: the first half
      space.writew(RAM + 0x1000, 0x0642);
      space.writew(RAM + 0x1002, 0x9282); // c.jalr t0
      cpu.pc = BigInt(RAM + 0xffa);
      cpu.run(3);
      expect(cpu.register(T0)).to.equal(107n);
      expect(cpu.pc).to.equal(BigInt(RAM + 0x1002));
      space.writew(RAM + 0x1000, 0x0652); // Now it adds 101.
      cpu.pc = BigInt(RAM + 0xffe);
      cpu.run(2);
      expect(cpu.pc).to.equal(208n);
      expect(cpu.register(1)).to.equal(BigInt(RAM + 0x1004));
    });

    it("sees code that it has written at once, without fence.i", () => {
      // 1: nop; sw t2, 0(t1); j 1b, where t1 is the address of the nop.
      const code = [NOP, 0x0073_2023, 0xff9f_f06f];
      const li = 0x02a0_0293; // li t0, 42
      const { cpu } = machine(path, code, { [T1]: BigInt(RAM), [T2]: BigInt(li) });
      cpu.run(3);
      expect(cpu.register(T0)).to.equal(0n);
      cpu.run(1);
      expect(cpu.register(T0)).to.equal(42n);
    });

    it("goes back in time, and then does the same again", () => {
      // 1: addi t0, t0, 1; sd t0, 0(t1); j 1b
      const code = [0x0012_8293, 0x0053_3023, 0xff9f_f06f];
      const at = RAM + 0x4000;
      const computer = machine(path, code, { [T1]: BigInt(at) });
      const history = computer.history(16 * MIB);
      const state = () => [computer.cpu.time, computer.cpu.hash(), computer.space.readl(at)];
      const states = [10, 20, 30, 40].map((count) => {
        const before = state();
        history.take();
        computer.cpu.run(count);
        return before;
      });
      expect(new Set(states.map(String)).size).to.equal(4);
      history.back(2);
      expect(state()).to.deep.equal(states[1]);
      computer.cpu.run(20);
      expect(state()).to.deep.equal(states[2]);
      history.back(9);
      expect(state()).to.deep.equal(states[0]);
    });

    it("makes unaligned accesses", () => {
      const at = BigInt(RAM + 0x0fff);
      const { cpu, space } = machine(path, [0x0073_3023, 0x0013_6283], { [T1]: at, [T2]: -2n });
      cpu.run(2);
      expect(space.readl(RAM + 0x1000)).to.equal(0xffff_ffff);
      expect(cpu.register(T0)).to.equal(0xffff_ffffn);
    });

    const word = (value: bigint) => BigInt.asUintN(64, BigInt.asIntN(32, value));
    const A = 0x8000_0000_8000_0001n;
    const B = 0x7fff_ffff_7fff_fff0n;
    const OPERATIONS: readonly [string, number, (a: bigint, b: bigint, bits: number) => bigint][] =
      [
        ["add", 0, (a, b) => a + b],
        ["swap", 1, (_, b) => b],
        ["xor", 4, (a, b) => a ^ b],
        ["or", 8, (a, b) => a | b],
        ["and", 12, (a, b) => a & b],
        ["min", 16, (a, b, bits) => (BigInt.asIntN(bits, a) < BigInt.asIntN(bits, b) ? a : b)],
        ["max", 20, (a, b, bits) => (BigInt.asIntN(bits, a) < BigInt.asIntN(bits, b) ? b : a)],
        ["minu", 24, (a, b, bits) => (BigInt.asUintN(bits, a) < BigInt.asUintN(bits, b) ? a : b)],
        ["maxu", 28, (a, b, bits) => (BigInt.asUintN(bits, a) < BigInt.asUintN(bits, b) ? b : a)],
      ];
    for (const [name, funct5, compute] of OPERATIONS) {
      it(`does amo${name} on words and double words`, () => {
        for (const [a, b] of [
          [A, B],
          [B, A],
        ] as const) {
          const code = [amo(funct5, 3, T0, T2), amo(funct5, 2, 8, T2)];
          const at = RAM + 0x2000;
          const { cpu, space } = machine(path, code, { [T1]: BigInt(at), [T2]: b });
          space.writeq(at, a);
          cpu.run(1);
          const wide = BigInt.asUintN(64, compute(a, b, 64));
          expect(space.readq(at)).to.equal(wide);
          expect(cpu.register(T0)).to.equal(a);
          cpu.run(1);
          expect(BigInt(space.readl(at))).to.equal(BigInt.asUintN(32, compute(wide, b, 32)));
          expect(space.readl(at + 4)).to.equal(Number(wide >> 32n));
          expect(cpu.register(8)).to.equal(word(wide));
        }
      });
    }

    it("stores conditionally once after a load that reserved the address", () => {
      const code = [amo(2, 2, T0, 0), amo(3, 2, 8, T2), amo(3, 2, 9, T2)];
      const at = RAM + 0x2000;
      const { cpu, space } = machine(path, code, { [T1]: BigInt(at), [T2]: 7n });
      space.writel(at, 0xffff_ffff);
      cpu.run(3);
      expect(cpu.register(T0)).to.equal(2n ** 64n - 1n);
      expect(cpu.register(8), "stored").to.equal(0n);
      expect(cpu.register(9), "not stored").to.equal(1n);
      expect(space.readl(at)).to.equal(7);
    });

    it("raises the exceptions of a store for an atomic operation, and of a load for lr", () => {
      for (const [instruction, at, cause] of [
        [amo(0, 2, T0, T2), RAM + 2, 6n],
        [amo(0, 2, T0, T2), 0x4000_0000, 7n],
        [amo(2, 2, T0, 0), RAM + 2, 4n],
        [amo(2, 3, T0, 0), 0x4000_0000, 5n],
        [amo(3, 3, T0, T2), RAM + 4, 6n],
        [amo(2, 3, T0, T2), RAM, 2n],
        [amo(5, 3, T0, T2), RAM, 2n],
      ] as const) {
        const { cpu } = machine(path, [instruction], { [T1]: BigInt(at), [T0]: 3n });
        cpu.run(1);
        expect(cpu.csrs.read(MCAUSE), instruction.toString(16)).to.equal(cause);
        expect(cpu.csrs.read(MTVAL)).to.equal(cause === 2n ? BigInt(instruction) : BigInt(at));
        expect(cpu.register(T0)).to.equal(3n);
      }
    });

    it("refuses registers and instructions of higher modes, and allows those of the mode", () => {
      const legal = 99n;
      for (const [mode, instruction, cause] of [
        [Mode.SUPERVISOR, csrr(T0, MSTATUS), 2n],
        [Mode.SUPERVISOR, csrr(T0, SSTATUS), legal],
        [Mode.SUPERVISOR, csrr(T0, TIME), 2n], // mcounteren is 0.
        [Mode.SUPERVISOR, MRET, 2n],
        [Mode.SUPERVISOR, 0x1200_0073, legal], // sfence.vma
        [Mode.SUPERVISOR, ECALL, 9n],
        [Mode.USER, csrr(T0, SSTATUS), 2n],
        [Mode.USER, SRET, 2n],
        [Mode.USER, 0x1200_0073, 2n],
        [Mode.USER, 0x1050_0073, 2n], // wfi
        [Mode.USER, ECALL, 8n],
        [Mode.USER, NOP, legal],
      ] as const) {
        const { cpu } = below(path, mode, [instruction]);
        const what = `${instruction.toString(16)} in mode ${mode}`;
        if (cause === legal) {
          expect(cpu.csrs.mode, what).to.equal(mode);
          expect(cpu.pc, what).to.equal(BigInt(RAM + 8));
        } else {
          expect(cpu.csrs.read(MCAUSE), what).to.equal(cause);
          expect(cpu.csrs.mode, what).to.equal(Mode.MACHINE);
          expect((cpu.csrs.read(MSTATUS)! >> 11n) & 3n, what).to.equal(BigInt(mode));
          expect(cpu.pc, what).to.equal(BigInt(HANDLER));
        }
      }
    });

    it("delegates exceptions and interrupts, and returns from them", () => {
      const { cpu, space } = below(path, Mode.USER, []);
      const { csrs } = cpu;
      csrs.write(STVEC, BigInt(HANDLER) | 1n);
      csrs.write(MEDELEG, 2n ** 64n - 1n);
      expect(csrs.read(MEDELEG)).to.equal(0xb3ffn);
      csrs.write(MIDELEG, 2n ** 64n - 1n);
      expect(csrs.read(MIDELEG)).to.equal(0x222n);
      space.writel(RAM + 4, ECALL);
      space.writel(HANDLER, SRET);
      cpu.run(1);
      expect(csrs.mode).to.equal(Mode.SUPERVISOR);
      expect(csrs.read(SCAUSE)).to.equal(8n);
      expect(csrs.read(SEPC)).to.equal(BigInt(RAM + 4));
      expect(csrs.read(STVAL)).to.equal(0n);
      expect(cpu.pc).to.equal(BigInt(HANDLER));
      cpu.run(1);
      expect(csrs.mode).to.equal(Mode.USER);
      expect(cpu.pc).to.equal(BigInt(RAM + 4));

      space.writel(HANDLER + 4 * 5, NOP);
      csrs.write(MIE, 0x222n);
      csrs.write(MIP, 0x20n);
      expect(csrs.read(SIP)).to.equal(0x20n);
      cpu.run(1);
      expect(csrs.read(SCAUSE)).to.equal((1n << 63n) | 5n);
      expect(csrs.read(SEPC)).to.equal(BigInt(RAM + 4));
      expect(cpu.pc, "after the nop at its vector").to.equal(BigInt(HANDLER + 4 * 6));
    });

    it("does not keep the interrupt of a device pending when machine mode sets another one", () => {
      const setSoftware = ((MIP << 20) | (2 << 15) | 0x6073) >>> 0; // csrsi mip, 2
      const { cpu } = machine(path, [setSoftware]);
      cpu.setInterrupt(9, true);
      cpu.run(1);
      expect(cpu.csrs.read(MIP)).to.equal(0x202n);
      cpu.setInterrupt(9, false);
      expect(cpu.csrs.read(MIP)).to.equal(2n);
    });

    it("protects memory from the modes below machine mode, and by mstatus.MPRV from itself", () => {
      const load = 0x0003_3283; // ld t0, 0(t1)
      const store = 0x0053_3023; // sd t0, 0(t1)
      const secret = BigInt(RAM + 0x4000);
      const made = below(path, Mode.SUPERVISOR, [], { [T1]: secret });
      const { cpu, space } = made;
      // Entry 0 denies 4096 bytes, entry 1 allows everything.
      cpu.csrs.write(PMPADDR0 + 1, 2n ** 54n - 1n);
      cpu.csrs.write(PMPADDR0, (secret >> 2n) | 0x1ffn);
      cpu.csrs.write(PMPCFG0, 0x1f18n);
      const attempt = (instruction: number, address: bigint) => {
        space.writel(RAM + 4, instruction);
        cpu.x[2 * T1] = Number(BigInt.asIntN(32, address));
        cpu.csrs.write(MCAUSE, 0n);
        cpu.csrs.write(MEPC, BigInt(RAM + 4));
        cpu.csrs.write(MSTATUS, MPP_SUPERVISOR);
        cpu.csrs.mode = Mode.MACHINE;
        cpu.pc = BigInt(RAM);
        cpu.run(2);
        return cpu.csrs.read(MCAUSE);
      };
      expect(attempt(load, secret), "a load").to.equal(5n);
      expect(cpu.csrs.read(MTVAL)).to.equal(secret);
      expect(attempt(store, secret + 0xff8n), "a store").to.equal(7n);
      expect(attempt(load, secret - 8n), "below").to.equal(0n);
      expect(attempt(load, secret + 0x1000n), "above").to.equal(0n);
      expect(attempt(load, secret - 4n), "across the start").to.equal(5n);
      expect(attempt(0x0003_0067, secret), "a jump, which is allowed").to.equal(0n);
      cpu.run(1);
      expect(cpu.csrs.read(MCAUSE), "the fetch").to.equal(1n);

      // Machine mode may load there, unless it does so with the rights of supervisor mode.
      space.writel(RAM, load);
      cpu.csrs.mode = Mode.MACHINE;
      cpu.pc = BigInt(RAM);
      cpu.csrs.write(MSTATUS, MPP_SUPERVISOR);
      cpu.x[2 * T1] = Number(BigInt.asIntN(32, secret));
      cpu.run(1);
      expect(cpu.pc).to.equal(BigInt(RAM + 4));
      cpu.pc = BigInt(RAM);
      cpu.csrs.write(MSTATUS, MPP_SUPERVISOR | MPRV);
      cpu.run(1);
      expect(cpu.csrs.read(MCAUSE)).to.equal(5n);
    });
  });
}

/** Any code, but usually instructions of the base, and atomic, system and compressed ones. */
const anyCode = fc
  .tuple(
    fc.integer({ min: 0, max: 0xffff_ffff }),
    fc.constantFrom(0x13, 0x33, 0x03, 0x23, 0x63, 0x6f, 0x67, 0x2f, 0x2f, 0x73, 0x73),
    fc.nat(2),
  )
  .map(([bits, opcode, kind]) => (kind === 0 ? bits : ((bits & ~0x7f) | opcode) >>> 0));

describe("the full hart on any code", () => {
  it("has the same results on both paths, and never throws for what the guest does", function () {
    this.timeout(60_000);
    const LENGTH = 0x2000;
    const pointer = fc.oneof(
      fc.bigInt({ min: BigInt(RAM) - 16n, max: BigInt(RAM + LENGTH) }),
      fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    );
    let traps = 0;
    let below = 0;
    fc.assert(
      fc.property(
        fc.array(anyCode, { minLength: 64, maxLength: 96 }),
        fc.array(pointer, { minLength: 31, maxLength: 31 }),
        fc.constantFrom(Mode.MACHINE, Mode.SUPERVISOR, Mode.USER),
        (code, values, mode) => {
          const registers = Object.fromEntries(values.map((value, i) => [i + 1, value]));
          const [view, native] = PATHS.map((path) => {
            const made = machine(path, [MRET, ...code], registers);
            const { cpu, space } = made;
            // The handler skips 2 bytes and goes on.
            [csrr(31, MEPC), 0x002f_8f93, ((MEPC << 20) | 0x000f_9073) >>> 0, MRET].forEach(
              (instruction, i) => space.writel(HANDLER + 4 * i, instruction),
            );
            cpu.csrs.write(PMPADDR0, 2n ** 54n - 1n);
            cpu.csrs.write(PMPCFG0, 0x1fn);
            cpu.csrs.write(MEPC, BigInt(RAM + 4));
            cpu.csrs.write(MSTATUS, BigInt(mode) << 11n);
            cpu.run(300);
            const ram = space.read(RAM, LENGTH);
            const { retired, time } = cpu;
            const outcome = { hash: cpu.hash(), retired, time, device: made.log.hash, ram };
            traps += time - retired;
            below += cpu.csrs.mode === Mode.MACHINE ? 0 : 1;
            return outcome;
          });
          expect(view).to.deep.equal(native);
        },
      ),
      { numRuns: 100 },
    );
    // The test needs both traps and instructions between them, in machine mode and below it. On
    // each path, 9 to 21 of 100 programs end below it.
    expect(traps).to.be.within(1000, 80_000);
    expect(below).to.be.above(4);
  });
});

describe("the virt machine", () => {
  it("refuses RAM of a wrong size and images that do not fit", () => {
    const firmware = new Uint8Array(4);
    const make = (options: object) => () => new VirtMachine({ path: "view", firmware, ...options });
    for (const ramSize of [0, -1, 4 * MIB, 9 * MIB, 8.5, NaN, Infinity]) {
      expect(make({ ramSize }), `${ramSize}`).to.throw(RangeError, "size of RAM");
    }
    expect(make({ ramSize: 8 * MIB, kernel: new Uint8Array(5 * MIB) })).to.throw(RangeError, "fit");
    expect(make({ firmware: new Uint8Array(2 * MIB + 1), kernel: firmware })).to.throw(RangeError);
  });

  it("passes the number of the hart, the device tree and the next stage to the firmware", () => {
    const made = new VirtMachine({ path: "view", ramSize: 8 * MIB, firmware: new Uint8Array(4) });
    const { cpu, space } = made;
    cpu.run(6);
    expect(cpu.pc).to.equal(BigInt(RAM));
    expect(cpu.register(10)).to.equal(0n);
    expect(space.readl(cpu.register(11)), "magic, in big-endian").to.equal(0xedfe_0dd0);
    expect(space.readq(cpu.register(12))).to.equal(0x4942_534fn);
    expect(space.readq(cpu.register(12) + 16n)).to.equal(BigInt(RAM + 2 * MIB));
  });

  it("stops when the guest asks for a reset", () => {
    const reset = machine("view", [0x0053_2023], { [T1]: 0x10_0000n, [T0]: 0x7777n });
    expect(reset.cpu.run(10)).to.be.false;
    expect(reset.wantsReset).to.be.true;
    expect(reset.status).to.equal(null);
  });
});

describe("the physical memory protection", () => {
  it("keeps locked entries, and the address below a locked top of range", () => {
    const pmp = new Pmp();
    pmp.write(PMPADDR0, 0x100n);
    pmp.write(PMPADDR0 + 1, 0x200n);
    pmp.write(PMPCFG0, 0x8900n); // Entry 1: locked, TOR, read.
    pmp.write(PMPADDR0, 0n);
    pmp.write(PMPADDR0 + 1, 0n);
    pmp.write(PMPCFG0, 0n);
    expect(pmp.read(PMPADDR0)).to.equal(0x100n);
    expect(pmp.read(PMPADDR0 + 1)).to.equal(0x200n);
    expect(pmp.read(PMPCFG0)).to.equal(0x8900n);
    for (const machineMode of [false, true]) {
      expect(pmp.rangeAt(0x400n, machineMode)).to.deep.equal({
        start: 0x400n,
        end: 0x800n,
        rights: 1,
      });
    }
    expect(pmp.rangeAt(0x3ffn, false).rights).to.equal(0);
    expect(pmp.rangeAt(0x3ffn, true).rights).to.equal(7);
  });

  it("matches 4 bytes, powers of two and everything", () => {
    const pmp = new Pmp();
    pmp.write(PMPADDR0, 0x40n);
    pmp.write(PMPCFG0, 0x11n);
    expect(pmp.rangeAt(0x102n, false)).to.deep.equal({ start: 0x100n, end: 0x104n, rights: 1 });
    pmp.write(PMPADDR0, 0x47n);
    pmp.write(PMPCFG0, 0x1bn);
    expect(pmp.rangeAt(0x102n, false)).to.deep.equal({ start: 0x100n, end: 0x140n, rights: 3 });
    pmp.write(PMPADDR0, 2n ** 54n - 1n);
    expect(pmp.rangeAt(2n ** 56n - 1n, false).rights).to.equal(3);
  });
});

describe("the interrupt controller for devices", () => {
  it("gives the enabled interrupt with the highest priority to its context", () => {
    const outputs = [false, false];
    const plic = new Plic(
      (pending) => (outputs[0] = pending),
      (pending) => (outputs[1] = pending),
    );
    plic.writel(4 * 10, 3);
    plic.writel(4 * 40, 9);
    expect(plic.readl(4 * 40), "priorities have 3 bits").to.equal(1);
    plic.setLevel(10, true);
    plic.setLevel(40, true);
    expect(plic.readl(0x1000)).to.equal(1 << 10);
    expect(plic.readl(0x1004)).to.equal(1 << 8);
    expect(outputs).to.deep.equal([false, false]);
    plic.writel(0x2080, 0xffff_ffff);
    plic.writel(0x2084, 0xffff_ffff);
    expect(plic.readl(0x2080), "source 0 does not exist").to.equal(0xffff_fffe);
    expect(outputs).to.deep.equal([false, true]);
    plic.writel(0x20_1000, 3);
    expect(outputs[1], "the threshold").to.be.false;
    plic.writel(0x20_1000, 0);
    expect(plic.readl(0x20_1004)).to.equal(10);
    expect(plic.readl(0x20_1004)).to.equal(40);
    expect(plic.readl(0x20_1004)).to.equal(0);
    expect(outputs[1]).to.be.false;
    plic.setLevel(10, false);
    plic.writel(0x20_1004, 10);
    plic.writel(0x20_1004, 40);
    expect(plic.readl(0x20_1004), "the level is still high").to.equal(40);
    expect(plic.readl(0x20_0004), "the other context enables nothing").to.equal(0);
  });
});

describe("the serial port", () => {
  it("receives text, and interrupts when it has some, or when it can send", () => {
    let level = false;
    const uart = new Uart(
      () => undefined,
      (now) => (level = now),
    );
    expect(uart.readb(5)).to.equal(0x60);
    uart.receive("hi");
    expect(level).to.be.false;
    uart.writeb(1, 3);
    expect(level).to.be.true;
    expect(uart.readb(2)).to.equal(4);
    expect(uart.readb(5)).to.equal(0x61);
    expect([uart.readb(0), uart.readb(0), uart.readb(0)]).to.deep.equal([0x68, 0x69, 0]);
    expect(uart.readb(2), "the transmitter is empty").to.equal(2);
    expect(level).to.be.false;
    expect(uart.readb(2)).to.equal(1);
    uart.writeb(0, 0x41);
    expect(level).to.be.true;
    expect(uart.output).to.equal("A");
  });

  it("has a divisor behind the latch bit", () => {
    const uart = new Uart();
    uart.writeb(3, 0x83);
    uart.writeb(0, 0x34);
    uart.writeb(1, 0x12);
    expect([uart.readb(0), uart.readb(1)]).to.deep.equal([0x34, 0x12]);
    uart.writeb(3, 3);
    expect([uart.readb(0), uart.readb(1)]).to.deep.equal([0, 0]);
    expect(uart.output).to.equal("");
  });
});
