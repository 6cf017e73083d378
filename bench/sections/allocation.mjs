import { PerformanceObserver } from "node:perf_hooks";
import { GuestMemory } from "pound-guest-memory";
import { medianMs } from "../measure.mjs";

const ACCESSES = 1e8;
/** Iterations timed together, as in the section of the accesses. */
const SLICE = 8192;

/** Heap use of 64-bit accesses, and the speed of a memory after another one was destroyed. */
export async function allocation() {
  return [...(await heapUse()), ...(await afterDestroy())];
}

/** The bytes that 64-bit accesses leave, and the number of garbage collections. */
async function heapUse() {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ["gc"] });
  const memory = GuestMemory.allocate(2 ** 20);
  const cell = new BigUint64Array(1);
  const loops = {
    "tryReadq into a BigUint64Array": (n) => {
      for (let i = 0; i < n; i++) {
        memory.tryReadq((i & 0xffff) * 8, cell);
      }
    },
    "tryWriteqFrom of a BigUint64Array": (n) => {
      for (let i = 0; i < n; i++) {
        memory.tryWriteqFrom((i & 0xffff) * 8, cell);
      }
    },
    "tryWriteq of a bigint that there is": (n) => {
      const value = 0xfedc_ba98_7654_3210n;
      for (let i = 0; i < n; i++) {
        memory.tryWriteq((i & 0xffff) * 8, value);
      }
    },
    "tryWriteq of an element of an array": (n) => {
      for (let i = 0; i < n; i++) {
        memory.tryWriteq((i & 0xffff) * 8, cell[0]);
      }
    },
  };
  console.log(`\n64 bits, ${ACCESSES.toLocaleString("en")} accesses each, on the view path`);
  const results = [];
  for (const [name, loop] of Object.entries(loops)) {
    for (let i = 0; i < 20; i++) {
      loop(100_000);
    }
    await nextTurn();
    const before = { collections, heap: process.memoryUsage().heapUsed };
    loop(ACCESSES);
    const heap = process.memoryUsage().heapUsed - before.heap;
    await nextTurn();
    const result = { name, heap, collections: collections - before.collections };
    console.log(
      `  ${name.padEnd(42)} heap ${heap >= 0 ? "+" : ""}${heap} bytes, ` +
        `${result.collections} collections`,
    );
    results.push(result);
  }
  observer.disconnect();
  return results;
}

/**
 * Accesses to one memory before and after the first `destroy()` of another. Until then V8 can treat
 * the arrays of a memory that is itself a constant as constants.
 */
async function afterDestroy() {
  const memory = GuestMemory.allocate(2 ** 24);
  // Two objects by turns, so that V8 treats neither as a constant.
  const machines = [{ memory }, { memory }];
  let turn = 0;
  const loops = (when) => {
    const constant = mixedLoop("memory", memory, when);
    const field = mixedLoop("machine.memory", memory, when);
    return {
      "as a constant": () => void constant(),
      "in a field": () => void field(machines[turn++ & 1]),
    };
  };
  const rounds = { rounds: 401, warmup: 200 };
  const before = await medianMs(loops("before"), rounds);
  GuestMemory.allocate(4096).destroy();
  const after = await medianMs(loops("after"), rounds);
  console.log("\na memory before and after another one was destroyed, ns per access");
  return Object.entries(before).map(([name, ms]) => {
    const perAccess = (value) => (value * 1e6) / (SLICE * 5);
    const ns = { before: perAccess(ms), after: perAccess(after[name]) };
    console.log(
      `  ${name.padEnd(42)} ${ns.before.toFixed(2)}, then ${ns.after.toFixed(2)}: ` +
        `${(ns.after / ns.before).toFixed(2)} x`,
    );
    return { name: `${name}, after a destroy`, ns };
  });
}

/** Makes a loop with a source text of its own, so that it has type feedback of its own. */
function mixedLoop(ram, memory, when) {
  return new Function(
    "memory, words, longs",
    `/* ${when} */ return (machine) => {
      let sum = 0;
      for (let i = 0; i < ${SLICE}; i++) {
        const gpa = (i * 28) & 0xffff8;
        sum += ${ram}.readl(gpa) + ${ram}.tryReadw(gpa + 2, words) + ${ram}.tryReadl(gpa, longs);
        ${ram}.writew(gpa + 4, i);
        sum += ${ram}.tryWritel(gpa, i);
      }
      return sum;
    };`,
  )(memory, new Uint16Array(1), new Uint32Array(1));
}

/** Observers are called between turns of the event loop. */
function nextTurn() {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
