// Measures random access over 1 GiB of RAM on ordinary and on huge pages, the first write to each
// page, and the memory that a sparse use takes. Run `npm run build`, then
// `node bench/huge-pages.mjs`. The two kinds of pages take turns, and the figures are medians.

import { readFileSync } from "node:fs";
import { GuestMemory } from "pound-guest-memory";
import { median } from "./measure.mjs";

const SIZE = 2 ** 30;
const ACCESSES = 2 ** 20;
const ROUNDS = 15;
const PAGE = 4096;
/** Bytes between the addresses of a sparse use. */
const SPARSE = 2 ** 20;

function milliseconds(run) {
  const start = process.hrtime.bigint();
  run();
  return Number(process.hrtime.bigint() - start) / 1e6;
}

function residentMiB() {
  const pages = readFileSync("/proc/self/statm", "latin1").split(" ")[1];
  return (Number(pages) * PAGE) / 2 ** 20;
}

/** A loop of `body` over addresses. V8 compiles each loop for its own memory. */
function loopOf(access, body, name) {
  const text = `/* ${name} */ return (gpas) => {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) { const gpa = gpas[i]; ${body} }
    return sum;
  };`;
  return new Function("access", text)(access);
}

const LOOPS = {
  "loads, view path": ["sum += access.readl(gpa)", (memory) => memory],
  "loads, each address from the load before": [
    "sum = access.readl((gpa ^ sum) >>> 0)",
    (memory) => memory,
  ],
  "stores, view path": ["access.writel(gpa, 0)", (memory) => memory],
  "loads, native path": ["sum += access.readl(gpa)", (memory) => memory.native],
};

try {
  const setting = readFileSync("/sys/kernel/mm/transparent_hugepage/enabled", "latin1").trim();
  console.log(`/sys/kernel/mm/transparent_hugepage/enabled: ${setting}`);
} catch {
  console.log("this system has no transparent huge pages");
}
const kinds = [false, true].map((hugePages) => {
  const before = residentMiB();
  const sparse = GuestMemory.allocate(SIZE, { hugePages });
  for (let gpa = 0; gpa < SIZE; gpa += SPARSE) {
    sparse.writeb(gpa, 1);
  }
  const sparseMiB = residentMiB() - before;
  sparse.destroy();
  const memory = GuestMemory.allocate(SIZE, { hugePages });
  const fill = milliseconds(() => {
    for (let gpa = 0; gpa < SIZE; gpa += PAGE) {
      memory.writeb(gpa, 0);
    }
  });
  const loops = Object.entries(LOOPS).map(([name, [body, accessOf]]) => ({
    run: loopOf(accessOf(memory), body, `${name} ${hugePages}`),
    ns: [],
  }));
  return { sparseMiB, fill, loops };
});
const gpas = new Uint32Array(ACCESSES);
for (let round = -3; round < ROUNDS; round++) {
  gpas.forEach((_, i) => (gpas[i] = Math.floor(Math.random() * (SIZE / 4)) * 4));
  Object.keys(LOOPS).forEach((_, i) => {
    for (const { loops } of kinds) {
      const ns = (milliseconds(() => loops[i].run(gpas)) * 1e6) / ACCESSES;
      if (round >= 0) {
        loops[i].ns.push(ns);
      }
    }
  });
}

function print(name, ordinary, huge, unit) {
  const numbers = [ordinary, huge].map((value) => `${value.toFixed(1).padStart(9)} ${unit}`);
  console.log(`  ${name.padEnd(42)}${numbers.join("")}  ${(huge / ordinary).toFixed(2)}x`);
}

console.log(`Node ${process.version}: 1 GiB on ordinary and on huge pages`);
Object.keys(LOOPS).forEach((name, i) => {
  print(name, ...kinds.map(({ loops }) => median(loops[i].ns)), "ns");
});
print("the first write to each page of 4 KiB", ...kinds.map(({ fill }) => fill), "ms");
print("resident after a write to each MiB", ...kinds.map(({ sparseMiB }) => sparseMiB), "MiB");
