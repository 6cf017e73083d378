import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { Arena, GuestMemory, type SharedRam } from "pound-guest-memory";
import { FAULT, NO_MEMORY, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { itWide } from "../support/wide-tests.js";

const GIB = 2 ** 30;

describe("shared RAM", () => {
  it("is of exactly the size asked for, zeroed", () => {
    for (const size of [0, 1, 7, 8, 4096, 100_001]) {
      const memory = GuestMemory.allocateShared(size);
      expect(memory.size).to.equal(BigInt(size));
      expect(memory.shareable).to.include({ size });
      expect(memory.read(0, size).every((byte) => byte === 0)).to.equal(true);
      const attached = GuestMemory.attach(memory.shareable!);
      expect(attached.size).to.equal(BigInt(size));
      expect(attached.shareable).to.deep.equal(memory.shareable);
    }
  });

  it("is one RAM through every handle, each of which ends alone", () => {
    const memory = GuestMemory.allocateShared(64);
    const attached = GuestMemory.attach(memory.shareable!);
    memory.writel(8, 0xdead_beef);
    expect(attached.native.readl(8)).to.equal(0xdead_beef);
    attached.atomics.addq(56, 5n);
    expect(memory.readq(56)).to.equal(5n);
    attached.destroy();
    expect(thrown(() => attached.readl(8))).to.deep.equal(FAULT);
    expect(attached.shareable).to.equal(null);
    expect(memory.readl(8)).to.equal(0xdead_beef);
    const again = GuestMemory.attach(memory.shareable!);
    memory.destroy();
    expect(memory.shareable).to.equal(null);
    expect(again.readl(8)).to.equal(0xdead_beef);
  });

  it("can be had over a SharedArrayBuffer of the caller's, wherever it lies there", () => {
    const buffer = new SharedArrayBuffer(512);
    const whole = GuestMemory.create(Arena.over(buffer));
    const part = GuestMemory.create(Arena.over(new Uint8Array(buffer, 101, 200)));
    const arena = Arena.over(new DataView(buffer, 320));
    arena.allocate(30);
    const rest = GuestMemory.create(arena);
    for (const memory of [whole, part, rest]) {
      const { offset, size } = memory.shareable!;
      memory.writeb(0, 0x11);
      memory.writeb(size - 1, 0x22);
      const bytes = new Uint8Array(buffer, offset, size);
      expect([bytes[0], bytes[size - 1]]).to.deep.equal([0x11, 0x22]);
      const attached = GuestMemory.attach(memory.shareable!);
      expect([attached.size, attached.readb(0)]).to.deep.equal([memory.size, 0x11]);
      expect(attached.readb(size - 1)).to.equal(0x22);
    }
  });

  it("has no descriptor written into it, which other threads could forge", () => {
    const buffer = new SharedArrayBuffer(64);
    const bytes = new Uint8Array(buffer).fill(0x5a);
    const memory = GuestMemory.create(Arena.over(buffer));
    GuestMemory.attach(memory.shareable!);
    expect(bytes.every((byte) => byte === 0x5a)).to.equal(true);
  });

  it("is not what other RAM is", () => {
    expect(GuestMemory.allocate(64).shareable).to.equal(null);
    expect(GuestMemory.create(Arena.over(new ArrayBuffer(64))).shareable).to.equal(null);
  });

  itWide("of 6 GiB takes no memory until it is touched", () => {
    const before = process.memoryUsage.rss();
    const memory = GuestMemory.allocateShared(6 * GIB);
    expect(process.memoryUsage.rss() - before).to.be.below(64 * 2 ** 20);
    const attached = GuestMemory.attach(memory.shareable!);
    attached.writel(6 * GIB - 4, 7);
    expect(memory.readl(6 * GIB - 4)).to.equal(7);
    expect(memory.native.readl(2 * GIB - 4)).to.equal(0);
  });

  it("refuses what is no shared RAM, and sizes there are not", () => {
    const { buffer } = GuestMemory.allocateShared(48).shareable!;
    const wrong: unknown[] = [
      undefined,
      null,
      5,
      buffer,
      {},
      { buffer: new ArrayBuffer(64), offset: 16, size: 48 },
      { buffer },
      { buffer, offset: "16", size: 48 },
      { buffer, offset: 16, size: null },
    ];
    for (const shared of wrong) {
      expect(thrown(() => GuestMemory.attach(shared as SharedRam))).to.deep.equal(WRONG_TYPE);
    }
    const outside = [
      [17, 48],
      [16, 49],
      [0, 65],
      [0, 0],
      [16.5, 16],
      [16, -1],
      [2 ** 53, 16],
      [16, 2 ** 53 - 1],
      [-16, 16],
      [65, 0],
    ] as const;
    for (const [offset, size] of outside) {
      expect(
        thrown(() => GuestMemory.attach({ buffer, offset, size })),
        `${offset}, ${size}`,
      ).to.deep.equal(OUT_OF_RANGE);
    }
    for (const [offset, size] of [
      [32, 16],
      [17, 3],
      [0, 64],
      [64, 0],
    ] as const) {
      const attached = GuestMemory.attach({ buffer, offset, size });
      expect([attached.size, attached.shareable]).to.deep.equal([
        BigInt(size),
        { buffer, offset, size },
      ]);
    }
    for (const size of ["8", null, undefined] as unknown as number[]) {
      expect(thrown(() => GuestMemory.allocateShared(size))).to.deep.equal(WRONG_TYPE);
    }
    for (const size of [-1, 0.5, NaN, 2 ** 53]) {
      expect(thrown(() => GuestMemory.allocateShared(size))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => GuestMemory.allocateShared(2 ** 52))).to.deep.equal(NO_MEMORY);
  });

  it("outlives a worker that is terminated in the middle of its work", async () => {
    const memory = GuestMemory.allocateShared(4096);
    const script = `
      const { workerData, parentPort } = require("node:worker_threads");
      const { GuestMemory } = require("pound-guest-memory");
      const { ExclusiveMonitor } = require("pound-guest-memory/atomics");
      const memory = GuestMemory.attach(workerData);
      const monitor = new ExclusiveMonitor(memory.native.atomics);
      for (let i = 0; ; i++) {
        memory.atomics.addl(0, 1);
        memory.native.atomics.addl(4, 1);
        monitor.storeExclusivel(8, (monitor.loadExclusivel(8) + 1) >>> 0);
        if (i === 1000) parentPort.postMessage("working");
      }`;
    for (let round = 0; round < 3; round++) {
      const worker = new Worker(script, { eval: true, workerData: memory.shareable });
      await once(worker, "message");
      await worker.terminate();
      const counts = [0, 4, 8].map((gpa) => memory.readl(gpa));
      expect(Math.min(...counts)).to.be.above(1000 * (round + 1) - 1);
      expect(Math.max(...counts) - Math.min(...counts)).to.be.below(2 + round);
      expect(memory.atomics.exchangeq(16, 1n)).to.equal(BigInt(round === 0 ? 0 : 1));
      expect(
        [0, 4, 8].map((gpa) => memory.readl(gpa)),
        "nobody is left",
      ).to.deep.equal(counts);
    }
  });
});
