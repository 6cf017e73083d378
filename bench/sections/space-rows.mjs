// The rows of bench/sections/address-space.mjs: functions that return passes over a list of
// addresses. Each pass makes one access, or one change of the map, for each address.

import { AddressSpace, GuestMemory } from "pound-guest-memory";

const SIZE = 2 ** 24;
const BASE = 0x8000_0000;
const PAGE = 4096;
/** Accesses timed together: few enough that most runs have no interruption. */
const LENGTH = 8192;
/** Changes of the map timed together. */
const CHANGES = 256;

/** Addresses of 32 bits in each, aligned, as offsets from the start of the RAM. */
const offsets = Array.from({ length: LENGTH }, (_, i) => i * 4);
/**
 * The addresses of RAM at a base; with more than one RAM, those of each in turn, as many lines of
 * the cache in all as with one. The same offset in all RAMs would make them compete for the same
 * lines.
 */
const at = (base, rams = 1, stride = 0) =>
  offsets.map((_, i) => base + Math.floor(i / rams) * 4 + (i % rams) * (stride + 192));
/** Addresses in as many pages. */
const pages = (base, count) => Array.from({ length: count }, (_, i) => base + i * PAGE);

let loopsMade = 0;

/**
 * Makes a loop with a source text of its own, which differs in its first line, so that it shares no
 * type feedback with another.
 */
export function makeLoop(statement, memory) {
  const body = `// ${loopsMade++}
  const out8 = new Uint8Array(1);
  const out32 = new Uint32Array(1);
  const listener = () => {};
  return function (gpas) {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i];
      ${statement};
    }
    return sum;
  }`;
  return new Function("memory", body)(memory);
}

/**
 * Makes a loop over a space in a field of an object, as in most emulators, instead of a constant.
 */
function makeMethod(statement, memory) {
  const Cpu = new Function(`return class {
    constructor(memory) {
      this.memory = memory;
    }
    run(gpas) {
      // ${loopsMade++}
      let sum = 0;
      for (let i = 0; i < gpas.length; i++) {
        const gpa = gpas[i];
        ${statement.replaceAll("memory.", "this.memory.")};
      }
      return sum;
    }
  }`)();
  const cpu = new Cpu(memory);
  return (gpas) => cpu.run(gpas);
}

const READ = "sum = (sum + memory.readl(gpa)) | 0";
const WRITE = "memory.writel(gpa, i)";
const MIXED = "if ((i & 1) === 0) sum = (sum + memory.readl(gpa)) | 0; else memory.writel(gpa, i)";

const flat = (size = SIZE) => GuestMemory.allocate(size);

function oneRam(base = 0, options = {}) {
  const space = new AddressSpace(options);
  return { space, ram: space.addRam(base, SIZE) };
}

/** A device whose every register holds its offset. */
const device = () => ({ readl: (offset) => offset, readb: (offset) => offset & 0xff, writel() {} });

/** The memory map of a small machine, with the RAM at BASE. */
function machine() {
  const space = new AddressSpace();
  space.addRom(0, new Uint8Array(65536));
  for (let i = 0; i < 8; i++) {
    space.addMmio(0x1000_0000 + i * 0x1000, 0x1000, device());
  }
  space.addRam(BASE, SIZE);
  return space;
}

function watched(range) {
  const { space } = oneRam();
  space.watch(range, () => {});
  return space;
}

/** Watches 4 bytes of each page of 100 000, from an address on. */
function watchManyPages(space, gpa) {
  for (let i = 0; i < 100_000; i++) {
    space.watch({ gpa: gpa + i * PAGE, length: 4 }, () => {});
  }
  return space;
}

/** A space with RAMs at multiples of a stride. */
function ramsOf(count, stride, arena) {
  const space = new AddressSpace(arena ? { arena: count * SIZE } : {});
  for (let i = 0; i < count; i++) {
    space.addRam(i * stride, SIZE);
  }
  return space;
}

/** A space with an arena and a memory from elsewhere. */
function givenRam() {
  const { space } = oneRam(BASE, { arena: SIZE });
  space.addRam(0, GuestMemory.allocate(SIZE));
  return space;
}

