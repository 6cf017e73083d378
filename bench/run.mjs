// Prints what one access costs by each way into guest RAM, all ways in one run over the same
// operations, next to the accessors looped in C++. `--json FILE` also writes the figures.

import { createReadStream, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import os from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import koffi from "koffi";
import { Bench } from "tinybench";
import { GuestMemory, OpBuffer } from "pound-guest-memory";

const require = createRequire(import.meta.url);
const here = fileURLToPath(new URL(".", import.meta.url));
const ADDON = `${here}build/Release/bench.node`;
const TRACE = `${here}../traces/gzip-numbers.lackey.gz`;
const SIZE = 2 ** 24;
const LOOP_LENGTH = 2 ** 18;
const ROUNDS = 7;

/** The accesses of the bundled trace: kinds as OpKind numbers them. */
async function traceOps() {
  const { gunzipIfPacked } = require("../dist/lackey.js");
  const { compileTrace, FirstTouchMap } = require("../dist/workload.js");
  const kinds = [];
  const gpas = [];
  const text = gunzipIfPacked(createReadStream(TRACE));
  for await (const batch of compileTrace(text, { map: new FirstTouchMap(SIZE) })) {
    for (let i = 0; i < batch.length; i++) {
      const [kind, width] = [batch.codes[i] >> 2, batch.codes[i] & 3];
      // A modify is a load and then a store.
      for (const store of kind === 3 ? [0, 4] : [kind === 2 ? 4 : 0]) {
        kinds.push(store + width);
        gpas.push(batch.gpas[i]);
      }
    }
  }
  return { kinds: Uint8Array.from(kinds), gpas: Uint32Array.from(gpas) };
}

/** Loads and stores in turn of one width, at addresses in order or at random. */
function loopOps(width, random) {
  const bytes = 1 << width;
  const gpas = Uint32Array.from({ length: LOOP_LENGTH }, (_, i) =>
    random ? Math.floor(Math.random() * (SIZE / bytes)) * bytes : (i * bytes) % SIZE,
  );
  return { kinds: Uint8Array.from(gpas, (_, i) => width + 4 * (i & 1)), gpas };
}

/**
 * A loop over operations whose every access is one of these statements. Each row gets source of
 * its own, so that none runs on the type feedback of another.
 */
function makeLoop(statements, names, values) {
  const cases = statements.map((statement, kind) => `case ${kind}: ${statement}; break;`);
  const body = `return function (kinds, gpas) {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) {
      const gpa = gpas[i];
      switch (kinds[i]) { ${cases.join("\n")} }
    }
    return sum;
  }`;
  return new Function(...names, body)(...values);
}

const WIDTHS = ["b", "w", "l", "q"];

function tryForm(memory) {
  const outs = [new Uint8Array(1), new Uint16Array(1), new Uint32Array(1), new BigUint64Array(1)];
  // The low half of what a 64-bit read left in `out`, without a bigint.
  const halves = new Uint32Array(outs[3].buffer);
  const source = new BigUint64Array(1);
  const low = new Uint32Array(source.buffer);
  const reads = WIDTHS.map(
    (w, k) => `memory.tryRead${w}(gpa, out${k}); sum += ${k === 3 ? "halves" : `out${k}`}[0]`,
  );
  const writes = ["i & 255", "i & 65535", "i"].map(
    (v, k) => `memory.tryWrite${WIDTHS[k]}(gpa, ${v})`,
  );
  const quad = "low[0] = i; memory.tryWriteq(gpa, source[0])";
  return makeLoop(
    [...reads, ...writes, quad],
    ["memory", "out0", "out1", "out2", "out3", "halves", "source", "low"],
    [memory, ...outs, halves, source, low],
  );
}

function throwingForm(memory) {
  const cell = new BigUint64Array(1);
  const low = new Uint32Array(cell.buffer);
  const reads = ["b", "w", "l"].map((w) => `sum += memory.read${w}(gpa)`);
  return makeLoop(
    [
      ...reads,
      "cell[0] = memory.readq(gpa); sum += low[0]",
      "memory.writeb(gpa, i & 255)",
      "memory.writew(gpa, i & 65535)",
      "memory.writel(gpa, i)",
      "cell[0] = 0n; low[0] = i; memory.writeq(gpa, cell[0])",
    ],
    ["memory", "cell", "low"],
    [memory, cell, low],
  );
}

/** What a user would write by hand: a DataView and the same checks. */
function dataView() {
  const view = new DataView(new ArrayBuffer(SIZE));
  const guard = (bytes, then) =>
    `if (gpa <= ${SIZE - bytes} && (gpa & ${bytes - 1}) === 0) { ${then} }`;
  return makeLoop(
    [
      guard(1, "sum += view.getUint8(gpa)"),
      guard(2, "sum += view.getUint16(gpa, true)"),
      guard(4, "sum += view.getUint32(gpa, true)"),
      // As a user would who minds speed: by halves.
      guard(8, "sum += view.getUint32(gpa, true); high = view.getUint32(gpa + 4, true)"),
      guard(1, "view.setUint8(gpa, i)"),
      guard(2, "view.setUint16(gpa, i, true)"),
      guard(4, "view.setUint32(gpa, i, true)"),
      guard(8, "view.setUint32(gpa, i, true); view.setUint32(gpa + 4, 0, true)"),
    ],
    ["view", "high"],
    [view, 0],
  );
}

/** Node's Buffer, which checks the bounds and throws, but knows no alignment. */
function buffer() {
  const ram = Buffer.alloc(SIZE);
  const mask = 0xffff_ffffn;
  return makeLoop(
    [
      "sum += ram.readUInt8(gpa)",
      "sum += ram.readUInt16LE(gpa)",
      "sum += ram.readUInt32LE(gpa)",
      "sum += Number(ram.readBigUInt64LE(gpa) & mask)",
      "ram.writeUInt8(i & 255, gpa)",
      "ram.writeUInt16LE(i & 65535, gpa)",
      "ram.writeUInt32LE(i, gpa)",
      "ram.writeBigUInt64LE(BigInt(i), gpa)",
    ],
    ["ram", "mask"],
    [ram, mask],
  );
}

/** koffi calls the C++ accessors by their C ABI; 32 bits only, which is enough to compare calls. */
function koffiCalls() {
  const library = koffi.load(ADDON);
  const readl = library.func("int bench_readl(double gpa, uint32_t *out)");
  const writel = library.func("int bench_writel(double gpa, uint32_t value)");
  const read = "readl(gpa, out); sum += out[0]";
  const none = "throw new Error('32 bits only')";
  return makeLoop(
    [none, none, read, none, none, none, "writel(gpa, i)", none],
    ["readl", "writel", "out"],
    [readl, writel, new Uint32Array(1)],
  );
}

function nativeBatch(memory, { kinds, gpas }) {
  const batches = [];
  for (let at = 0; at < gpas.length; at += 4096) {
    const batch = new OpBuffer(Math.min(4096, gpas.length - at));
    for (let i = at; !batch.full; i++) {
      batch.push(
        kinds[i],
        gpas[i],
        kinds[i] % 4 === 0 ? i & 255 : kinds[i] % 4 === 1 ? i & 65535 : i,
      );
    }
    batches.push(batch);
  }
  return () => {
    for (const batch of batches) {
      memory.run(batch);
    }
    return null;
  };
}

function rowsFor(addon, ops, only32) {
  const { empty } = addon;
  const emptyLoop = makeLoop(Array(8).fill("empty(gpa, i)"), ["empty"], [empty]);
  const rows = {
    "C++ accessors, looped in C++": addon.loop,
    "view path, result codes": tryForm(GuestMemory.allocate(SIZE)),
    "view path, throwing": throwingForm(GuestMemory.allocate(SIZE)),
    "DataView by hand, same checks": dataView(),
    "Buffer.readUInt32LE and the like": buffer(),
    "native path, batches of 4096": nativeBatch(GuestMemory.allocate(SIZE).native, ops),
    "native path, a call each": tryForm(GuestMemory.allocate(SIZE).native),
    "an empty N-API call": (...args) => (emptyLoop(...args), null),
  };
  return only32 ? { ...rows, "koffi, a call each": koffiCalls() } : rows;
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];

/** Medians in ns per access. The rows take turns, so that what slows the machine slows them all. */
async function measure(rows, { kinds, gpas }) {
  const samples = Object.fromEntries(Object.keys(rows).map((name) => [name, []]));
  for (let round = 0; round < ROUNDS; round++) {
    const bench = new Bench({ time: 0, iterations: 5, warmupTime: 0, warmupIterations: 2 });
    for (const [name, loop] of Object.entries(rows)) {
      bench.add(name, () => void loop(kinds, gpas));
    }
    await bench.run();
    for (const task of bench.tasks) {
      if (task.result.error) {
        throw task.result.error;
      }
      samples[task.name].push((task.result.latency.p50 * 1e6) / gpas.length);
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, ns]) => [name, median(ns)]));
}

