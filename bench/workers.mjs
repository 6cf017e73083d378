// Measures how access to guest RAM scales with workers that share it. Run `npm run build`, then
// `node bench/workers.mjs`.
//
// One worker alone and two at once take turns, and the figures are medians. Two workers can be
// twice as fast as one only if two processors are free, so each round also times a loop that
// touches no memory: its gain is the gain that the machine allowed at the time. The last column is
// the gain by processor time instead of elapsed time, which estimates the gain on a machine with
// two free processors.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import os from "node:os";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { GuestMemory } from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";

const SIZE = 2 ** 22;
const ROUNDS = 15;
const CONTROL = "no memory at all";

/** Bodies of loops over `i` below `n`. `base` is the start of the worker's own half of RAM. */
const JOBS = {
  [CONTROL]: { n: 1e7, body: "sum = (Math.imul(sum, 31) + i) | 0" },
  "plain 32-bit loads and stores, view path, own half": {
    n: 1e7,
    body: `const gpa = base + ((i << 2) & ${SIZE / 2 - 1});
      memory.tryReadl(gpa, out); memory.tryWritel(gpa, (out[0] + i) >>> 0)`,
    operations: 2,
  },
  "plain 32-bit loads and stores, native path, own half": {
    n: 5e5,
    body: `const gpa = base + ((i << 2) & ${SIZE / 2 - 1});
      memory.native.tryReadl(gpa, out); memory.native.tryWritel(gpa, (out[0] + i) >>> 0)`,
    operations: 2,
  },
  "atomic add, view path, own word": { n: 1e6, body: "view.tryAddl(base, 1, out)" },
  "atomic add, native path, own word": { n: 1e6, body: "native.tryAddl(base, 1, out)" },
  "atomic add, view path, same word": { n: 1e6, body: "view.tryAddl(64, 1, out)" },
  "atomic add, native path, same word": { n: 1e6, body: "native.tryAddl(64, 1, out)" },
  "compare-and-exchange, view path, same word": {
    n: 1e6,
    body: "view.tryCompareExchangel(128, out[0], (out[0] + 1) >>> 0, out)",
  },
  "compare-and-exchange, native path, same word": {
    n: 1e6,
    body: "native.tryCompareExchangel(128, out[0], (out[0] + 1) >>> 0, out)",
  },
  "exclusive load and store, view path, same word": {
    n: 5e5,
    body: "monitor.tryLoadExclusivel(192, out); monitor.tryStoreExclusivel(192, (out[0] + 1) >>> 0, out)",
  },
};

/** Makes a loop with a source text of its own, so that it shares no type feedback with another. */
function makeLoop(body, names) {
  return new Function(
    ...names,
    `return function (n) { let sum = 0; for (let i = 0; i < n; i++) { ${body}; } return sum; }`,
  );
}

/** A barrier: waits until `count` threads have arrived. */
function meet(gate, count) {
  const generation = Atomics.load(gate, 1);
  if (Atomics.add(gate, 0, 1) + 1 === count) {
    Atomics.store(gate, 0, 0);
    Atomics.add(gate, 1, 1);
    Atomics.notify(gate, 1);
    return;
  }
  while (Atomics.load(gate, 1) === generation) {
    Atomics.wait(gate, 1, generation);
  }
}

function work() {
  const { shared, gate, base } = workerData;
  const memory = GuestMemory.attach(shared);
  const [view, native] = [memory.atomics, memory.native.atomics];
  const scope = { memory, view, native, base, out: new Uint32Array(1) };
  scope.monitor = new ExclusiveMonitor(view);
  const loops = Object.fromEntries(
    Object.entries(JOBS).map(([name, { body }]) => [
      name,
      makeLoop(body, Object.keys(scope))(...Object.values(scope)),
    ]),
  );
  parentPort.on("message", ({ name, n, together }) => {
    meet(gate, together);
    const start = process.hrtime.bigint();
    loops[name](n);
    parentPort.postMessage({ start, end: process.hrtime.bigint() });
  });
}

async function run(worker, job) {
  worker.postMessage(job);
  const [times] = await once(worker, "message");
  return times;
}

/**
 * Nanoseconds from the first start to the last end, and nanoseconds of processor time per worker.
 */
async function span(workers, name, n) {
  const before = process.cpuUsage();
  const spans = await Promise.all(
    workers.map((worker) => run(worker, { name, n, together: workers.length })),
  );
  const { user, system } = process.cpuUsage(before);
  const start = spans.map((one) => one.start).reduce((a, b) => (a < b ? a : b));
  const end = spans.map((one) => one.end).reduce((a, b) => (a > b ? a : b));
  return { clock: Number(end - start), processor: ((user + system) * 1000) / workers.length };
}

/** The throughput of two workers divided by that of one, by one of the two times. */
const gain = (alone, both, time) => (2 * alone[time]) / both[time];

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function measure() {
  const memory = GuestMemory.allocateShared(SIZE);
  // Touches every page first, so that no worker pays for the page faults.
  memory.fill(0, SIZE, 1);
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const workers = [0, SIZE / 2].map(
    (base) =>
      new Worker(new URL(import.meta.url), {
        workerData: { shared: memory.shareable, gate, base },
      }),
  );
  const row = (name, ...cells) =>
    console.log([name.padEnd(54), ...cells.map((cell) => cell.padStart(12))].join(" "));
  row(
    "ns per operation and worker",
    "alone",
    "two at once",
    "throughput",
    "no memory",
    "by CPU time",
  );
  const { [CONTROL]: control, ...jobs } = JOBS;
  await span(workers, CONTROL, control.n);
  for (const [name, { n, operations = 1 }] of Object.entries(jobs)) {
    await span(workers, name, Math.ceil(n / 10));
    const rounds = [];
    for (let round = 0; round < ROUNDS; round++) {
      const one = workers.slice(round % 2, (round % 2) + 1);
      const alone = await span(one, name, n);
      const both = await span(workers, name, n);
      const controlAlone = await span(one, CONTROL, control.n);
      rounds.push([
        alone.clock / n / operations,
        both.clock / n / operations,
        gain(alone, both, "clock"),
        gain(controlAlone, await span(workers, CONTROL, control.n), "clock"),
        gain(alone, both, "processor"),
      ]);
    }
    const medians = rounds[0].map((_, column) => median(rounds.map((round) => round[column])));
    row(name, ...medians.map((value, column) => `${value.toFixed(2)}${column < 2 ? "" : " x"}`));
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
}

if (isMainThread) {
  await measure();
  const load =
    os.platform() === "linux" ? readFileSync("/proc/loadavg", "utf8").split(" ")[0] : "?";
  console.log(
    `\n${os.cpus()[0].model}, ${os.cpus().length} processors, load ${load}, Node ${process.version}`,
  );
} else {
  work();
}
