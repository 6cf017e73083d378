// Compares an access through an address space with the same access to flat RAM. Each row is
// measured in a thread of its own, whose V8 has no type feedback of another.

import { once } from "node:events";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { medianMs } from "../measure.mjs";

const SIZE = 2 ** 24;
const BASE = 0x8000_0000;
/** Accesses timed together: few enough that most runs have no interruption. */
const LENGTH = 8192;

/** Addresses of 32 bits in each, aligned, as offsets from the start of the RAM. */
const offsets = Array.from({ length: LENGTH }, (_, i) => i * 4);
const at = (base, stride = 0) => offsets.map((offset, i) => base + offset + (i & 1) * stride);

let loopsMade = 0;

/**
 * Makes a loop with a source text of its own, which differs in its first line, so that it shares no
 * type feedback with another.
 */
function makeLoop(statement, memory) {
  const body = `// ${loopsMade++}
  const out8 = new Uint8Array(1);
  const out32 = new Uint32Array(1);
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

const READ = "sum += memory.readl(gpa)";
const WRITE = "memory.writel(gpa, i)";
const MIXED = "if ((i & 1) === 0) sum += memory.readl(gpa); else memory.writel(gpa, i)";

/** A device whose every register holds its offset. */
const device = () => ({ readl: (offset) => offset, readb: (offset) => offset & 0xff, writel() {} });

function oneRam(base = 0) {
  const space = new AddressSpace();
  return { space, ram: space.addRam(base, SIZE) };
}

/** The memory map of a small machine, with the RAM at BASE. */
function machine() {
  const space = new AddressSpace();
  space.addRom(0, new Uint8Array(65536));
  for (let i = 0; i < 8; i++) {
    space.addMmio(0x1000_0000 + i * 0x1000, 0x1000, device());
  }
  const ram = space.addRam(BASE, SIZE);
  return { space, ram };
}

/** Starts dirty tracking of a memory or of a RAM region. */
function track(ram, shared = false) {
  const bitmap = ram.startTracking();
  return shared ? bitmap.buffer : null;
}

/** A row whose RAM is tracked once the flat RAM was measured, to which nothing has happened yet. */
function tracked(as, { memory, ram }, shared = false) {
  return as(memory, at(0), flat(), makeLoop, () => track(ram, shared));
}

function oneTrackedRam() {
  const { space, ram } = oneRam();
  return { memory: space, ram };
}

function flatTracked() {
  const memory = flat();
  return { memory, ram: memory };
}

function watched(range) {
  const { space } = oneRam();
  space.watch(range, () => {});
  return space;
}

function twoRams() {
  const { space } = oneRam();
  space.addRam(BASE, SIZE);
  return space;
}

function mmio() {
  const { space } = machine();
  return space;
}

const flat = (size = SIZE) => GuestMemory.allocate(size);
const above4G = Float64Array.from(offsets, (offset) => offset + 2 ** 32);
const registers = offsets.map((offset) => 0x1000_0000 + (offset & 0xffc));

/** The rows: memory and addresses of each, and the flat RAM and addresses to compare with. */
const ROWS = {
  "one RAM": (as) => as(oneRam().space, at(0), flat()),
  "RAM at 2 GiB, among ROM and 8 devices": (as) => as(machine().space, at(BASE), flat(BASE + SIZE)),
  "the same, the memory in a field": (as) =>
    as(machine().space, at(BASE), flat(BASE + SIZE), makeMethod),
  "RAM of which a page elsewhere is watched": (as) =>
    as(watched({ gpa: SIZE - 4096, length: 4 }), at(0), flat()),
  "tracked RAM": (as) => tracked(as, oneTrackedRam()),
  "tracked RAM, marks shared with threads": (as) => tracked(as, oneTrackedRam(), true),
  "flat RAM, tracked": (as) => tracked(as, flatTracked()),
  "flat RAM, tracked, marks shared": (as) => tracked(as, flatTracked(), true),
  "RAM above 4 GiB": (as) => as(oneRam(2 ** 32).space, above4G, flat(2 ** 32 + SIZE)),
  "two RAMs in turn": (as) => as(twoRams(), at(0, BASE), flat(BASE + SIZE)),
  "a device": (as) => as(mmio(), registers, flat(2 ** 29)),
  "every access watched": (as) => as(watched({ gpa: 0, length: SIZE }), at(0), flat()),
  "native path, RAM": (as) => as(oneRam().space.native, at(0), flat().native),
  "native path, a device": (as) => as(mmio().native, registers, flat(2 ** 29).native),
};

/**
 * Accesses to a device, each with the path, whether the device is watched, and the statement that
 * calls the handler itself, which V8 inlines.
 */
const DEVICE_ROWS = {
  readl: { access: READ, handler: "sum += memory.readl(gpa & 0xffc)" },
  tryReadl: { access: "memory.tryReadl(gpa, out32)", handler: "memory.readl(gpa & 0xffc)" },
  tryReadb: { access: "memory.tryReadb(gpa, out8)", handler: "memory.readb(gpa & 0xffc)" },
  writel: { access: WRITE, handler: "memory.writel(gpa & 0xffc, i)" },
  "read, all widths": {
    access: READ,
    handler: "sum += memory.read(gpa & 0xffc, 4)",
    device: () => ({ read: (offset) => offset }),
  },
  "readb of 32-bit registers": {
    access: "sum += memory.readb(gpa)",
    handler: "sum += memory.readl(gpa & 0xffc)",
    device: () => ({ readl: (offset) => offset, impl: { min: 4 } }),
  },
  "native path, readl": { access: READ, handler: "sum += memory.readl(gpa & 0xffc)", native: true },
  "native path, writel": { access: WRITE, handler: "memory.writel(gpa & 0xffc, i)", native: true },
  "readl, watched": { access: READ, handler: "sum += memory.readl(gpa & 0xffc)", watch: true },
  "writel, watched": { access: WRITE, handler: "memory.writel(gpa & 0xffc, i)", watch: true },
};

/** Accesses to spaces with a policy, to addresses that are multiples of 4 plus `beyond`. */
const POLICY_ROWS = {
  "big-endian": { policy: { endian: "big" } },
  "unaligned allowed, aligned": { policy: { alignment: "allow" } },
  "unaligned allowed, unaligned": { policy: { alignment: "allow" }, beyond: 1 },
  "both, aligned": { policy: { alignment: "allow", endian: "big" } },
  "both, unaligned": { policy: { alignment: "allow", endian: "big" }, beyond: 1 },
  "native path, big-endian": { policy: { endian: "big" }, native: true },
  "native path, both, unaligned": {
    policy: { alignment: "allow", endian: "big" },
    beyond: 1,
    native: true,
  },
};

const STATEMENTS = { reads: READ, writes: WRITE, "reads and writes in turn": MIXED };

const SETTINGS = { rounds: 200, warmup: 50 };

/** Nanoseconds per access of a row, in the space and in flat RAM. */
async function measure({ kind, row }) {
  const { begin, passes } = ROWS[row]((space, gpas, flatRam, make = makeLoop, begin = null) => {
    const [inSpace, inFlat] = [space, flatRam].map((memory) => make(STATEMENTS[kind], memory));
    return { begin, passes: { space: () => void inSpace(gpas), flat: () => void inFlat(gpas) } };
  });
  // By turns, unless the flat RAM has to be measured before the space is changed.
  const before = begin === null ? {} : await medianMs({ flat: passes.flat }, SETTINGS);
  const kept = begin?.();
  const ms = await medianMs(begin === null ? passes : { space: passes.space }, SETTINGS);
  const [space, flatNs] = [ms.space, before.flat ?? ms.flat].map((pass) => (pass * 1e6) / LENGTH);
  return { space, flat: flatNs, kept };
}

/** Nanoseconds per access to a device through the space, and per call of its handler. */
async function measureDevice(row) {
  const {
    access,
    handler,
    device: make = device,
    native = false,
    watch = false,
  } = DEVICE_ROWS[row];
  const { space } = machine();
  space.addMmio(0x2000_0000, 0x1000, make());
  if (watch) {
    space.watch({ gpa: 0x2000_0000, length: 0x1000 }, () => {});
  }
  const gpas = offsets.map((offset) => 0x2000_0000 + (offset & 0xffc));
  const loop = makeLoop(access, native ? space.native : space);
  const direct = makeLoop(handler, make());
  const passes = { space: () => void loop(gpas), handler: () => void direct(gpas) };
  const ms = await medianMs(passes, { rounds: 200, warmup: 50 });
  return { space: (ms.space * 1e6) / LENGTH, handler: (ms.handler * 1e6) / LENGTH };
}

/** Nanoseconds per access under a policy, and per aligned access under the default policy. */
async function measurePolicy({ kind, policyRow }) {
  const { policy, beyond = 0, native = false } = POLICY_ROWS[policyRow];
  const loops = [policy, {}].map((options) => {
    const space = new AddressSpace(options);
    space.addRam(0, SIZE);
    return makeLoop(STATEMENTS[kind], native ? space.native : space);
  });
  const gpas = [at(beyond), at(0)];
  const passes = { space: () => void loops[0](gpas[0]), plain: () => void loops[1](gpas[1]) };
  const ms = await medianMs(passes, SETTINGS);
  return { space: (ms.space * 1e6) / LENGTH, plain: (ms.plain * 1e6) / LENGTH };
}

/** Nanoseconds to arm a code guard, to call it by a write, and of a write beside a guarded page. */
async function measureGuards() {
  const { space } = machine();
  const listener = () => {};
  const pages = Array.from({ length: 1024 }, (_, i) => BASE + ((i * 3) % 4096) * 4096);
  const write = makeLoop(WRITE, space);
  const beside = makeLoop(WRITE, space);
  const gpas = at(BASE);
  const guard = new Function(
    "space",
    "listener",
    "return (gpas) => { for (const gpa of gpas) space.guardCode(gpa, 64, listener); };",
  )(space, listener);
  const passes = {
    arm: () => void guard(pages),
    call: () => void write(pages),
  };
  const ms = await medianMs(passes, { rounds: 200, warmup: 50 });
  const free = await medianMs({ free: () => void beside(gpas) }, { rounds: 200, warmup: 50 });
  space.guardCode(BASE + SIZE - 4096, 64, listener);
  const near = await medianMs({ near: () => void beside(gpas) }, { rounds: 200, warmup: 50 });
  const each = (pass, count) => (pass * 1e6) / count;
  return {
    arm: each(ms.arm, pages.length),
    call: each(ms.call, pages.length),
    "write without guards": each(free.free, LENGTH),
    "write beside a guarded page": each(near.near, LENGTH),
  };
}

async function inWorker(data) {
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  const [ns] = await once(worker, "message");
  return ns;
}

/**
 * `{ space, flat }` in nanoseconds per access, by kind of access and by row; `{ space, plain }` for
 * accesses under a policy; and `{ space, handler }` for accesses to devices.
 */
export async function addressSpace() {
  const results = {};
  for (const kind of Object.keys(STATEMENTS)) {
    results[kind] = {};
    console.log(`\naddress space, 32-bit ${kind}: as multiples of the same in flat RAM`);
    for (const row of Object.keys(ROWS)) {
      const ns = await inWorker({ kind, row });
      const [each, ratio] = [ns.space, ns.space / ns.flat].map((figure) => figure.toFixed(2));
      console.log(`  ${row.padEnd(42)} ${each.padStart(8)} ns ${ratio.padStart(7)} x flat RAM`);
      results[kind][row] = ns;
    }
  }
  results.policies = {};
  for (const kind of ["reads", "writes"]) {
    results.policies[kind] = {};
    console.log(
      `\naddress space, 32-bit ${kind} under a policy: as multiples of the default policy`,
    );
    for (const policyRow of Object.keys(POLICY_ROWS)) {
      const ns = await inWorker({ kind, policyRow });
      const [each, ratio] = [ns.space, ns.space / ns.plain].map((figure) => figure.toFixed(2));
      console.log(
        `  ${policyRow.padEnd(42)} ${each.padStart(8)} ns ${ratio.padStart(7)} x default`,
      );
      results.policies[kind][policyRow] = ns;
    }
  }
  results.devices = {};
  console.log("\naddress space, devices: beside a call of the handler");
  for (const device of Object.keys(DEVICE_ROWS)) {
    const ns = await inWorker({ device });
    const [each, more] = [ns.space, ns.space - ns.handler].map((figure) => figure.toFixed(2));
    console.log(`  ${device.padEnd(42)} ${each.padStart(8)} ns ${more.padStart(7)} ns more`);
    results.devices[device] = ns;
  }
  results.guards = await inWorker({ guards: true });
  console.log("\naddress space, code guards");
  for (const [row, ns] of Object.entries(results.guards)) {
    console.log(`  ${row.padEnd(42)} ${ns.toFixed(2).padStart(8)} ns`);
  }
  return results;
}

if (!isMainThread) {
  const { device, policyRow, guards } = workerData;
  const ns = await (guards
    ? measureGuards()
    : device !== undefined
      ? measureDevice(device)
      : policyRow !== undefined
        ? measurePolicy(workerData)
        : measure(workerData));
  delete ns.kept;
  parentPort.postMessage(ns);
}