// With a power of two, the entries of the page table would compete for the same lines of the cache.
const TWENTY = { rams: 20, stride: 0x0801_3000 };
const above4G = Float64Array.from(offsets, (offset) => offset + 2 ** 32);

/** The rows of accesses: memory and addresses of each, and the flat RAM to compare with. */
const ACCESSES = {
  "one RAM": (as) => as(oneRam().space, at(0), flat()),
  "RAM at 2 GiB, among ROM and 8 devices": (as) => as(machine(), at(BASE), flat(BASE + SIZE)),
  "the same, the memory in a field": (as) => as(machine(), at(BASE), flat(BASE + SIZE), makeMethod),
  "RAM of which a page elsewhere is watched": (as) =>
    as(watched({ gpa: SIZE - PAGE, length: 4 }), at(0), flat()),
  "RAM, 100000 pages elsewhere watched": (as) =>
    as(watchManyPages(oneRam().space, SIZE), at(0), flat()),
  "two RAMs of one arena in turn": (as) =>
    as(ramsOf(2, BASE, true), at(0, 2, BASE), flat(BASE + SIZE)),
  "twenty RAMs of one arena in turn": (as) =>
    as(
      ramsOf(TWENTY.rams, TWENTY.stride, true),
      at(0, TWENTY.rams, TWENTY.stride),
      flat(TWENTY.rams * TWENTY.stride),
    ),
  "a given memory beside an arena": (as) => as(givenRam(), at(0), flat()),
  "two RAMs in turn, without an arena": (as) =>
    as(ramsOf(2, BASE, false), at(0, 2, BASE), flat(BASE + SIZE)),
  "RAM above 4 GiB": (as) => as(oneRam(2 ** 32).space, above4G, flat(2 ** 32 + SIZE)),
  "native path, RAM": (as) => as(oneRam().space.native, at(0), flat().native),
};

function accesses(statement) {
  const rows = Object.entries(ACCESSES).map(([name, row]) => [
    name,
    () =>
      row((space, gpas, ram, make = makeLoop) => ({
        passes: { space: make(statement, space), "flat RAM": make(statement, ram) },
        gpas,
      })),
  ]);
  return Object.fromEntries(rows);
}

/**
 * Accesses under a policy, to addresses that are multiples of 4 plus `beyond`, and aligned accesses
 * under the default policy.
 */
function underPolicy(statement, policy, { beyond = 0, native = false } = {}) {
  const loop = (options) => {
    const { space } = oneRam(0, options);
    return makeLoop(statement, native ? space.native : space);
  };
  const [inSpace, byDefault] = [loop(policy), loop({})];
  const moved = at(beyond);
  return {
    passes: { space: () => inSpace(moved), "default policy": byDefault },
    gpas: at(0),
  };
}

const BIG = { endian: "big" };
const ALLOW = { alignment: "allow" };
const BOTH = { ...BIG, ...ALLOW };

function policies(statement) {
  return {
    "big-endian": () => underPolicy(statement, BIG),
    "unaligned allowed, aligned": () => underPolicy(statement, ALLOW),
    "unaligned allowed, unaligned": () => underPolicy(statement, ALLOW, { beyond: 1 }),
    "both, aligned": () => underPolicy(statement, BOTH),
    "both, unaligned": () => underPolicy(statement, BOTH, { beyond: 1 }),
    "native path, big-endian": () => underPolicy(statement, BIG, { native: true }),
    "native path, both, unaligned": () => underPolicy(statement, BOTH, { beyond: 1, native: true }),
  };
}

/** Keeps the buffers of shared marks. */
const shared = [];

/** Writes to memory that is tracked, and to the same kind of memory that is not. */
function tracked(makeMemory, isShared = false, statement = WRITE) {
  const untracked = makeMemory();
  const { space, ram } = makeMemory();
  const bitmap = ram.startTracking();
  if (isShared) {
    shared.push(bitmap.buffer);
  }
  return {
    passes: {
      tracked: makeLoop(statement, space),
      untracked: makeLoop(statement, untracked.space),
    },
    gpas: at(0),
  };
}

const inArena = () => oneRam(0, { arena: SIZE });
const inNative = () => {
  const { space, ram } = oneRam();
  return { space: space.native, ram };
};
const flatTracked = () => {
  const ram = flat();
  return { space: ram, ram };
};

