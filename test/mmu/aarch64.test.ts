import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { Aarch64PageTables, Mmu, type TranslationKind } from "pound-guest-memory/mmu";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { tableOf } from "../support/table-bytes.js";

const RAM = 0x4000_0000;
const ROOT = RAM;
const PAGE = 4096;
const KINDS = ["read", "write", "fetch"] as const;

// The bits of a descriptor.
const TABLE = 3n;
const LEAF_PAGE = 3n;
const BLOCK = 1n;
const EL0 = 1n << 6n;
const READ_ONLY = 1n << 7n;
const AF = 1n << 10n;
const DBM = 1n << 51n;
const PXN = 1n << 53n;
const UXN = 1n << 54n;
const PXN_TABLE = 1n << 59n;
const UXN_TABLE = 1n << 60n;
const NO_EL0_TABLE = 1n << 61n;
const NO_WRITE_TABLE = 1n << 62n;

// The fields of TCR_EL1.
const IPS_48 = 5n << 32n;
const sizes = (bits: number): bigint => (BigInt(64 - bits) << 16n) | BigInt(64 - bits);
const HA = 1n << 39n;
const HD = 1n << 40n;

const M = 1n;
const WXN = 1n << 19n;

const EL1 = Aarch64PageTables.modeOf({ user: false, pan: false });
const EL1_PAN = Aarch64PageTables.modeOf({ user: false, pan: true });
const USER = Aarch64PageTables.modeOf({ user: true, pan: false });

function machine(tcr = sizes(48) | IPS_48, sctlr = M) {
  const space = new AddressSpace();
  space.addRam(RAM, 4 * 1024 * 1024);
  const tables = new Aarch64PageTables(space);
  tables.tcr = tcr;
  tables.ttbr0 = BigInt(ROOT);
  tables.ttbr1 = BigInt(ROOT);
  tables.sctlr = sctlr;
  const mmu = new Mmu(space, { walk: tables.walk });
  /** Makes an access; returns the fault status code, or the reason of another fault. */
  const access = (kind: TranslationKind, va: number | bigint, mode = EL1): number | string => {
    mmu.select(mode);
    mmu.flushAll();
    const result =
      kind === "write"
        ? mmu.tryWriteb(va, 0)
        : kind === "read"
          ? mmu.tryReadb(va, new Uint8Array(1))
          : mmu.tryFetchb(va, new Uint8Array(1));
    const fault = mmu.lastFault;
    return result === 0
      ? "made"
      : fault!.reason === "translation"
        ? (fault!.guestFault as number)
        : fault!.reason;
  };
  /** Maps the lowest pages by tables at each level, with a descriptor at level 3. */
  const map = (leaf: bigint, table = 0n): void => {
    for (let level = 0; level < 3; level++) {
      space.writeq(ROOT + PAGE * level, BigInt(ROOT + PAGE * (level + 1)) | TABLE | table);
    }
    space.writeq(ROOT + 3 * PAGE, leaf);
  };
  return { space, tables, mmu, access, map };
}

const TARGET = BigInt(RAM + 0x10_0000);

