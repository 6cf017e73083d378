import { expect } from "chai";
import { Mode } from "../../examples/frontend/cpu/mode.js";
import type { VirtMachine } from "../../examples/frontend/virt.js";
import {
  amo,
  below,
  MCAUSE,
  MTVAL,
  PATHS,
  PMPADDR0,
  PMPCFG0,
  RAM,
  SATP,
  SSTATUS,
  T0,
  T1,
  T2,
} from "../support/virt-hart.js";

const SV39 = 8n << 60n;
const LOAD = 0x0003_2283; // lw t0, 0(t1)
const STORE = 0x0073_2023; // sw t2, 0(t1)
const JUMP = 0x0003_0067; // jalr zero, 0(t1)
const SFENCE = 0x1200_0073; // sfence.vma
const SUM = 1n << 18n;
const MXR = 1n << 19n;

// Rights of a page table entry.
const V = 1;
const R = 2;
const W = 4;
const X = 8;
const U = 16;
const A = 64;
const D = 128;

/**
 * The tables of three levels, the pages of data, and where the entries of the last table map them.
 */
const TABLES = RAM + 0x10_0000;
const LAST_TABLE = TABLES + 0x2000;
const DATA = RAM + 0x20_0000;
const VA = 0x40_0000_0000 - 0x20_0000;

function entry(gpa: number, rights: number): bigint {
  return ((BigInt(gpa) >> 12n) << 10n) | BigInt(rights);
}

/** A hart with Sv39: RAM is a superpage at its own address, and `pages` are at {@link VA}. */
function paged(
  path: "view" | "native",
  mode: Mode,
  pages: readonly bigint[],
  status = 0n,
): VirtMachine {
  const made = below(path, mode, []);
  const { space, cpu } = made;
  const user = mode === Mode.USER ? U : 0;
  space.writeq(TABLES + 8 * 2, entry(RAM, V | R | W | X | A | D | user));
  space.writeq(TABLES + 8 * 255, entry(TABLES + 0x1000, V));
  space.writeq(TABLES + 0x1000 + 8 * 511, entry(LAST_TABLE, V));
  pages.forEach((page, i) => space.writeq(LAST_TABLE + 8 * i, page));
  cpu.csrs.write(SATP, SV39 | (BigInt(TABLES) >> 12n));
  cpu.csrs.write(SSTATUS, status);
  return made;
}

/** Executes an instruction. @returns the cause of the exception, or null. */
function attempt(
  { cpu, space }: VirtMachine,
  instruction: number,
  va: number | bigint,
  value = 0,
): bigint | null {
  const { mode } = cpu.csrs;
  space.writel(RAM + 0x100, instruction);
  cpu.pc = BigInt(RAM + 0x100);
  cpu.csrs.write(MCAUSE, 99n);
  cpu.x[2 * T1] = Number(BigInt.asIntN(32, BigInt(va)));
  cpu.x[2 * T1 + 1] = Number(BigInt.asIntN(32, BigInt(va) >> 32n));
  cpu.x[2 * T2] = value;
  cpu.run(1);
  if (instruction === JUMP) {
    cpu.run(1);
  }
  const cause = cpu.csrs.read(MCAUSE)!;
  if (cause === 99n) {
    return null;
  }
  cpu.csrs.mode = mode;
  cpu.changeMode(mode, false, false);
  return cause;
}

