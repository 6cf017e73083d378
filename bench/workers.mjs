// How guest RAM that workers share scales: `node bench/workers.mjs` after `npm run build`.
//
// Every figure is for one worker alone and for two at once, by turns in one run, as medians. Two
// workers can only be twice as fast as one where two processors are free, so each round also times
// a loop that touches no memory: its throughput is what the machine had to give at the time.

import { once } from "node:events";
import { readFileSync } from "node:fs";
import os from "node:os";
import { Worker, isMainThread, parentPort, workerData } from "node:worker_threads";
import { ExclusiveMonitor, GuestMemory } from "pound-guest-memory";

const SIZE = 2 ** 22;
const ROUNDS = 15;
const CONTROL = "no memory at all";

/** Bodies of loops over `i` below `n`; each worker has `base`, the start of its own half. */
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

/** Source of its own for each job, so that none runs on the type feedback of another. */
function makeLoop(body, names) {
  return new Function(
    ...names,
    `return function (n) { let sum = 0; for (let i = 0; i < n; i++) { ${body}; } return sum; }`,
  );
}

/** Waits until `count` threads are here; the last to come lets all go on. */
function meet(gate, count) {
  if (Atomics.add(gate, 0, 1) + 1 === count) {
    Atomics.store(gate, 0, 0);
    Atomics.add(gate, 1, 1);
    return;
  }
  for (const generation = Atomics.load(gate, 1); Atomics.load(gate, 1) === generation;);
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

/** Nanoseconds from the first start to the last end. */
async function span(workers, name, n) {
  const spans = await Promise.all(
    workers.map((worker) => run(worker, { name, n, together: workers.length })),
  );
  const start = spans.map((one) => one.start).reduce((a, b) => (a < b ? a : b));
  const end = spans.map((one) => one.end).reduce((a, b) => (a > b ? a : b));
  return Number(end - start);
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function measure() {
  const memory = GuestMemory.allocateShared(SIZE);
  // Touched before, so that no worker pays for the first use of a page.
  memory.fill(0, SIZE, 1);
  const gate = new Int32Array(new SharedArrayBuffer(8));
  const workers = [0, SIZE / 2].map(
    (base) =>
      new Worker(new URL(import.meta.url), {
        workerData: { shared: memory.shareable, gate, base },
      }),
  );
  console.log(
    `${"ns per operation and worker".padEnd(54)}   alone  two at once  throughput  control`,
  );
  const { [CONTROL]: control, ...jobs } = JOBS;
  await span(workers, CONTROL, control.n);
  for (const [name, { n, operations = 1 }] of Object.entries(jobs)) {
    await span(workers, name, Math.ceil(n / 10));
    const [alone, both, gains, controls] = [[], [], [], []];
    for (let round = 0; round < ROUNDS; round++) {
      const one = workers.slice(round % 2, (round % 2) + 1);
      alone.push((await span(one, name, n)) / n / operations);
      both.push((await span(workers, name, n)) / n / operations);
      gains.push((2 * alone.at(-1)) / both.at(-1));
      const controlAlone = await span(one, CONTROL, control.n);
      controls.push((2 * controlAlone) / (await span(workers, CONTROL, control.n)));
    }
    const figures = [
      median(alone).toFixed(2).padStart(7),
      median(both).toFixed(2).padStart(12),
      `${median(gains).toFixed(2)} x`.padStart(11),
      `${median(controls).toFixed(2)} x`.padStart(8),
    ];
    console.log(`${name.padEnd(54)} ${figures.join(" ")}`);
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
