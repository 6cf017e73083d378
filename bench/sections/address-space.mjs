// Measures accesses through an address space, beside the same accesses to flat RAM, to untracked
// memory or to the handler of a device; and the changes of a map. Each row is measured in a thread
// of its own, whose V8 has no type feedback of another. bench/sections/space-rows.mjs and
// bench/sections/mmu-rows.mjs have the rows.

import { once } from "node:events";
import { setFlagsFromString } from "node:v8";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { medianMs } from "../measure.mjs";
import { MMU_GROUPS } from "./mmu-rows.mjs";
import { SPACE_GROUPS } from "./space-rows.mjs";

const GROUPS = { ...SPACE_GROUPS, ...MMU_GROUPS };

/** Nanoseconds per address of each pass of a row. */
async function measure({ passes, gpas }) {
  const timed = Object.entries(passes).map(([name, pass]) => [name, () => void pass(gpas)]);
  const ms = await medianMs(Object.fromEntries(timed), { rounds: 200, warmup: 50 });
  return Object.fromEntries(
    Object.entries(ms).map(([name, each]) => [name, (each * 1e6) / gpas.length]),
  );
}

async function inWorker(data) {
  const worker = new Worker(new URL(import.meta.url), { workerData: data });
  const [ns] = await once(worker, "message");
  return ns;
}

/** The figures of a row in words. If they are compared, the first is compared with the second. */
function inWords(figures, comparison) {
  if (comparison === undefined) {
    return figures.map(([name, ns]) => `${ns.toFixed(2).padStart(8)} ns (${name})`).join("");
  }
  const [[, ns], [other, than]] = figures;
  const difference =
    comparison === "ratio"
      ? `${(ns / than).toFixed(2)} x`
      : `${(ns - than).toFixed(2)} ns more than`;
  return `${ns.toFixed(2).padStart(8)} ns, ${difference} ${other}`;
}

/**
 * Nanoseconds by group of rows, by row and by pass. V8 compiles each loop at a call, as in
 * bench/sections/accesses.mjs.
 */
export async function addressSpace() {
  setFlagsFromString("--no-use-osr");
  const results = {};
  for (const [group, { rows, comparison }] of Object.entries(GROUPS)) {
    results[group] = {};
    console.log(`\naddress space, ${group}`);
    for (const row of Object.keys(rows)) {
      const ns = await inWorker({ group, row });
      console.log(`  ${row.padEnd(46)}${inWords(Object.entries(ns), comparison)}`);
      results[group][row] = ns;
    }
  }
  setFlagsFromString("--use-osr");
  return results;
}

if (!isMainThread) {
  const { group, row } = workerData;
  parentPort.postMessage(await measure(GROUPS[group].rows[row]()));
}