/** Every way must have loaded the same, or the figures compare different things. */
function checkSums(rows, { kinds, gpas }) {
  // The first pass still loads what no store has written; from the second on, all are alike.
  for (const loop of Object.values(rows)) {
    loop(kinds, gpas);
  }
  const expected = rows["C++ accessors, looped in C++"](kinds, gpas);
  for (const [name, loop] of Object.entries(rows)) {
    const sum = loop(kinds, gpas);
    if (sum !== null && sum !== expected) {
      throw new Error(`${name}: loaded ${sum} in all, and C++ ${expected}`);
    }
  }
}

async function runWorkload(addon, name, ops, only32) {
  addon.allocate(SIZE);
  const rows = rowsFor(addon, ops, only32);
  checkSums(rows, ops);
  const ns = await measure(rows, ops);
  const best = ns["C++ accessors, looped in C++"];
  console.log(`\n${name}: ${ops.gpas.length.toLocaleString("en")} accesses`);
  for (const [row, value] of Object.entries(ns)) {
    console.log(
      `  ${row.padEnd(34)} ${value.toFixed(2).padStart(8)} ns ${(value / best).toFixed(2).padStart(7)} x C++`,
    );
  }
  return { name, accesses: ops.gpas.length, ns };
}

const { values } = parseArgs({ options: { json: { type: "string" } } });
const addon = require(ADDON);
const results = [
  await runWorkload(addon, "recorded trace of gzip", await traceOps(), false),
  await runWorkload(addon, "32 bits, in order", loopOps(2, false), true),
  await runWorkload(addon, "32 bits, at random", loopOps(2, true), true),
  await runWorkload(addon, "64 bits, in order", loopOps(3, false), false),
  await runWorkload(addon, "64 bits, at random", loopOps(3, true), false),
];
const machine = {
  cpu: os.cpus()[0].model,
  cores: os.cpus().length,
  node: process.version,
  v8: process.versions.v8,
};
console.log(`\n${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, V8 ${machine.v8}`);
if (values.json !== undefined) {
  const report = { date: new Date().toISOString(), command: "npm run bench", machine, results };
  writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}
