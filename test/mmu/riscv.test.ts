import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { Mmu, RiscvPageTables, type TranslationKind } from "pound-guest-memory/mmu";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { tableOf } from "../support/table-bytes.js";

const RAM = 0x8000_0000;
const ROOT = RAM;
const PAGE = 4096;
const [V, R, W, X, U, A, D] = [1, 2, 4, 8, 16, 64, 128];
const LEAF = V + R + W + X + A + D;

const CAUSES = { fetch: [12, 1], read: [13, 5], write: [15, 7] } as const;
const KINDS = ["read", "write", "fetch"] as const;

/** An entry for a page number and flags. */
function entryOf(gpa: number | bigint, flags: number): bigint {
  return ((BigInt(gpa) >> 12n) << 10n) | BigInt(flags);
}

function machine(mode: bigint, updatesBits = false) {
  const space = new AddressSpace();
  space.addRam(RAM, 4 * 1024 * 1024);
  const tables = new RiscvPageTables(space, { updatesBits });
  tables.satp = (mode << 60n) | (BigInt(ROOT) >> 12n);
  const mmu = new Mmu(space, { walk: tables.walk });
  /** Makes an access, and returns the guest physical address or the cause of the exception. */
  const access = (kind: TranslationKind, va: number | bigint, at = 0): number | string => {
    mmu.select(at);
    mmu.flushAll();
    const result =
      kind === "write"
        ? mmu.tryWriteb(va, 0)
        : kind === "read"
          ? mmu.tryReadb(va, new Uint8Array(1))
          : mmu.tryFetchb(va, new Uint8Array(1));
    return result === 0
      ? "made"
      : mmu.lastFault!.reason === "translation"
        ? (mmu.lastFault!.guestFault as number)
        : mmu.lastFault!.reason;
  };
  return { space, tables, mmu, access };
}

