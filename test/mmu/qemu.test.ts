import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { Aarch64PageTables, Mmu, RiscvPageTables, type Walk } from "pound-guest-memory/mmu";
import {
  AARCH64,
  aarch64Cases,
  CASE_COUNT,
  type GuestLayout,
  type PageTableCase,
  RISCV,
  riscvCases,
} from "../support/page-table-cases.js";

/** The page tables of an architecture, as the cases set them up. */
interface Walker {
  readonly walk: Walk;
  readonly select: (test: PageTableCase) => number;
  /** The outcome of an access whose translation leads to no memory. */
  readonly noMemory: Readonly<Record<PageTableCase["kind"], number>>;
}

const WALKERS: Record<string, [GuestLayout, PageTableCase[], (space: AddressSpace) => Walker]> = {
  riscv64: [
    RISCV,
    riscvCases(CASE_COUNT),
    (space) => {
      const tables = new RiscvPageTables(space, { updatesBits: true });
      return {
        walk: tables.walk,
        select: ({ registers, user }) => {
          tables.satp = registers[0];
          const [sum, mxr] = [18n, 19n].map((bit) => ((registers[1] >> bit) & 1n) === 1n);
          return RiscvPageTables.modeOf({ user, sum: sum!, mxr: mxr! });
        },
        noMemory: { fetch: 1, read: 5, write: 7 },
      };
    },
  ],
  aarch64: [
    AARCH64,
    aarch64Cases(CASE_COUNT),
    (space) => {
      const tables = new Aarch64PageTables(space);
      return {
        walk: tables.walk,
        select: ({ registers, control, user, pan }) => {
          tables.ttbr0 = registers[0];
          // T1SZ and TG1 are those of the guest.
          tables.tcr = registers[1] | (16n << 16n) | (2n << 30n);
          tables.sctlr = control | 1n;
          return Aarch64PageTables.modeOf({ user, pan });
        },
        noMemory: { fetch: 0x10, read: 0x10, write: 0x10 },
      };
    },
  ],
};

/** The line that the guest prints for a case. */
function outcomeOf(space: AddressSpace, mmu: Mmu, walker: Walker, test: PageTableCase): string {
  for (const [gpa, value] of test.writes) {
    space.writeq(gpa, value);
  }
  mmu.select(walker.select(test));
  mmu.flushAll();
  const result =
    test.kind === "read"
      ? mmu.tryReadb(test.va, new Uint8Array(1))
      : test.kind === "write"
        ? mmu.tryWriteb(test.va, 0)
        : mmu.tryFetchb(test.va, new Uint8Array(1));
  const fault = mmu.lastFault;
  const outcome =
    result === 0
      ? 0xff
      : fault!.reason === "translation"
        ? (fault!.guestFault as number)
        : walker.noMemory[test.kind];
  return `${outcome.toString(16)} ${space.readq(test.writes.at(-1)![0]).toString(16)}`;
}

describe("the page tables, compared with QEMU", () => {
  for (const [name, [layout, cases, makeWalker]] of Object.entries(WALKERS)) {
    it(`of ${name} give the same outcomes, and leave the same descriptors`, () => {
      const file = join(__dirname, `../fixtures/page-tables/${name}.txt`);
      const lines = readFileSync(file, "latin1").trimEnd().split("\n");
      expect(lines.length).to.equal(cases.length);
      const space = new AddressSpace();
      space.addRam(layout.ram, 16 * 1024 * 1024);
      const walker = makeWalker(space);
      const mmu = new Mmu(space, { walk: walker.walk });
      const different = cases.flatMap((test, i) => {
        const outcome = outcomeOf(space, mmu, walker, test);
        return outcome === lines[i] ? [] : [{ i, ...test, qemu: lines[i], outcome }];
      });
      expect(different).to.deep.equal([]);
      // Each way in which an access can end is among them.
      const outcomes = new Set(lines.map((line) => line.split(" ")[0]));
      expect(outcomes.size).to.be.greaterThan(6);
    });
  }
});