describe("the page tables of AArch64", () => {
  it("have as many levels as the addresses need, in both halves", () => {
    for (const [bits, start] of [
      [48, 0],
      [40, 0],
      [39, 1],
      [36, 1],
      [30, 2],
      [25, 2],
    ] as const) {
      const { space, mmu, access } = machine(sizes(bits) | IPS_48);
      for (const high of [false, true]) {
        // The highest index of the first table, and another one in each table below it.
        let va = high ? -(2 ** bits) : 0;
        let table = ROOT;
        for (let level: number = start; level <= 3; level++) {
          const size = PAGE * 512 ** (3 - level);
          const index = level === start ? 2 ** bits / size - (high ? 1 : 2) : 10 + level;
          const next = level === 3 ? Number(TARGET) : ROOT + PAGE * (level + (high ? 6 : 1));
          va += index * size;
          space.writeq(table + 8 * index, BigInt(next) | LEAF_PAGE | (level === 3 ? AF : 0n));
          table = next;
        }
        space.writel(Number(TARGET) + 16, 0x1234 + bits);
        expect(mmu.readl(va + 16), `${bits} bits, ${high ? "high" : "low"}`).to.equal(
          0x1234 + bits,
        );
        for (const outside of [2 ** bits, -(2 ** bits) - PAGE, 2n ** 62n, -(2n ** 62n)]) {
          expect(access("read", outside), `${bits} bits, ${outside}`).to.equal(0x04);
        }
      }
    }
  });

  // A row has what is set, and the status codes of reads, writes and fetches at EL1, at EL1 with
  // PAN, and at EL0. A dot is an access that is made, and P a permission fault at level 3.
  const RIGHTS: readonly [name: string, page: bigint, table: bigint, codes: string][] = [
    ["a page of the kernel", 0n, 0n, "... ... PP."],
    ["a page of the kernel that only it executes", UXN, 0n, "... ... PPP"],
    ["data of the kernel", UXN | PXN, 0n, "..P ..P PPP"],
    ["constants of the kernel", UXN | PXN | READ_ONLY, 0n, ".PP .PP PPP"],
    ["code of the kernel", UXN | READ_ONLY, 0n, ".P. .P. PPP"],
    ["what EL0 executes and cannot read", PXN | READ_ONLY, 0n, ".PP .PP PP."],
    // What EL0 can write is never executed by EL1, and PAN keeps EL1 from its data.
    ["a page of EL0", EL0, 0n, "..P PPP ..."],
    ["data of EL0", EL0 | UXN, 0n, "..P PPP ..P"],
    ["code of EL0", EL0 | READ_ONLY | PXN, 0n, ".PP PPP .P."],
    ["what both execute", EL0 | READ_ONLY, 0n, ".P. PP. .P."],
    // The tables above take rights away.
    ["a page of EL0 below a table without EL0", EL0, NO_EL0_TABLE, "... ... PP."],
    ["a page of EL0 below a table without writes", EL0, NO_WRITE_TABLE, ".P. PP. .P."],
    ["a page below a table that EL1 never executes", 0n, PXN_TABLE, "..P ..P PP."],
    ["a page below a table that EL0 never executes", EL0, UXN_TABLE, "..P PPP ..P"],
  ];
  const CODES: Readonly<Record<string, number | string>> = { ".": "made", P: 0x0f };
  for (const [name, page, table, codes] of RIGHTS) {
    it(`give the rights of ${name}`, () => {
      const { map, access } = machine();
      const expected = codes.split(" ").map((group) => Array.from(group, (code) => CODES[code]));
      map(TARGET | LEAF_PAGE | AF | page, table);
      const found = [EL1, EL1_PAN, USER].map((mode) => KINDS.map((kind) => access(kind, 8, mode)));
      expect(found).to.deep.equal(expected);
    });
  }

  it("give no right to execute what can be written, if WXN says so", () => {
    const { tables, map, access } = machine();
    for (const [page, mode, code] of [
      [0n, EL1, 0x0f],
      [READ_ONLY, EL1, "made"],
      // EL0 cannot write the page.
      [0n, USER, "made"],
      [EL0, USER, 0x0f],
      [EL0 | READ_ONLY, USER, "made"],
    ] as const) {
      map(TARGET | LEAF_PAGE | AF | page);
      tables.sctlr = M | WXN;
      expect(access("fetch", 8, mode)).to.equal(code);
      tables.sctlr = M;
      expect(access("fetch", 8, mode)).to.equal("made");
    }
  });

  it("ignore the limits of tables if HPD says so", () => {
    const { tables, map, access } = machine();
    map(TARGET | LEAF_PAGE | AF, NO_WRITE_TABLE | PXN_TABLE);
    expect(KINDS.map((kind) => access(kind, 0))).to.deep.equal(["made", 0x0f, 0x0f]);
    tables.tcr |= 1n << 41n;
    expect(KINDS.map((kind) => access(kind, 0))).to.deep.equal(["made", "made", "made"]);
  });

  it("have blocks at the levels 1 and 2, and ignore the offset in them", () => {
    const { space, mmu, access, map } = machine();
    map(0n);
    for (const [level, size] of [
      [1, 2 ** 30],
      [2, 2 ** 21],
    ] as const) {
      const at = ROOT + PAGE * level;
      const table = space.readq(at);
      space.writeq(at, BigInt(RAM + 0x7000) | BLOCK | AF);
      space.writel(RAM + 0x10_0008, level);
      expect(mmu.readl(0x10_0008), `level ${level}`).to.equal(level);
      expect(access("read", size - 8)).to.equal(size < 2 ** 22 ? "made" : "hole");
      space.writeq(at, BigInt(RAM) | BLOCK);
      expect(access("read", 0), "access flag").to.equal(0x08 | level);
      space.writeq(at, BigInt(RAM) | BLOCK | AF | READ_ONLY);
      expect(access("write", 0), "permission").to.equal(0x0c | level);
      space.writeq(at, table);
      mmu.flushAll();
    }
  });

  it("fault at the level of the descriptor that is not valid", () => {
    const { space, access, map } = machine();
    for (let level = 0; level <= 3; level++) {
      // A block at level 0 and the reserved encoding of level 3 are not valid either.
      const invalid = [0n, 2n, ...(level === 0 || level === 3 ? [BLOCK | AF] : [])];
      for (const bits of invalid) {
        map(TARGET | LEAF_PAGE | AF);
        space.writeq(ROOT + PAGE * level, BigInt(ROOT + PAGE * (level + 1)) | bits);
        for (const kind of KINDS) {
          expect(access(kind, 0), `${kind}, bits ${bits}, level ${level}`).to.equal(0x04 | level);
        }
      }
      map(TARGET | LEAF_PAGE | AF);
      // Outside RAM, and above the addresses of IPS.
      if (level < 3) {
        space.writeq(ROOT + PAGE * level, TABLE | AF);
        expect(access("read", 0), `no memory at level ${level + 1}`).to.equal(0x14 | (level + 1));
      }
      space.writeq(ROOT + PAGE * level, (1n << 47n) | TABLE | AF);
      expect(access("read", 0)).to.equal(level < 3 ? 0x14 | (level + 1) : "hole");
    }
  });

  it("fault for addresses above the size that IPS names", () => {
    for (const [ips, bits] of [32n, 36n, 40n, 42n, 44n].entries()) {
      const { space, tables, access, map } = machine(sizes(48) | (BigInt(ips) << 32n));
      for (let level = 0; level <= 3; level++) {
        map(TARGET | LEAF_PAGE | AF);
        space.writeq(ROOT + PAGE * level, (1n << bits) | TABLE | AF);
        expect(access("write", 0), `IPS ${ips}, level ${level}`).to.equal(level);
      }
      tables.ttbr0 = 1n << bits;
      expect(access("read", 0), "the first table").to.equal(0);
    }
  });

  it("set the access flag if HA says so, and only for an access that is made", () => {
    const { space, tables, map, access } = machine();
    const flags = (): bigint => space.readq(ROOT + 3 * PAGE) & (AF | READ_ONLY);
    map(TARGET | LEAF_PAGE);
    for (const kind of KINDS) {
      expect(access(kind, 0)).to.equal(0x0b);
    }
    expect(flags()).to.equal(0n);
    tables.tcr |= HA;
    for (const kind of KINDS) {
      map(TARGET | LEAF_PAGE);
      expect(access(kind, 0)).to.equal("made");
      expect(flags()).to.equal(AF);
      map(TARGET | LEAF_PAGE | PXN | UXN | READ_ONLY);
      expect(access(kind, 0, USER)).to.equal(0x0f);
      expect(flags(), "a refused access sets none").to.equal(READ_ONLY);
    }
  });

  it("make a page dirty at its first write if HD says so", () => {
    const { space, tables, mmu, map, access } = machine();
    const leaf = (): bigint => space.readq(ROOT + 3 * PAGE);
    const clean = TARGET | LEAF_PAGE | AF | DBM | READ_ONLY;
    map(clean);
    expect(access("write", 0)).to.equal(0x0f);
    tables.tcr |= HA | HD;
    expect(access("read", 0)).to.equal("made");
    expect(leaf()).to.equal(clean);
    mmu.writel(0, 7);
    expect(leaf()).to.equal(clean & ~READ_ONLY);
    expect(space.readl(Number(TARGET))).to.equal(7);
    // The tables above, and the rights of EL0, still count.
    map(clean, NO_WRITE_TABLE);
    expect(access("write", 0)).to.equal(0x0f);
    map(clean);
    expect(access("write", 0, USER)).to.equal(0x0f);
    expect(leaf()).to.equal(clean);
    tables.tcr &= ~HA;
    expect(access("write", 0), "HD has no effect without HA").to.equal(0x0f);
  });

  it("give an external abort for a descriptor in ROM that has to change", () => {
    const { space, tables, access } = machine(sizes(30) | IPS_48 | HA);
    space.addRom(0, tableOf(BigInt(RAM) | BLOCK));
    tables.ttbr0 = 0n;
    expect(access("read", 0)).to.equal(0x16);
  });

  it("ignore the top byte if TBI says so", () => {
    const { tables, map, access, space } = machine();
    map(TARGET | LEAF_PAGE | AF);
    space.writeq(ROOT + 3 * PAGE + 8 * 511, TARGET | LEAF_PAGE | AF);
    for (let level = 0; level < 3; level++) {
      space.writeq(ROOT + PAGE * level + 8 * 511, BigInt(ROOT + PAGE * (level + 1)) | TABLE);
    }
    const tagged: [bigint, bigint][] = [
      [0xa5n << 56n, 37n],
      [(0xa5n << 56n) | (2n ** 56n - 16n), 38n],
    ];
    for (const [va, tbi] of tagged) {
      expect(access("read", va)).to.equal(0x04);
      tables.tcr |= 1n << tbi;
      expect(access("read", va)).to.equal("made");
      expect(access("read", va ^ (1n << 50n)), "bit 50 counts").to.equal(0x04);
    }
  });

  it("have no table for a half that EPD disables", () => {
    const { tables, map, access } = machine();
    map(TARGET | LEAF_PAGE | AF);
    expect(access("read", 0)).to.equal("made");
    tables.tcr |= 1n << 7n;
    expect(access("read", 0)).to.equal(0x04);
    expect(access("read", -(2 ** 48))).to.equal("made");
    tables.tcr |= 1n << 23n;
    expect(access("read", -(2 ** 48))).to.equal(0x04);
  });

  it("end where a table points to itself", () => {
    const { space, access } = machine();
    space.writeq(ROOT, BigInt(ROOT) | TABLE | AF);
    // At level 3 it is a page: the table itself.
    expect(access("read", 0)).to.equal("made");
    space.writeq(ROOT, BigInt(ROOT) | TABLE);
    expect(access("read", 0)).to.equal(0x0b);
  });

  it("translate nothing while the MMU is off", () => {
    const { mmu, access, space } = machine(0n, 0n);
    space.writel(RAM + 8, 77);
    expect(mmu.readl(RAM + 8)).to.equal(77);
    for (const kind of KINDS) {
      expect(access(kind, RAM)).to.equal("made");
      expect(access(kind, 2 ** 48)).to.equal(0);
      expect(access(kind, -8)).to.equal(0);
      expect(access(kind, 2n ** 60n)).to.equal(0);
    }
  });

  it("have registers", () => {
    const { space, tables } = machine();
    tables.ttbr0 = (0x1234n << 48n) | BigInt(ROOT);
    tables.ttbr1 = (0x5678n << 48n) | BigInt(ROOT);
    expect(tables.asid).to.equal(0x34);
    tables.tcr |= 1n << 36n;
    expect(tables.asid).to.equal(0x1234);
    tables.tcr |= 1n << 22n;
    expect(tables.asid).to.equal(0x5678);
    for (const register of ["ttbr0", "ttbr1", "tcr", "sctlr"] as const) {
      const before = tables[register];
      expect(thrown(() => (tables[register] = 5 as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => (tables[register] = -1n))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => (tables[register] = 2n ** 64n))).to.deep.equal(OUT_OF_RANGE);
      expect(tables[register]).to.equal(before);
    }
    expect(thrown(() => new Aarch64PageTables({} as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => new Aarch64PageTables(5 as never))).to.deep.equal(WRONG_TYPE);
    expect(space.readq(ROOT)).to.equal(0n);
  });
});
