import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { GuestMemory } from "pound-guest-memory";
import { WIDTHS } from "../support/widths.js";

const WORKERS = 4;
const ROUNDS = 50_000;

/**
 * Runs a script in several workers at once, over one RAM. It sees `memory`, `atomics` (of the view
 * path in every second worker and of the native path, if there is one, in the others), `index`,
 * `ROUNDS` and `nativeOf`.
 */
async function inWorkers(count: number, memory: GuestMemory, body: string): Promise<void> {
  const script = `
    const { workerData } = require("node:worker_threads");
    const { GuestMemory } = require("pound-guest-memory");
    const { ExclusiveMonitor } = require("pound-guest-memory/atomics");
    const { index, ROUNDS, suffixes } = workerData;
    const memory = GuestMemory.attach(workerData.shared);
    const nativeOf = (memory) => (GuestMemory.hasNative ? memory.native : memory);
    const atomics = index % 2 === 0 ? memory.atomics : nativeOf(memory).atomics;
    const next = (suffix, number) =>
      suffix === "q" ? BigInt.asUintN(64, number + 1n)
        : suffix === "l" ? (number + 1) >>> 0 : (number + 1) & (suffix === "b" ? 0xff : 0xffff);
    const value = (suffix, number) => (suffix === "q" ? BigInt(number) : number);
    // Nobody starts before all are there, or they would run one after the other.
    const start = new Int32Array(memory.shareable.buffer, memory.shareable.offset, 1);
    Atomics.add(start, 0, 1);
    Atomics.notify(start, 0);
    for (let there; (there = Atomics.load(start, 0)) < ${count};) Atomics.wait(start, 0, there);
    // Gives the processor away: there may be more workers than there are processors.
    const yieldNow = () => Atomics.wait(start, 0, ${count}, 0.01);
    ${body}`;
  const suffixes = WIDTHS.map(({ suffix }) => suffix);
  const workers = Array.from(
    { length: count },
    (_, index) =>
      new Worker(script, {
        eval: true,
        workerData: { shared: memory.shareable, index, ROUNDS, suffixes },
      }),
  );
  // `once` rejects where a worker ends with an error.
  const codes = await Promise.all(workers.map((worker) => once(worker, "exit")));
  expect(codes.flat()).to.deep.equal(Array(count).fill(0));
}

/** The counter of a width: each in a quad word of its own, that no carry may leave. */
function counters(memory: GuestMemory): bigint[] {
  return WIDTHS.map((_, i) => memory.readq(64 + 8 * i));
}

/** What they hold after `count` additions, each wrapping at its width. */
function expectedCounters(count: number): bigint[] {
  return WIDTHS.map(({ bytes }) => BigInt(count) % 2n ** BigInt(8 * bytes));
}

describe("workers over one RAM", function () {
  this.timeout(60_000);
  let memory: GuestMemory;

  beforeEach(() => {
    memory = GuestMemory.allocateShared(4096);
  });

  afterEach(() => memory.destroy());

  it("lose no addition, at any width, whichever path each takes", async () => {
    await inWorkers(
      WORKERS,
      memory,
      `suffixes.forEach((s, k) => {
        const [name, gpa, one] = ["add" + s, 64 + 8 * k, value(s, 1)];
        for (let i = 0; i < ROUNDS; i++) atomics[name](gpa, one);
      });`,
    );
    expect(counters(memory)).to.deep.equal(expectedCounters(WORKERS * ROUNDS));
  });

  it("lose no compare-and-exchange", async () => {
    await inWorkers(
      WORKERS,
      memory,
      `suffixes.forEach((s, k) => {
        const [load, exchange, gpa] = ["load" + s, "compareExchange" + s, 64 + 8 * k];
        for (let i = 0; i < ROUNDS; i++) {
          let found = atomics[load](gpa);
          for (let before; (before = atomics[exchange](gpa, found, next(s, found))) !== found;)
            found = before;
        }
      });`,
    );
    expect(counters(memory)).to.deep.equal(expectedCounters(WORKERS * ROUNDS));
  });

  it("lose no store-exclusive, and leave failed ones undone", async () => {
    await inWorkers(
      WORKERS,
      memory,
      `const monitor = new ExclusiveMonitor(atomics);
      suffixes.forEach((s, k) => {
        const [load, store, gpa] = ["loadExclusive" + s, "storeExclusive" + s, 64 + 8 * k];
        for (let i = 0; i < ROUNDS; i++) {
          while (!monitor[store](gpa, next(s, monitor[load](gpa))));
        }
      });`,
    );
    expect(counters(memory)).to.deep.equal(expectedCounters(WORKERS * ROUNDS));
  });

  it("count together by addition, compare-and-exchange and exclusives on one counter", async () => {
    await inWorkers(
      3,
      memory,
      `const monitor = new ExclusiveMonitor(atomics);
      const byExclusives = () => {
        while (!monitor.storeExclusivel(64, monitor.loadExclusivel(64) + 1));
      };
      const byExchange = () => {
        let found = atomics.loadl(64);
        for (let before; (before = atomics.compareExchangel(64, found, found + 1)) !== found;)
          found = before;
      };
      const count = [() => atomics.addl(64, 1), byExclusives, byExchange][index];
      for (let i = 0; i < ROUNDS; i++) count();`,
    );
    expect(memory.readl(64)).to.equal(3 * ROUNDS);
  });

  it("keep plain stores apart by a lock, through either path", async () => {
    await inWorkers(
      WORKERS,
      memory,
      `const [LOCK, FIRST, LAST] = [64, 128, 1024];
      const plain = index % 2 === 0 ? memory : nativeOf(memory);
      for (let i = 0; i < ROUNDS / 100; i++) {
        while (atomics.compareExchangel(LOCK, 0, 1) !== 0) yieldNow();
        // The one before left the same count everywhere, or the lock orders nothing.
        const count = plain.readl(FIRST);
        for (let gpa = FIRST; gpa < LAST; gpa += 4) {
          if (plain.readl(gpa) !== count) throw new Error("a store was seen late");
          plain.writel(gpa, count + 1);
        }
        atomics.storel(LOCK, 0);
      }`,
    );
    for (let gpa = 128; gpa < 1024; gpa += 4) {
      expect(memory.readl(gpa)).to.equal(WORKERS * (ROUNDS / 100));
    }
  });

  it("pass messages: what was stored before a flag is seen after it", async () => {
    await inWorkers(
      2,
      memory,
      `const [FLAG, DATA] = [64, 128];
      const plain = index === 0 ? memory : nativeOf(memory);
      for (let i = 1; i <= ROUNDS / 100; i++) {
        // The sender waits for an even flag, the receiver for an odd one.
        const awaited = 2 * i - 2 + index;
        while (atomics.loadl(FLAG) !== awaited) yieldNow();
        for (let gpa = DATA; gpa < DATA + 64; gpa += 8) {
          if (index === 0) plain.writeq(gpa, BigInt(i) << 20n);
          else if (plain.readq(gpa) !== BigInt(i) << 20n) throw new Error("an old message");
        }
        atomics.storel(FLAG, awaited + 1);
      }`,
    );
    expect(memory.readl(64)).to.equal(2 * (ROUNDS / 100));
  });
});
