import { setFlagsFromString } from "node:v8";
import { hrtimeNow } from "tinybench";
import { CPP } from "../names.mjs";
import { DATA_VIEW, EMPTY, KOFFI, NATIVE, NATIVE_BY_TURNS, waysFor } from "../ways.mjs";
import { medianMs } from "../measure.mjs";
import { workloads } from "../workloads.mjs";

/** Operations timed together: few enough that most slices run without an interruption. */
const SLICE = 8192;
/** Enough for V8 to compile a loop with all of its optimizations. */
const WARM_UP_RUNS = 50;

/**
 * Runs every way on slices that have each kind of operation of its loop equally often, including
 * kinds that the workload does not have.
 *
 * V8 inlines a call into a loop only if the loop makes it often enough, and it counts calls only
 * until it first compiles the loop. In a trace with few stores, chance would decide whether it
 * inlines them, and a call that it does not inline makes it keep the loop's variables in memory.
 * A kind that has never run is compiled to a branch that leaves the loop, which prevents peeling.
 */
function warmUp(ways, { mixed, width, gpas }) {
  const all = mixed ? [0, 1, 2, 3, 4, 5, 6, 7] : [width, width + 4];
  const kinds = Uint8Array.from({ length: SLICE }, (_, i) => all[i % all.length]);
  const aligned = Uint32Array.from(kinds, (_, i) => gpas[i] & ~7);
  for (const way of Object.values(ways)) {
    for (let i = 0; i < WARM_UP_RUNS; i++) {
      way(kinds, aligned);
    }
  }
}

/** Checks that every way has loaded the same values, or else the figures cannot be compared. */
function checkSums(ways, { kinds, gpas }) {
  // The first pass loads bytes that no store has written yet. From the second on, passes are equal.
  for (const way of Object.values(ways)) {
    way(kinds, gpas);
  }
  const expected = Number(BigInt.asIntN(32, BigInt(ways[CPP](kinds, gpas))));
  for (const [name, way] of Object.entries(ways)) {
    const found = way(kinds, gpas);
    if (name !== CPP && typeof found === "number" && found !== expected) {
      throw new Error(`${name}: loaded ${found} in all, and C++ ${expected}`);
    }
  }
}

function print({ name, operations, ns }) {
  console.log(`\n${name}: ${operations.toLocaleString("en")} accesses`);
  for (const [way, value] of Object.entries(ns)) {
    const ratio = (value / ns[CPP]).toFixed(2);
    console.log(
      `  ${way.padEnd(42)} ${value.toFixed(2).padStart(8)} ns ${ratio.padStart(7)} x C++`,
    );
  }
  const times = (a, b) => (ns[a] / ns[b]).toFixed(2);
  console.log(
    `  native path, a call each: ${times(NATIVE, EMPTY)} x the empty call, ` +
      `two memories by turns: ${times(NATIVE_BY_TURNS, EMPTY)} x; ` +
      `koffi: ${times(KOFFI, NATIVE)} x the native path; ` +
      `DataView: ${times(DATA_VIEW, CPP)} x C++`,
  );
}

/**
 * Cuts operations into whole slices. A rest would weigh as much as a whole slice, so it is dropped.
 */
function slicesOf({ kinds, gpas }) {
  return Array.from({ length: Math.floor(gpas.length / SLICE) }, (_, i) => [
    kinds.subarray(i * SLICE, (i + 1) * SLICE),
    gpas.subarray(i * SLICE, (i + 1) * SLICE),
  ]);
}

/**
 * Runs a slice twice and times the second run. The ways take turns, each with RAM of its own, which
 * together exceed the caches of a core. The first run brings this way's RAM back into them.
 */
function secondRun(way, [kinds, gpas]) {
  way(kinds, gpas);
  const start = hrtimeNow();
  const result = way(kinds, gpas);
  const milliseconds = hrtimeNow() - start;
  return result?.overriddenDuration === undefined ? { overriddenDuration: milliseconds } : result;
}

/** For each way, the sum of the medians of its slices. The ways take turns after each pass. */
async function nsPerAccess(ways, slices) {
  const runs = new Map();
  for (const name of Object.keys(ways)) {
    slices.forEach((slice, i) => {
      runs.set(`${i} ${name}`, () => secondRun(ways[name], slice));
    });
  }
  const ns = Object.fromEntries(Object.keys(ways).map((name) => [name, 0]));
  for (const [run, ms] of Object.entries(await medianMs(Object.fromEntries(runs)))) {
    ns[run.slice(run.indexOf(" ") + 1)] += (ms * 1e6) / (slices.length * SLICE);
  }
  return ns;
}

async function run(workload) {
  const ways = waysFor(workload);
  warmUp(ways, workload);
  checkSums(ways, workload);
  const slices = slicesOf(workload);
  const ns = await nsPerAccess(ways, slices);
  const result = { name: workload.name, operations: slices.length * SLICE, ns };
  print(result);
  return result;
}

/**
 * Once a process has detached any ArrayBuffer, V8 checks before each access to a typed array or
 * DataView whether its buffer is detached. Transfers to workers, `fetch`, and growing WebAssembly
 * memory detach buffers.
 */
function detachSomeBuffer() {
  const buffer = new ArrayBuffer(8);
  structuredClone(buffer, { transfer: [buffer] });
}

/**
 * Nanoseconds per access of every way, for each workload.
 *
 * V8 compiles each loop at a call. When it compiles a loop while it runs (on-stack replacement),
 * chance decides which of two speeds the code has.
 */
export async function accesses() {
  setFlagsFromString("--no-use-osr");
  const all = await workloads();
  const results = [];
  for (const workload of all) {
    results.push(await run(workload));
  }
  detachSomeBuffer();
  const [first] = all;
  results.push(await run({ ...first, name: `${first.name}, with some ArrayBuffer detached` }));
  setFlagsFromString("--use-osr");
  return results;
}
