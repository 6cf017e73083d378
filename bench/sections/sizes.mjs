import { GuestMemory } from "pound-guest-memory";
import { addon } from "../addon.mjs";
import { median, medianMs, msOf } from "../measure.mjs";

const SIZES = [2 ** 20, 2 ** 22, 2 ** 24, 2 ** 26, 2 ** 28, 2 ** 30];
const ACCESSES = 2 ** 16;
const GIB = 2 ** 30;

/** Loads and stores of 32 bits by turns, spread over all of RAM. */
export async function sizes() {
  console.log("\n32 bits at random over all of RAM, ns per access");
  const results = [];
  for (const size of SIZES) {
    addon.allocate(size);
    const memory = GuestMemory.allocate(size);
    const gpas = Uint32Array.from(
      { length: ACCESSES },
      () => Math.floor(Math.random() * (size / 4)) * 4,
    );
    const kinds = new Uint8Array(0);
    const view = viewLoop(memory);
    const ms = await medianMs({
      cpp: () => void addon.pairs32(kinds, gpas),
      view: () => void view(gpas),
    });
    const ns = { cpp: (ms.cpp * 1e6) / ACCESSES, view: (ms.view * 1e6) / ACCESSES };
    console.log(
      `  ${String(size / 2 ** 20).padStart(5)} MiB  C++ ${ns.cpp.toFixed(2).padStart(6)}  ` +
        `view ${ns.view.toFixed(2).padStart(6)}  ${(ns.view / ns.cpp).toFixed(2)} x C++`,
    );
    results.push({ size, ns });
    memory.destroy();
  }
  return results;
}

/** Makes a loop with a source text of its own, so that V8 treats its memory as a constant. */
function viewLoop(memory) {
  return new Function(
    "memory",
    `/* ${memory.size} */ return (gpas) => {
      let sum = 0;
      for (let i = 0; i < gpas.length; i += 2) {
        sum += memory.readl(gpas[i]);
        memory.writel(gpas[i + 1], i & 255);
      }
      return sum;
    };`,
  )(memory);
}

/** RAM of 6 GiB: the time and memory to create it, and accesses below and above 4 GiB. */
export async function large() {
  const resident = process.memoryUsage.rss();
  const [starts, firsts] = [[], []];
  let memory;
  for (let i = 0; i < 5; i++) {
    memory?.destroy();
    starts.push(msOf(() => (memory = GuestMemory.allocate(6 * GIB))));
    firsts.push(msOf(() => memory.writel(0, 1)));
  }
  const grown = process.memoryUsage.rss() - resident;
  let huge;
  const hugeMs = msOf(() => (huge = GuestMemory.allocate(2 ** 44)));
  const hugeFirstMs = msOf(() => huge.writel(2 ** 40, 1));
  huge.destroy();
  const below = Float64Array.from(
    { length: ACCESSES },
    () => Math.floor(Math.random() * 2 ** 16) * 4,
  );
  const above = below.map((gpa) => gpa + 5 * GIB);
  const results = {
    createMs: median(starts),
    firstAccessMs: median(firsts),
    createHugeMs: hugeMs,
    firstAccessHugeMs: hugeFirstMs,
    residentBytes: grown,
    ns: {},
  };
  console.log(
    `\nRAM of 6 GiB: made in ${results.createMs.toFixed(1)} ms (the first in ` +
      `${starts[0].toFixed(1)}), first access ${results.firstAccessMs.toFixed(1)} ms, ` +
      `${(grown / 2 ** 20).toFixed(1)} MiB resident\n` +
      `RAM of 2^44 bytes: made in ${hugeMs.toFixed(1)} ms, first access ${hugeFirstMs.toFixed(1)} ms`,
  );
  const statements = {
    readl: "sum += memory.readl(gpas[i])",
    tryReadl: "memory.tryReadl(gpas[i], out)",
    writel: "memory.writel(gpas[i], i & 255)",
    tryWritel: "memory.tryWritel(gpas[i], i & 255)",
    tryReadq: "memory.tryReadq(gpas[i] - (gpas[i] & 4), quad)",
  };
  for (const [name, statement] of Object.entries(statements)) {
    const [low, high] = ["below", "above"].map((where) =>
      new Function(
        "memory, out, quad",
        `/* ${name} ${where} */ return (gpas) => {
          let sum = 0;
          for (let i = 0; i < gpas.length; i++) { ${statement}; }
          return sum;
        };`,
      )(memory, new Uint32Array(1), new BigUint64Array(1)),
    );
    const ms = await medianMs({ below: () => void low(below), above: () => void high(above) });
    const ns = { below: (ms.below * 1e6) / ACCESSES, above: (ms.above * 1e6) / ACCESSES };
    console.log(
      `  ${name.padEnd(10)} below 4 GiB ${ns.below.toFixed(2)} ns, above ${ns.above.toFixed(2)} ns: ` +
        `${(ns.above / ns.below).toFixed(2)} x`,
    );
    results.ns[name] = ns;
  }
  memory.destroy();
  return results;
}