const TRACKED = {
  "one RAM": () => tracked(oneRam),
  "one RAM, marks shared with threads": () => tracked(oneRam, true),
  "one RAM, reads and writes in turn": () => tracked(oneRam, false, MIXED),
  "RAM of an arena": () => tracked(inArena),
  "RAM of an arena, marks shared with threads": () => tracked(inArena, true),
  "native path": () => tracked(inNative),
  "flat RAM": () => tracked(flatTracked),
  "flat RAM, marks shared with threads": () => tracked(flatTracked, true),
};

/**
 * Accesses to a device, and calls of the handler itself, which V8 inlines.
 *
 * @param options.native - Whether to access on the native path.
 * @param options.watch - Whether the device is watched.
 */
function registers(access, handler, { native = false, watch = false, make = device } = {}) {
  const space = machine();
  space.addMmio(0x2000_0000, 0x1000, make());
  if (watch) {
    space.watch({ gpa: 0x2000_0000, length: 0x1000 }, () => {});
  }
  return {
    passes: {
      space: makeLoop(access, native ? space.native : space),
      handler: makeLoop(handler, make()),
    },
    gpas: offsets.map((offset) => 0x2000_0000 + (offset & 0xffc)),
  };
}

const READ_HANDLER = "sum = (sum + memory.readl(gpa & 0xffc)) | 0";
const WRITE_HANDLER = "memory.writel(gpa & 0xffc, i)";
const anyWidth = () => ({ read: (offset) => offset, write() {} });
const wideOnly = () => ({
  readl: (offset) => offset,
  writel() {},
  impl: { min: 4, narrowWrites: "replicate" },
});
const narrowOnly = () => ({ readw: (offset) => offset & 0xffff, writew() {}, impl: { max: 2 } });
const NARROW_READS = `const at = gpa & 0xffc;
  sum = (sum + (memory.readw(at) | (memory.readw(at + 2) << 16))) | 0`;
const NARROW_WRITES = `const at = gpa & 0xffc;
  memory.writew(at, i & 0xffff);
  memory.writew(at + 2, i >>> 16)`;

const DEVICES = {
  readl: () => registers(READ, READ_HANDLER),
  tryReadl: () => registers("memory.tryReadl(gpa, out32)", "memory.readl(gpa & 0xffc)"),
  tryReadb: () => registers("memory.tryReadb(gpa, out8)", "memory.readb(gpa & 0xffc)"),
  writel: () => registers(WRITE, WRITE_HANDLER),
  "read, all widths": () =>
    registers(READ, "sum = (sum + memory.read(gpa & 0xffc, 4)) | 0", { make: anyWidth }),
  "readb of 32-bit registers": () =>
    registers("sum = (sum + memory.readb(gpa)) | 0", READ_HANDLER, { make: wideOnly }),
  "write, all widths": () =>
    registers(WRITE, "memory.write(gpa & 0xffc, i, 4)", { make: anyWidth }),
  "writeb of 32-bit registers": () =>
    registers("memory.writeb(gpa, i & 0xff)", WRITE_HANDLER, { make: wideOnly }),
  "readl of two 16-bit registers": () => registers(READ, NARROW_READS, { make: narrowOnly }),
  "writel of two 16-bit registers": () => registers(WRITE, NARROW_WRITES, { make: narrowOnly }),
  "native path, readl": () => registers(READ, READ_HANDLER, { native: true }),
  "native path, writel": () => registers(WRITE, WRITE_HANDLER, { native: true }),
  "readl, watched": () => registers(READ, READ_HANDLER, { watch: true }),
  "writel, watched": () => registers(WRITE, WRITE_HANDLER, { watch: true }),
};

/** Accesses of which each calls a listener that does nothing. */
function listened(statement, native = false) {
  const space = watched({ gpa: 0, length: SIZE });
  return { passes: { space: makeLoop(statement, native ? space.native : space) }, gpas: at(0) };
}

