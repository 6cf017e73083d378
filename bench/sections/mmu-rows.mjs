// The rows of bench/sections/address-space.mjs about address translation.

import { AddressSpace } from "pound-guest-memory";
import { Aarch64PageTables, Mmu, RiscvPageTables } from "pound-guest-memory/mmu";
import { makeLoop } from "./space-rows.mjs";

const PAGE = 4096;
const SIZE = 2 ** 24;
const RAM = 0x8000_0000;
/** Entries of a table of the TLB, which are the default. */
const ENTRIES = 256;

const READ = "sum = (sum + memory.readl(gpa)) | 0";
const WRITE = "memory.writel(gpa, i)";
const FETCH = "sum = (sum + memory.fetchl(gpa)) | 0";

function machine() {
  const space = new AddressSpace();
  space.addRam(RAM, SIZE);
  const found = Array.from({ length: SIZE / PAGE }, (_, page) => ({
    gpa: RAM + page * PAGE,
    size: PAGE,
    access: "rwx",
  }));
  // A walk that costs as little as possible.
  const walk = (va) => found[(va & (SIZE - 1)) >>> 12];
  return { space, walk, mmu: new Mmu(space, { walk }) };
}

/** Addresses in 8 pages, as many as fit into the first cache of the host. */
const addresses = (base) => Array.from({ length: 8192 }, (_, i) => base + 4 * i);

/** Hits of the TLB, and the same accesses by physical addresses. */
function hits(statement, { base = 0, native = false, physical = statement } = {}) {
  const { space, mmu } = machine();
  const translated = makeLoop(statement, native ? mmu.native : mmu);
  const plain = makeLoop(physical, native ? space.native : space);
  const [virtual, gpas] = [addresses(base), addresses(RAM)];
  return {
    passes: { translated: () => translated(virtual), "by physical address": () => plain(gpas) },
    gpas,
  };
}

const HITS = {
  reads: () => hits(READ),
  "reads in the upper half": () => hits(READ, { base: -(2 ** 31) }),
  writes: () => hits(WRITE),
  fetches: () => hits(FETCH, { physical: READ }),
  "native path, reads": () => hits(READ, { native: true }),
  "native path, writes": () => hits(WRITE, { native: true }),
};

/** Addresses of which each replaces the entry of another. */
const missing = Array.from({ length: 1024 }, (_, i) => (i % 16) * ENTRIES * PAGE + 64 * (i & 63));

/** Misses, and the walk and the access by itself. */
function misses(statement, native = false) {
  const { space, walk, mmu } = machine();
  const plain = makeLoop(statement.replace("gpa", "this.walk(gpa).gpa + (gpa & 4095)"), space);
  const translated = makeLoop(statement, native ? mmu.native : mmu);
  return {
    passes: {
      miss: () => translated(missing),
      "walk and access": () => plain.call({ walk }, missing),
    },
    gpas: missing,
  };
}

const MISSES = {
  reads: () => misses(READ),
  writes: () => misses(WRITE),
  "native path, reads": () => misses(READ, true),
};

/** What follows a flush is a miss, so the flush is compared with a miss. */
function flushes(statement) {
  const { mmu } = machine();
  const prepare = "memory.readl(0); memory.writel(0, 1); memory.fetchl(0)";
  const flush = makeLoop(`${statement}; ${prepare}`, mmu);
  const onlyMiss = makeLoop(prepare.replaceAll("0", "(i & 15) * 1048576"), machine().mmu);
  const gpas = missing;
  return {
    passes: { "flush and three misses": () => flush(gpas), "three misses": () => onlyMiss(gpas) },
    gpas,
  };
}

const FLUSHES = {
  flushAll: () => flushes("memory.flushAll()"),
  flushAsid: () => flushes("memory.flushAsid(0)"),
  flushPage: () => flushes("memory.flushPage(0)"),
  "select of another mode and back": () => flushes("memory.select(1); memory.select(0)"),
};

/** Misses with the walkers of this package, from the first table to a page. */
function walks(make, rams, tables, entry) {
  const space = new AddressSpace();
  space.addRam(rams, SIZE);
  const walker = make(space, tables);
  const mmu = new Mmu(space, { walk: walker.walk });
  for (let page = 0; page < SIZE / PAGE; page++) {
    space.writeq(tables + 16 * PAGE + 8 * page, entry(rams + page * PAGE, true));
  }
  return { passes: { miss: makeLoop(READ, mmu) }, gpas: missing.map((va) => va % SIZE) };
}

const ENTRY = {
  riscv: (gpa, isLeaf) => (BigInt(gpa / PAGE) << 10n) | (isLeaf ? 0xcfn : 1n),
  aarch64: (gpa, isLeaf) => BigInt(gpa) | (isLeaf ? 0x403n : 3n),
};

/** Links the tables above the last one, which are the pages before it. */
function link(space, tables, levels, entry) {
  const last = tables + 16 * PAGE;
  for (let level = 0; level < levels - 1; level++) {
    const at = tables + level * PAGE;
    const isParent = level === levels - 2;
    for (let i = 0; i < (isParent ? 8 : 1); i++) {
      space.writeq(at + 8 * i, entry(isParent ? last + i * PAGE : at + PAGE, false));
    }
  }
}

const riscv = (mode, levels) => (space, tables) => {
  const walker = new RiscvPageTables(space);
  walker.satp = (mode << 60n) | BigInt(tables / PAGE);
  link(space, tables, levels, ENTRY.riscv);
  return walker;
};

const aarch64 = (space, tables) => {
  const walker = new Aarch64PageTables(space);
  walker.tcr = 16n | (16n << 16n) | (2n << 30n) | (5n << 32n);
  walker.ttbr0 = BigInt(tables);
  walker.sctlr = 1n;
  link(space, tables, 4, ENTRY.aarch64);
  return walker;
};

const TABLES = RAM + SIZE / 2;

const WALKS = {
  "RISC-V, Sv39": () => walks(riscv(8n, 3), RAM, TABLES, ENTRY.riscv),
  "RISC-V, Sv48": () => walks(riscv(9n, 4), RAM, TABLES, ENTRY.riscv),
  "AArch64, 48 bits": () => walks(aarch64, RAM, TABLES, ENTRY.aarch64),
};

export const MMU_GROUPS = {
  "hits of a TLB": { comparison: "ratio", rows: HITS },
  "misses of a TLB": { comparison: "difference", rows: MISSES },
  "flushes of a TLB": { comparison: "difference", rows: FLUSHES },
  "misses with the walk of an architecture": { rows: WALKS },
};
