import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { median, medianMs } from "../measure.mjs";

const PAGE = 4096;
const GIB = 2 ** 30;
const LARGE = 4 * GIB;
/** RAM of the loops that write, in bytes. */
const SMALL = 2 ** 24;
/** Writes timed together. */
const SLICE = 8192;
const CHANGED = 1000;

/** Drains of 4 GiB of resident RAM, and the speed of writes, by who tracks them. */
export async function tracking() {
  const probe = allocate(PAGE);
  probe.startTracking("auto");
  if (probe.tracking !== "os") {
    console.log("\ndirty tracking: skipped, because this system does not track writes");
    return {};
  }
  return { ...(await drains()), ...(await writes()) };
}

function allocate(size) {
  return GuestMemory.allocate(size, { writeWatch: true });
}

async function drains() {
  const memory = allocate(LARGE);
  for (let gpa = 0; gpa < LARGE; gpa += PAGE) {
    memory.writeb(gpa, 1);
  }
  const start = (mode) => () => {
    memory.stopTracking();
    const began = performance.now();
    memory.startTracking(mode);
    return { overriddenDuration: performance.now() - began };
  };
  const few = { rounds: 5, warmup: 1 };
  const starts = await medianMs({ os: start("os"), software: start("software") }, few);
  console.log("\ndirty tracking of 4 GiB of resident RAM, ms: by the system, by the accessors");
  const results = { "start of the tracking": starts };
  const touch = (count) => {
    for (let i = 0; i < count; i++) {
      memory.writeb((i * 1031 * PAGE) % LARGE, i & 0xff);
    }
  };
  for (const mode of ["os", "software"]) {
    memory.stopTracking();
    memory.startTracking(mode);
    const cursor = memory.dirtyCursor();
    const drain = (count) => () => {
      touch(count);
      const began = performance.now();
      cursor.drain();
      return { overriddenDuration: performance.now() - began };
    };
    const ways = {
      "drain, nothing changed": drain(0),
      "drain, 1000 pages changed": drain(CHANGED),
    };
    const ms = await medianMs(ways, { rounds: 41 });
    for (const [name, value] of Object.entries(ms)) {
      (results[name] ??= {})[mode] = value;
    }
  }
  memory.destroy();
  for (const [name, { os, software }] of Object.entries(results)) {
    console.log(
      `  ${name.padEnd(42)} ${os.toFixed(2).padStart(8)} ${software.toFixed(2).padStart(8)}`,
    );
  }
  return results;
}

/**
 * Makes a loop with a source text of its own, so that it has type feedback of its own. Short slices
 * warm it up, so that V8 compiles the function at a call, and not while its loop runs: on Node 24,
 * such code can be slower, and stay.
 */
function writeLoop(memory, name) {
  const loop = new Function(
    "memory",
    `/* ${name} */ return (at, count) => {
      for (let i = 0; i < count; i++) memory.writel(at + i * 4, i);
    };`,
  )(memory);
  for (let run = 0; run < 4000; run++) {
    loop(0, 256);
  }
  return loop;
}

const KINDS = {
  "view path": (memory) => memory,
  "native path": (memory) => memory.native,
  "a space": (memory) => spaceOf(memory),
  "native path of a space": (memory) => spaceOf(memory).native,
};

/** Nanoseconds per write of 32 bits to pages that were written since the last drain. */
async function writes() {
  console.log("\nwrites to tracked RAM, ns (x: times the writes to RAM that is not tracked)");
  const results = {};
  for (const kind of Object.keys(KINDS)) {
    const samples = { none: [], os: [], software: [] };
    for (let round = 0; round < 3; round++) {
      for (const [mode, all] of Object.entries(samples)) {
        all.push(await inWorker({ kind, mode }));
      }
    }
    const ns = Object.fromEntries(
      Object.entries(samples).map(([mode, all]) => [mode, median(all)]),
    );
    results[kind] = ns;
    const ratio = (mode) =>
      `${ns[mode].toFixed(2).padStart(8)} (${(ns[mode] / ns.none).toFixed(2)}x)`;
    console.log(`  ${kind.padEnd(42)} system ${ratio("os")}  accessors ${ratio("software")}`);
  }
  results["first write to a page after a drain"] = await firstWrites();
  return results;
}

/** Measures a row in a thread of its own, whose V8 has no type feedback of another. */
async function inWorker(row) {
  const worker = new Worker(new URL(import.meta.url), { workerData: row });
  const [ns] = await once(worker, "message");
  return ns;
}

async function measureWrites({ kind, mode }) {
  const memory = allocate(SMALL);
  memory.fill(0, SMALL, 1);
  if (mode !== "none") {
    memory.startTracking(mode);
  }
  const loop = writeLoop(KINDS[kind](memory), kind);
  let at = 0;
  const run = () => {
    loop(at, SLICE);
    at = (at + SLICE * 4) % SMALL;
  };
  const ms = await medianMs({ run }, { rounds: 800, warmup: 600 });
  return (ms.run * 1e6) / SLICE;
}

/** Nanoseconds of the first write to a page after a drain, beside that of a later one. */
async function firstWrites() {
  const memory = allocate(SMALL);
  memory.fill(0, SMALL, 1);
  const { buffer } = memory;
  const dirty = memory.startTracking("os");
  const touch = () => {
    const began = performance.now();
    for (let at = 0; at < SMALL; at += PAGE) {
      buffer[at] = 2;
    }
    return { overriddenDuration: performance.now() - began };
  };
  const first = () => {
    dirty.drain();
    return touch();
  };
  const ms = await medianMs({ first, later: touch }, { rounds: 101 });
  const ns = Object.fromEntries(
    Object.entries(ms).map(([of, value]) => [of, (value * 1e6 * PAGE) / SMALL]),
  );
  console.log(
    `  first write to a page after a drain, by the system: ${ns.first.toFixed(0)}, ` +
      `later ones ${ns.later.toFixed(1)}`,
  );
  return ns;
}

function spaceOf(memory) {
  const space = new AddressSpace();
  space.addRam(0, memory);
  return space;
}

if (!isMainThread && workerData?.kind in KINDS) {
  parentPort.postMessage(await measureWrites(workerData));
}