/** Accesses of which each is recorded, with a tag. */
function traced(statement, native = false) {
  const { space } = oneRam();
  let pc = 0;
  space.trace({ range: { gpa: 0, length: SIZE }, tag: () => pc++ });
  return { passes: { space: makeLoop(statement, native ? space.native : space) }, gpas: at(0) };
}

const WATCHED = {
  readl: () => listened(READ),
  tryReadl: () => listened("memory.tryReadl(gpa, out32)"),
  writel: () => listened(WRITE),
  "native path, readl": () => listened(READ, true),
  "native path, writel": () => listened(WRITE, true),
  "readl, traced": () => traced(READ),
  "writel, traced": () => traced(WRITE),
  "native path, readl, traced": () => traced(READ, true),
  "native path, writel, traced": () => traced(WRITE, true),
  "readl, 1024 of 100000 watched pages in turn": () => {
    const space = new AddressSpace();
    space.addRam(0, 100_000 * PAGE);
    return {
      passes: { space: makeLoop(READ, watchManyPages(space, 0)) },
      gpas: pages(0, 1024),
    };
  },
};

const GUARDS = {
  "arm a guard, then call it by a write": () => {
    const space = machine();
    const arm = "memory.guardCode(gpa, 64, listener)";
    return {
      passes: { arm: makeLoop(arm, space), call: makeLoop(WRITE, space) },
      gpas: pages(BASE, 1024),
    };
  },
  "write beside a guarded page": () => {
    const guarded = machine();
    guarded.guardCode(BASE + SIZE - PAGE, 64, () => {});
    return {
      passes: { space: makeLoop(WRITE, guarded), unguarded: makeLoop(WRITE, machine()) },
      gpas: at(BASE),
    };
  },
};

/**
 * Switches of a bank of 16 KiB.
 *
 * @param statement - What a switch consists of.
 */
function banks(statement, { pageSize, watchpoints = 0 } = {}) {
  const space = new AddressSpace({ pageSize, arena: 2 * SIZE });
  space.addRam(BASE, SIZE);
  const cartridge = space.addRom(0x4000_0000, new Uint8Array(2 ** 20)).memory;
  const bank = space.addRom(0x4000, cartridge, { length: 0x4000 });
  for (let i = 0; i < watchpoints; i++) {
    space.watch({ gpa: BASE + ((i * 160) % SIZE), length: 4 }, () => {});
  }
  return {
    passes: { space: makeLoop(statement, { space, bank }) },
    gpas: Array.from({ length: CHANGES }, (_, i) => (i % 64) * 0x4000),
  };
}

const SELECT = "memory.bank.select(gpa)";
const SELECT_AND_READ = `${SELECT}; sum = (sum + memory.space.readl(0x4000)) | 0`;

const CHANGED = {
  "bank switch, pages of 4096 bytes": () => banks(SELECT),
  "bank switch, pages of 256 bytes": () => banks(SELECT, { pageSize: 256 }),
  "bank switch and a read": () => banks(SELECT_AND_READ),
  "the same, with 100000 watchpoints": () => banks(SELECT_AND_READ, { watchpoints: 100_000 }),
  "add and remove a region of 16 KiB": () => {
    const space = machine();
    const memory = GuestMemory.allocate(0x4000);
    const statement = "memory.space.remove(memory.space.addRam(gpa, memory.memory))";
    return {
      passes: { space: makeLoop(statement, { space, memory }) },
      gpas: pages(0x4000_0000, 64),
    };
  },
};

/** All rows. `comparison` says how the two passes of each row are compared. */
export const SPACE_GROUPS = {
  "32-bit reads": { rows: accesses(READ), comparison: "ratio" },
  "32-bit writes": { rows: accesses(WRITE), comparison: "ratio" },
  "32-bit reads and writes in turn": { rows: accesses(MIXED), comparison: "ratio" },
  "32-bit reads under a policy": { rows: policies(READ), comparison: "ratio" },
  "32-bit writes under a policy": { rows: policies(WRITE), comparison: "ratio" },
  "tracked 32-bit writes": { rows: TRACKED, comparison: "ratio" },
  devices: { rows: DEVICES, comparison: "difference" },
  "watched 32-bit accesses": { rows: WATCHED },
  "code guards": { rows: GUARDS },
  "changes of the map": { rows: CHANGED },
};
