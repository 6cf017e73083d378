// Prints what an access through an address space costs next to the same access to flat RAM, all in
// one run over the same operations. Run `npm run build` before. `--json FILE` also writes the
// figures; `--random` takes addresses at random instead of in order.

import { writeFileSync } from "node:fs";
import os from "node:os";
import { parseArgs } from "node:util";
import { Bench } from "tinybench";
import { AddressSpace, GuestMemory } from "pound-guest-memory";

const SIZE = 2 ** 24;
const BASE = 0x8000_0000;
const LENGTH = 2 ** 18;
const ROUNDS = 9;

const { values } = parseArgs({
  options: { json: { type: "string" }, random: { type: "boolean", default: false } },
});

/** Addresses of 32 bits in each, aligned, as offsets from the start of the RAM. */
const offsets = Uint32Array.from({ length: LENGTH }, (_, i) =>
  values.random ? Math.floor(Math.random() * (SIZE / 4)) * 4 : (i * 4) % SIZE,
);
const at = (base, stride = 0) => offsets.map((offset, i) => base + offset + (i & 1) * stride);

let loopsMade = 0;

/**
 * Each row gets source of its own, told apart by its first line, so that none runs on the type
 * feedback of another.
 */
function makeLoop(statement, memory) {
  const body = `// ${loopsMade++}
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

const READ = "sum += memory.readl(gpa)";
const WRITE = "memory.writel(gpa, i)";
const MIXED = "if ((i & 1) === 0) sum += memory.readl(gpa); else memory.writel(gpa, i)";

/** A device whose every register holds its offset. */
const device = () => ({ readl: (offset) => offset, writel() {} });

function oneRam(base = 0) {
  const space = new AddressSpace();
  return { space, ram: space.addRam(base, SIZE) };
}

/** What a small machine has, with the RAM at BASE. */
function machine() {
  const space = new AddressSpace();
  space.addRom(0, new Uint8Array(65536));
  for (let i = 0; i < 8; i++) {
    space.addMmio(0x1000_0000 + i * 0x1000, 0x1000, device());
  }
  const ram = space.addRam(BASE, SIZE);
  return { space, ram };
}

function tracked(base, shared) {
  const { space, ram } = oneRam(base);
  const bitmap = ram.startTracking();
  return { space, shared: shared ? bitmap.buffer : null };
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

/** Name, statement, memory, addresses. The first of a group is what the others are compared with. */
const GROUPS = {
  "32-bit reads": [
    ["flat RAM", READ, flat(), at(0)],
    ["space, one RAM", READ, oneRam().space, at(0)],
    ["space, RAM at 2 GiB of a machine", READ, machine().space, at(BASE)],
    ["flat RAM, above 4 GiB", READ, flat(2 ** 32 + SIZE), above4G],
    ["space, RAM at 4 GiB", READ, oneRam(2 ** 32).space, above4G],
    ["space, two RAMs in turn", READ, twoRams(), at(0, BASE)],
    ["space, one RAM, tracked", READ, tracked(0, false).space, at(0)],
    [
      "space, watchpoint elsewhere in the RAM",
      READ,
      watched({ gpa: SIZE - 4096, length: 4 }),
      at(0),
    ],
    ["space, every access watched", READ, watched({ gpa: 0, length: SIZE }), at(0)],
    ["space, device", READ, mmio(), registers],
    ["native path, flat RAM", READ, flat().native, at(0)],
    ["native path, space", READ, oneRam().space.native, at(0)],
    ["native path, space, device", READ, mmio().native, registers],
  ],
  "32-bit writes": [
    ["flat RAM", WRITE, flat(), at(0)],
    ["space, one RAM", WRITE, oneRam().space, at(0)],
    ["space, RAM at 2 GiB of a machine", WRITE, machine().space, at(BASE)],
    ["flat RAM, above 4 GiB", WRITE, flat(2 ** 32 + SIZE), above4G],
    ["space, RAM at 4 GiB", WRITE, oneRam(2 ** 32).space, above4G],
    ["space, two RAMs in turn", WRITE, twoRams(), at(0, BASE)],
    ["space, one RAM, tracked", WRITE, tracked(0, false).space, at(0)],
    ["space, tracked, bits shared", WRITE, tracked(0, true).space, at(0)],
    [
      "space, watchpoint elsewhere in the RAM",
      WRITE,
      watched({ gpa: SIZE - 4096, length: 4 }),
      at(0),
    ],
    ["space, every access watched", WRITE, watched({ gpa: 0, length: SIZE }), at(0)],
    ["space, device", WRITE, mmio(), registers],
    ["native path, flat RAM", WRITE, flat().native, at(0)],
    ["native path, space", WRITE, oneRam().space.native, at(0)],
    ["native path, space, device", WRITE, mmio().native, registers],
  ],
  "32-bit reads and writes in turn": [
    ["flat RAM", MIXED, flat(), at(0)],
    ["space, one RAM", MIXED, oneRam().space, at(0)],
    ["space, RAM at 2 GiB of a machine", MIXED, machine().space, at(BASE)],
    ["space, one RAM, tracked", MIXED, tracked(0, false).space, at(0)],
  ],
};

const median = (numbers) => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)];

/**
 * ns per access: the fastest of a few passes in each round, and the median of the rounds. The rows
 * take turns, so that what slows the machine slows them all.
 */
async function measure(rows) {
  const loops = rows.map(([name, statement, memory, gpas]) => {
    const loop = makeLoop(statement, memory);
    return { name, run: () => loop(gpas), samples: [] };
  });
  for (let round = 0; round < ROUNDS; round++) {
    const bench = new Bench({ time: 0, iterations: 5, warmupTime: 0, warmupIterations: 3 });
    for (const { name, run } of loops) {
      bench.add(name, () => void run());
    }
    await bench.run();
    bench.tasks.forEach(({ result }, i) => {
      if (result.error) {
        throw result.error;
      }
      loops[i].samples.push((result.latency.min * 1e6) / LENGTH);
    });
  }
  return loops.map(({ name, samples }) => [name, median(samples)]);
}

const results = {};
for (const [group, rows] of Object.entries(GROUPS)) {
  const figures = await measure(rows);
  const [[, flatNs]] = figures;
  console.log(`\n${group}, ${values.random ? "at random" : "in order"}`);
  for (const [name, ns] of figures) {
    const ratio = (ns / flatNs).toFixed(2).padStart(7);
    console.log(`  ${name.padEnd(42)} ${ns.toFixed(2).padStart(8)} ns ${ratio} x flat`);
  }
  results[group] = Object.fromEntries(figures);
}
const host = { cpu: os.cpus()[0].model, node: process.version, v8: process.versions.v8 };
console.log(`\n${host.cpu}, Node ${host.node}, V8 ${host.v8}`);
if (values.json !== undefined) {
  writeFileSync(
    values.json,
    `${JSON.stringify({ host, random: values.random, results }, null, 2)}\n`,
  );
}