for (const path of PATHS) {
  describe(`the page tables of the full hart on the ${path} path`, () => {
    it("translate loads, stores and fetches, and set the accessed and dirty bits", () => {
      const made = paged(path, Mode.SUPERVISOR, [entry(DATA, V | R | W | X)]);
      const { cpu, space } = made;
      space.writel(DATA + 4, 0x1234_5678);
      expect(attempt(made, LOAD, VA + 4)).to.equal(null);
      expect(cpu.register(T0)).to.equal(0x1234_5678n);
      expect(space.readq(LAST_TABLE)).to.equal(entry(DATA, V | R | W | X | A));
      expect(attempt(made, STORE, VA + 8, 77)).to.equal(null);
      expect(space.readl(DATA + 8)).to.equal(77);
      expect(space.readq(LAST_TABLE)).to.equal(entry(DATA, V | R | W | X | A | D));
      space.writel(DATA, 0x02a0_0293); // li t0, 42
      expect(attempt(made, JUMP, VA)).to.equal(null);
      expect(cpu.register(T0)).to.equal(42n);
      expect(attempt(made, amo(0, 2, T0, T2), VA + 8, 3)).to.equal(null);
      expect(space.readl(DATA + 8)).to.equal(80);
    });

    it("refuse what an entry does not allow, with the address in the exception", () => {
      const rows = [
        [LOAD, 0, 13n],
        [STORE, V | R, 15n],
        [amo(0, 2, T0, T2), V | R, 15n],
        [amo(2, 2, T0, 0), V | X, 13n],
        [JUMP, V | R | W, 12n],
        [LOAD, V | W, 13n],
        [LOAD, V | R | U, 13n],
        [JUMP, V | R | X | U, 12n],
      ] as const;
      for (const [instruction, rights, cause] of rows) {
        const made = paged(path, Mode.SUPERVISOR, [entry(DATA, rights)]);
        expect(attempt(made, instruction, VA + 12), instruction.toString(16)).to.equal(cause);
        expect(made.cpu.csrs.read(MTVAL)).to.equal(BigInt(VA + 12));
      }
      const user = paged(path, Mode.USER, [entry(DATA, V | R | W | X)]);
      expect(attempt(user, LOAD, VA)).to.equal(13n);
      // An address whose upper bits do not all equal bit 38.
      for (const va of [0x40_0000_0000n, 2n ** 62n, -(2n ** 40n)]) {
        expect(attempt(user, LOAD, va)).to.equal(13n);
        expect(user.cpu.csrs.read(MTVAL)).to.equal(BigInt.asUintN(64, va));
      }
    });

    it("let supervisor mode access pages of user mode with SUM, and read code with MXR", () => {
      const pages = [entry(DATA, V | R | W | U), entry(DATA, V | X)];
      expect(attempt(paged(path, Mode.SUPERVISOR, pages), LOAD, VA)).to.equal(13n);
      expect(attempt(paged(path, Mode.SUPERVISOR, pages, SUM), LOAD, VA)).to.equal(null);
      expect(attempt(paged(path, Mode.SUPERVISOR, pages), LOAD, VA + 0x1000)).to.equal(13n);
      expect(attempt(paged(path, Mode.SUPERVISOR, pages, MXR), LOAD, VA + 0x1000)).to.equal(null);
    });

    it("keep a translation until sfence.vma", () => {
      for (const fence of [SFENCE, SFENCE | (T1 << 15), SFENCE | (T0 << 20)]) {
        const made = paged(path, Mode.SUPERVISOR, [entry(DATA, V | R)]);
        const { cpu, space } = made;
        space.writel(DATA, 1);
        space.writel(DATA + 0x1000, 2);
        attempt(made, LOAD, VA);
        space.writeq(LAST_TABLE, entry(DATA + 0x1000, V | R));
        cpu.x[2 * T0] = 0;
        cpu.x[2 * T0 + 1] = 0;
        attempt(made, fence, VA);
        attempt(made, LOAD, VA);
        expect(cpu.register(T0), fence.toString(16)).to.equal(2n);
      }
    });

    it("make accesses that touch two pages, or refuse them before a byte changes", () => {
      const pages = [entry(DATA + 0x3000, V | R | W), entry(DATA, V | R | W), entry(DATA, V | R)];
      const made = paged(path, Mode.SUPERVISOR, pages);
      const { cpu, space } = made;
      expect(attempt(made, STORE, VA + 0xffe, 0x4433_2211)).to.equal(null);
      expect(space.readw(DATA + 0x3ffe)).to.equal(0x2211);
      expect(space.readw(DATA)).to.equal(0x4433);
      expect(attempt(made, LOAD, VA + 0xffe)).to.equal(null);
      expect(cpu.register(T0)).to.equal(0x4433_2211n);
      expect(attempt(made, STORE, VA + 0x1ffe, -1)).to.equal(15n);
      expect(cpu.csrs.read(MTVAL)).to.equal(BigInt(VA + 0x2000));
      expect(space.readw(DATA + 0xffe)).to.equal(0);
      expect(attempt(made, LOAD, VA + 0x2ffe)).to.equal(13n);
      expect(cpu.csrs.read(MTVAL)).to.equal(BigInt(VA + 0x3000));
    });

    it("give no right that the physical memory protection denies", () => {
      const made = paged(path, Mode.SUPERVISOR, [entry(DATA, V | R | W), entry(0x1000, V | R)]);
      const { cpu } = made;
      expect(attempt(made, LOAD, VA + 0x1000), "the ROM").to.equal(null);
      cpu.csrs.write(PMPADDR0, BigInt(DATA + 0x7ff) >> 2n); // 4 KiB
      cpu.csrs.write(PMPADDR0 + 1, 2n ** 54n - 1n);
      cpu.csrs.write(PMPCFG0, 0x1f19n);
      expect(attempt(made, LOAD, VA)).to.equal(null);
      expect(attempt(made, STORE, VA)).to.equal(7n);
      expect(cpu.csrs.read(MTVAL)).to.equal(BigInt(VA));
    });

    it("are accessed with the rights that the protection gives to supervisor mode", () => {
      const CLEAN = V | R | W | X;
      const READY = CLEAN | A | D;
      // The configuration of the last table's page, the entry, and the cause of each exception.
      const rows = [
        { rights: 0, flags: READY, causes: [5n, 7n, 1n] },
        { rights: X, flags: READY, causes: [5n, 7n, 1n] },
        { rights: R, flags: READY, causes: [null, null, null] },
        { rights: R, flags: CLEAN, causes: [5n, 7n, 1n] },
        { rights: R, flags: CLEAN | A, causes: [null, 7n, null] },
        { rights: R | W, flags: CLEAN, causes: [null, null, null] },
      ] as const;
      for (const { rights, flags, causes } of rows) {
        for (const [i, instruction] of [LOAD, STORE, JUMP].entries()) {
          const made = paged(path, Mode.SUPERVISOR, [entry(DATA, flags)]);
          const { cpu, space } = made;
          space.writel(DATA, 0x02a0_0293); // li t0, 42
          cpu.csrs.write(PMPADDR0, BigInt(LAST_TABLE + 0x7ff) >> 2n); // 4 KiB
          cpu.csrs.write(PMPADDR0 + 1, 2n ** 54n - 1n);
          // R, W and X have other bits in a configuration than in an entry of a page table.
          cpu.csrs.write(PMPCFG0, 0x1f18n | BigInt(rights >> 1));
          const cause = attempt(made, instruction, VA);
          expect(cause, `${rights} ${flags} ${i}`).to.equal(causes[i]);
          if (cause !== null) {
            expect(cpu.csrs.read(MTVAL)).to.equal(BigInt(VA));
            expect(space.readq(LAST_TABLE)).to.equal(entry(DATA, flags));
          }
        }
      }
    });

    it("cannot hang the host, or make it access what is no memory", () => {
      const made = paged(path, Mode.SUPERVISOR, [entry(0x4000_0000, V | R | W), entry(RAM, V)]);
      const { space } = made;
      expect(attempt(made, LOAD, VA), "a hole").to.equal(5n);
      expect(attempt(made, STORE, VA)).to.equal(7n);
      expect(attempt(made, LOAD, VA + 0x1000), "no leaf at the last level").to.equal(13n);
      // A table that is its own entry, and one in a hole.
      space.writeq(TABLES, entry(TABLES, V));
      expect(attempt(made, LOAD, 0)).to.equal(13n);
      space.writeq(TABLES, entry(0x4000_0000, V));
      expect(attempt(made, LOAD, 0)).to.equal(5n);
      expect(attempt(made, STORE, 0)).to.equal(7n);
      space.writeq(TABLES, 2n ** 54n - 1n - 0xffn + 1n);
      expect(attempt(made, LOAD, 0)).to.be.oneOf([5n, 13n]);
    });
  });
}
