import { PerformanceObserver } from "node:perf_hooks";
import { GuestMemory } from "pound-guest-memory";

const ACCESSES = 1e8;

/** Heap use of 64-bit accesses: the bytes they leave, and the number of garbage collections. */
export async function allocation() {
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

/** Observers are called between turns of the event loop. */
function nextTurn() {
  return new Promise((resolve) => setTimeout(resolve, 20));
}
