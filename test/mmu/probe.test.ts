import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { Aarch64PageTables, Mmu, RiscvPageTables, type Walk } from "pound-guest-memory/mmu";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const RAM = 0x8000_0000;
const PAGE = 4096;
const PAGE_BYTES = BigInt(PAGE);
const [V, R, W, U] = [1, 2, 4, 16];

function spaceWithRam(endian: "little" | "big" = "little"): AddressSpace {
  const space = new AddressSpace({ endian });
  space.addRam(RAM, 4 * 1024 * 1024);
  return space;
}

/** Sv39 with a root table at the start of RAM, and a table of the last level 2 pages above. */
function riscv(space: AddressSpace) {
  const tables = new RiscvPageTables(space, { updatesBits: true });
  tables.satp = (8n << 60n) | (BigInt(RAM) >> 12n);
  const entry = (gpa: number, flags: number) => ((BigInt(gpa) >> 12n) << 10n) | BigInt(flags);
  space.writeq(RAM, entry(RAM + PAGE, V));
  space.writeq(RAM + PAGE, entry(RAM + 2 * PAGE, V));
  return { tables, mmu: new Mmu(space, { walk: tables.walk }), entry };
}

describe("Mmu.probe", () => {
  for (const endian of ["little", "big"] as const) {
    it(`finds pages of RISC-V whatever the rights, and sets no bit (${endian} endian)`, () => {
      const space = spaceWithRam(endian);
      const { mmu, entry } = riscv(space);
      const at = RAM + 2 * PAGE;
      space.writeq(at + 8, entry(RAM + 0x10_0000, V | R | W | U));
      space.writeq(RAM + 16, entry(0x4000_0000, V | W | R));
      const before = space.read(RAM, 3 * PAGE);
      expect(mmu.probe(0x1234)).to.deep.equal({ gpa: RAM + 0x10_0000, size: PAGE, access: "" });
      expect(mmu.probe(0x1234n)!.gpa).to.equal(RAM + 0x10_0000);
      expect(mmu.probe(0x8000_0000)).to.include({ gpa: 0x4000_0000, size: 2 ** 30 });
      expect(mmu.probe(0x2000)).to.equal(null);
      expect(mmu.probe(2 ** 38)).to.equal(null);
      expect(space.read(RAM, 3 * PAGE).equals(before)).to.equal(true);
      expect(mmu.lastFault).to.equal(null);
      mmu.select(RiscvPageTables.modeOf({ user: true, sum: false, mxr: false }));
      expect(mmu.probe(0x1000)!.access).to.equal("rw");
      mmu.writeb(0x1000, 1);
      expect(space.readq(at + 8)).to.equal(entry(RAM + 0x10_0000, 0xc0 | V | R | W | U));
    });
  }

  it("finds pages of AArch64, and sets no bit", () => {
    const space = spaceWithRam();
    const tables = new Aarch64PageTables(space);
    const mmu = new Mmu(space, { walk: tables.walk });
    expect(mmu.probe(0x1234)).to.include({ gpa: 0x1000, size: PAGE });
    // 39 bits with HA and HD, and a block of 1 GiB for EL0 that is read-only and not accessed.
    const block = 0x4000_0000n | 0x0c1n;
    space.writeq(RAM, block);
    tables.tcr = 25n | (25n << 16n) | (2n << 30n) | (5n << 32n) | (3n << 39n);
    tables.ttbr0 = BigInt(RAM);
    tables.sctlr = 1n;
    expect(mmu.probe(0x1234)).to.include({ gpa: 0x4000_0000, size: 2 ** 30 });
    expect(mmu.probe(0x4000_0000)).to.equal(null);
    expect(space.readq(RAM)).to.equal(block);
  });

  it("reads no device, and reaches no watchpoint and no trace", () => {
    const space = spaceWithRam();
    let reads = 0;
    const reader = () => ++reads;
    space.addMmio(0x1000, PAGE, { readl: reader, readq: () => BigInt(reader()) });
    const { mmu, tables, entry } = riscv(space);
    space.writeq(RAM + 2 * PAGE, entry(RAM, V | R));
    space.watch({ gpa: RAM, length: 3 * PAGE }, reader);
    const trace = space.trace({ range: { gpa: RAM, length: 3 * PAGE } });
    expect(mmu.probe(0)!.gpa).to.equal(RAM);
    tables.satp = (8n << 60n) | 1n;
    expect(mmu.probe(0)).to.equal(null);
    expect(reads).to.equal(0);
    expect(trace.accesses()).to.deep.equal([]);
    expect(mmu.tryReadb(0, new Uint8Array(1))).to.not.equal(0);
    expect(reads).to.be.greaterThan(0);
  });

  it("neither uses nor fills the TLB, and passes the mode and that it is a probe", () => {
    const space = spaceWithRam();
    const calls: unknown[] = [];
    let gpa = RAM;
    const walk: Walk = (...call) => {
      calls.push(call);
      return { gpa, size: PAGE, access: "rw" };
    };
    const mmu = new Mmu(space, { walk });
    mmu.select(3, 7);
    mmu.probe(2n ** 64n - PAGE_BYTES);
    mmu.readb(-PAGE);
    gpa = RAM + PAGE;
    expect(mmu.probe(-PAGE)!.gpa).to.equal(RAM + PAGE);
    mmu.readb(-PAGE);
    expect(calls).to.deep.equal([
      [-PAGE, "read", 3, true],
      [-PAGE, "read", 3],
      [-PAGE, "read", 3, true],
    ]);
  });

  it("refuses invalid addresses and translations", () => {
    const space = spaceWithRam();
    let found: unknown = null;
    const mmu = new Mmu(space, { walk: () => found as ReturnType<Walk> });
    for (const va of [undefined, "0", null]) {
      expect(thrown(() => mmu.probe(va as never))).to.include(WRONG_TYPE);
    }
    for (const va of [0.5, NaN, 2 ** 53, 2n ** 64n, -(2n ** 63n) - 1n]) {
      expect(thrown(() => mmu.probe(va))).to.include(OUT_OF_RANGE);
    }
    expect(thrown(() => mmu.probe(0))).to.include(WRONG_TYPE);
    found = { gpa: 1, size: PAGE, access: "rw" };
    expect(thrown(() => mmu.probe(0))).to.include(OUT_OF_RANGE);
    found = { gpa: 0, size: PAGE, access: "all" };
    expect(thrown(() => mmu.probe(0))).to.include(WRONG_TYPE);
  });
});