describe("the page tables of RISC-V", () => {
  it("have three levels in Sv39 and four in Sv48", () => {
    for (const [mode, levels] of [
      [8n, 3],
      [9n, 4],
    ] as const) {
      const { space, mmu } = machine(mode);
      // The index is another at each level, and the address the highest of its half.
      const half = 2 ** (11 + 9 * levels);
      for (const base of [0, -half]) {
        const top = base < 0 ? 256 + 8 : 8;
        const indexes = [...[5, 6, 7].slice(0, levels - 1), top];
        let va = base;
        let table = ROOT;
        for (let level = levels - 1; level >= 0; level--) {
          const index = indexes[level]!;
          va += (index % 256) * PAGE * 512 ** level;
          const next = level === 0 ? RAM + 0x10_0000 : table + PAGE * (base < 0 ? 5 : 1);
          const flags = level === 0 ? LEAF : V;
          space.writeq(table + 8 * index, entryOf(next, flags));
          table = next;
        }
        space.writel(RAM + 0x10_0010, 0x1234 + levels);
        expect(mmu.readl(va + 16), `${levels} levels from ${base}`).to.equal(0x1234 + levels);
      }
    }
  });

  it("fault for addresses that are not canonical", () => {
    for (const [mode, bits] of [
      [8n, 39],
      [9n, 48],
    ] as const) {
      const { space, access } = machine(mode);
      // Superpages in the whole root table: of 1 GiB, or of 512 GiB.
      for (let i = 0; i < 512; i++) {
        space.writeq(ROOT + 8 * i, entryOf(mode === 8n ? RAM : 0, LEAF));
      }
      const edge = 2 ** (bits - 1);
      expect(access("read", edge - 1)).to.equal("hole");
      expect(access("read", -edge + (mode === 8n ? 0 : RAM))).to.equal("made");
      for (const kind of KINDS) {
        for (const va of [edge, -edge - 1, 2 ** 52, -(2 ** 52), 2n ** 62n, 2n ** 63n]) {
          expect(access(kind, va), `${kind} at ${va}`).to.equal(CAUSES[kind][0]);
        }
      }
    }
  });

  it("give rights as the flags, the privilege, SUM and MXR say", () => {
    const { space, access } = machine(8n);
    for (let flags = 0; flags < 256; flags++) {
      // A table without tables: what is no leaf is a table of zeros.
      const isLeaf = (flags & (R | X)) !== 0;
      space.writeq(ROOT, entryOf(isLeaf ? RAM : RAM + 0x10_0000, flags));
      for (const user of [false, true]) {
        for (const sum of [false, true]) {
          for (const mxr of [false, true]) {
            const mode = RiscvPageTables.modeOf({ user, sum, mxr });
            for (const kind of KINDS) {
              const has = (bit: number) => (flags & bit) !== 0;
              const refusals: boolean[] = [
                !has(V),
                !isLeaf,
                has(W) && !has(R),
                user && !has(U),
                !user && has(U) && (kind === "fetch" || !sum),
                kind === "read" && !(has(R) || (mxr && has(X))),
                kind === "write" && !has(W),
                kind === "fetch" && !has(X),
                !has(A),
                kind === "write" && !has(D),
              ];
              const expected = refusals.includes(true) ? CAUSES[kind][0] : "made";
              const what = `${kind}, flags ${flags}, mode ${mode}`;
              expect(access(kind, 0x20_0000, mode), what).to.equal(expected);
            }
          }
        }
      }
    }
    expect(space.readq(ROOT), "no bit was set").to.equal(entryOf(RAM, 255));
  });

  it("set the accessed and dirty bits if that is asked for", () => {
    const { space, mmu, access } = machine(8n, true);
    const flags = () => Number(space.readq(ROOT) & 0xffn);
    for (const [kind, bits] of [
      ["read", A],
      ["fetch", A],
      ["write", A + D],
    ] as const) {
      space.writeq(ROOT, entryOf(RAM, V + R + W + X));
      expect(access(kind, 0x20_0000)).to.equal("made");
      expect(flags()).to.equal(V + R + W + X + bits);
      space.writeq(ROOT, entryOf(RAM, V + U + R + W + X));
      expect(access(kind, 0x20_0000)).to.equal(CAUSES[kind][0]);
      expect(flags(), "a refused access sets none").to.equal(V + U + R + W + X);
    }
    // A write after a read of the same page has to walk again.
    space.writeq(ROOT, entryOf(RAM, V + R + W));
    mmu.flushAll();
    mmu.readl(0x20_0000);
    mmu.readl(0x20_0000);
    expect(flags()).to.equal(V + R + W + A);
    mmu.writel(0x20_0000, 1);
    expect(flags()).to.equal(V + R + W + A + D);
  });

  it("refuse reserved bits, pages below the last level that are not aligned, and deep tables", () => {
    const { space, access } = machine(8n);
    const good = entryOf(RAM, LEAF);
    space.writeq(ROOT, good);
    expect(access("read", 0x20_0000)).to.equal("made");
    for (let bit = 54n; bit < 64n; bit++) {
      space.writeq(ROOT, good | (1n << bit));
      expect(access("read", 0x20_0000), `bit ${bit}`).to.equal(13);
    }
    for (let bit = 12n; bit < 30n; bit++) {
      space.writeq(ROOT, entryOf(BigInt(RAM) | (1n << bit), LEAF));
      expect(access("write", 0x20_0000), `address bit ${bit}`).to.equal(15);
    }
    // Bits 5, 8 and 9 are free: global, and two for software.
    space.writeq(ROOT, good | 0x320n);
    expect(access("read", 0x20_0000)).to.equal("made");
    for (const flag of [U, A, D]) {
      space.writeq(ROOT, entryOf(RAM + PAGE, V + flag));
      space.writeq(RAM + PAGE + 8, entryOf(RAM, LEAF));
      expect(access("read", 0x20_0000), `flag ${flag} in a table`).to.equal(13);
    }
    space.writeq(ROOT, entryOf(RAM + PAGE, V));
    expect(access("read", 0x20_0000)).to.equal("made");
    // The root table points to itself at every level.
    space.writeq(ROOT, entryOf(ROOT, V));
    for (const kind of KINDS) {
      expect(access(kind, 0)).to.equal(CAUSES[kind][0]);
    }
  });

  it("give access faults for tables that cannot be accessed", () => {
    const { space, tables, access } = machine(8n, true);
    for (const gpa of [0x1000_0000n, 2n ** 53n, 2n ** 55n]) {
      space.writeq(ROOT, entryOf(gpa, V));
      for (const kind of KINDS) {
        expect(access(kind, 0x20_0000), `${kind}, table at ${gpa}`).to.equal(CAUSES[kind][1]);
      }
    }
    // A table in ROM can be read, but its bits cannot be set.
    space.addRom(0, tableOf(entryOf(RAM, V + R + W + X)));
    tables.satp = 8n << 60n;
    for (const kind of KINDS) {
      expect(access(kind, 0x20_0000)).to.equal(CAUSES[kind][1]);
    }
    // The page itself is accessed after the translation.
    tables.satp = (8n << 60n) | (BigInt(ROOT) >> 12n);
    space.writeq(ROOT, entryOf(2n ** 55n, LEAF));
    expect(access("read", 0x20_0000)).to.equal("hole");
  });

  it("are accessed where a function allows it", () => {
    const space = new AddressSpace();
    space.addRam(RAM, 4 * 1024 * 1024);
    const asked: string[] = [];
    let refused = "";
    const tables = new RiscvPageTables(space, {
      updatesBits: true,
      permits(gpa, kind) {
        asked.push(`${kind} ${(Number(gpa) - ROOT).toString(16)}`);
        return asked.at(-1) !== refused;
      },
    });
    tables.satp = (8n << 60n) | (BigInt(ROOT) >> 12n);
    space.writeq(ROOT + 8, entryOf(ROOT + PAGE, V));
    space.writeq(ROOT + PAGE + 16, entryOf(ROOT + 2 * PAGE, V));
    const leaf = entryOf(RAM, V + R + W + X);
    space.writeq(ROOT + 2 * PAGE + 24, leaf);
    const va = 2 ** 30 + 2 * 2 ** 21 + 3 * PAGE;
    const steps = ["read 8", "read 1010", "read 2018", "write 2018"];
    for (const [i, step] of steps.entries()) {
      for (const kind of KINDS) {
        asked.length = 0;
        refused = step;
        expect(tables.walk(va, kind, 0)).to.deep.equal({ fault: CAUSES[kind][1] });
        expect(asked).to.deep.equal(steps.slice(0, i + 1));
        expect(space.readq(ROOT + 2 * PAGE + 24)).to.equal(leaf);
        expect(tables.walk(va, kind, 0, true), "a probe").to.have.property("gpa", RAM);
        expect(asked).to.have.length(i + 1);
      }
    }
    refused = "";
    expect(tables.walk(va, "write", 0)).to.deep.include({ gpa: RAM, access: "rwx" });
    const wrong = { permits: true as never };
    expect(thrown(() => new RiscvPageTables(space, wrong))).to.deep.equal(WRONG_TYPE);
  });

  it("follow satp", () => {
    const { tables, mmu, space, access } = machine(8n);
    expect(access("read", RAM)).to.equal(13);
    tables.satp = (10n << 60n) | 5n;
    expect(tables.satp, "Sv57 is not there").to.equal((8n << 60n) | (BigInt(ROOT) >> 12n));
    tables.satp = 0x1234n << 44n;
    expect(tables.asid).to.equal(0x1234);
    expect(access("write", RAM + 0x1234)).to.equal("made");
    expect(access("read", -8)).to.equal("hole");
    space.writel(RAM + 8, 77);
    expect(mmu.readl(RAM + 8)).to.equal(77);
    expect(thrown(() => (tables.satp = 5 as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => (tables.satp = -1n))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => (tables.satp = 2n ** 64n))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => new RiscvPageTables({} as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => new RiscvPageTables(space, 5 as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => new RiscvPageTables(space, { updatesBits: 1 as never }))).to.deep.equal(
      WRONG_TYPE,
    );
  });
});
