// Compares an emulator of another author, rp2040js, on an address space with the same on its own
// arrays. Each machine has a thread of its own, whose V8 has no type feedback of the other.

import { once } from "node:events";
import { performance } from "node:perf_hooks";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { RP2040 } from "rp2040js";
import { load } from "../../examples/rp2040/load.mjs";
import { SpaceRP2040 } from "../../examples/rp2040/space-rp2040.mjs";
import { median } from "../measure.mjs";

/** Threads may run at different speeds for all their life, so there are several of each kind. */
const PAIRS = 5;
const TURNS = 25;
const WARMUP = 8;
/** Instructions of a turn. */
const INSTRUCTIONS = 200_000;
const MACHINES = { own: RP2040, space: SpaceRP2040 };

/** Milliseconds that a machine takes for its next instructions. */
function timeSlice({ core }) {
  const start = performance.now();
  for (let i = 0; i < INSTRUCTIONS; i++) {
    core.executeInstruction();
  }
  return performance.now() - start;
}

/** Nanoseconds per instruction on each machine, and the ratio own / space of each turn's times. */
async function measurePair() {
  const workers = Object.keys(MACHINES).map(
    (machine) => new Worker(new URL(import.meta.url), { workerData: { machine } }),
  );
  const turns = [];
  for (let turn = -WARMUP; turn < TURNS; turn++) {
    const ms = [];
    for (const i of turn % 2 === 0 ? [0, 1] : [1, 0]) {
      workers[i].postMessage("run");
      [ms[i]] = await once(workers[i], "message");
    }
    if (turn >= 0) {
      turns.push(ms);
    }
  }
  await Promise.all(workers.map((worker) => worker.terminate()));
  const [own, space] = [0, 1].map((i) => (median(turns.map((ms) => ms[i])) * 1e6) / INSTRUCTIONS);
  return { own, space, ratio: median(turns.map(([ownMs, spaceMs]) => ownMs / spaceMs)) };
}

/** `{ rp2040js: { own, space, ratio } }`: nanoseconds per instruction, and own / space. */
export async function clients() {
  console.log(
    "\nemulators: nanoseconds per instruction, and the speed in multiples of its own arrays",
  );
  const pairs = [];
  for (let pair = 0; pair < PAIRS; pair++) {
    pairs.push(await measurePair());
  }
  const rp2040js = {
    own: median(pairs.map(({ own }) => own)),
    space: median(pairs.map(({ space }) => space)),
    ratio: median(pairs.map(({ ratio }) => ratio)),
  };
  const [own, space, ratio] = Object.values(rp2040js).map((figure) => figure.toFixed(2));
  const each = pairs.map((pair) => pair.ratio.toFixed(2)).join(", ");
  console.log(`  rp2040js: ${own} ns on its own arrays, ${space} ns on an address space`);
  console.log(`  ${ratio} x as fast; pairs of threads: ${each}`);
  return { rp2040js };
}

if (!isMainThread) {
  const machine = new MACHINES[workerData.machine]();
  load(machine, 0xffff_ffff);
  parentPort.on("message", () => parentPort.postMessage(timeSlice(machine)));
}
