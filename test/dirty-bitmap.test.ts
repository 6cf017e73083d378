import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, Arena, DirtyBitmap, GuestMemory } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "./support/errors.js";

const PAGE = 4096;

describe("DirtyBitmap", () => {
  it("has a bit for each page, the last of which may be cut short", () => {
    for (const [size, pages] of [
      [0, 0],
      [1, 1],
      [PAGE, 1],
      [PAGE + 1, 2],
      [33 * PAGE, 33],
    ] as const) {
      const bitmap = new DirtyBitmap(size);
      expect([bitmap.size, bitmap.pages, bitmap.count]).to.deep.equal([BigInt(size), pages, 0]);
    }
  });

  it("marks the pages of a range, tells of them and takes them", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(100 * PAGE - 1), fc.oneof(fc.nat(3), fc.nat(80 * PAGE)))),
        fc.boolean(),
        (ranges, shared) => {
          const size = 100 * PAGE;
          const bitmap = new DirtyBitmap(size);
          if (shared) {
            // Four words of bits, and two that count the drains.
            expect(bitmap.buffer.byteLength).to.equal(24);
          }
          const expected = new Set<number>();
          for (const [offset, wanted] of ranges) {
            const length = Math.min(wanted, size - offset);
            bitmap.mark(offset, BigInt(length));
            for (let i = offset; i < offset + length; i++) {
              expected.add(Math.floor(i / PAGE));
            }
          }
          const pages = [...expected].sort((a, b) => a - b);
          expect(bitmap.count).to.equal(pages.length);
          expect([...bitmap.peek()]).to.deep.equal(pages);
          for (let page = 0; page < 100; page++) {
            expect(bitmap.isDirty(page * PAGE + 4095)).to.equal(expected.has(page));
          }
          expect([...bitmap.drain()]).to.deep.equal(pages);
          expect([...bitmap.drain()]).to.deep.equal([]);
        },
      ),
      { numRuns: 50 },
    );
  });

  it("shares its bits by way of its buffer", () => {
    const one = new DirtyBitmap(40 * PAGE);
    const other = new DirtyBitmap(40 * PAGE, one.buffer);
    one.mark(39 * PAGE);
    other.mark(0, 1);
    expect([...one.peek()]).to.deep.equal([0, 39]);
    expect([...other.drain()]).to.deep.equal([0, 39]);
    expect(one.count).to.equal(0);
    expect([one.drains, other.drains]).to.deep.equal([1, 1]);
    one.drain();
    expect([one.drains, other.drains]).to.deep.equal([2, 2]);
  });

  it("refuses what does not fit", () => {
    const bitmap = new DirtyBitmap(PAGE);
    for (const offset of [-1, 0.5, NaN, PAGE, 2n ** 64n - 1n]) {
      expect(thrown(() => bitmap.mark(offset))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => bitmap.isDirty(offset))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => bitmap.mark(1, PAGE))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => bitmap.mark(0, 2 ** 53 - 1))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => bitmap.mark("0" as never))).to.deep.equal(WRONG_TYPE);
    bitmap.mark(PAGE, 0);
    expect(bitmap.count).to.equal(0);
    expect(thrown(() => new DirtyBitmap(2 ** 44 + 1))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => new DirtyBitmap(-1))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => new DirtyBitmap("1" as never))).to.deep.equal(WRONG_TYPE);
    const small = new SharedArrayBuffer(4);
    expect(thrown(() => new DirtyBitmap(33 * PAGE, small))).to.deep.equal(OUT_OF_RANGE);
    const unshared = new ArrayBuffer(8) as unknown as SharedArrayBuffer;
    expect(thrown(() => new DirtyBitmap(PAGE, unshared))).to.deep.equal(WRONG_TYPE);
  });
});

describe("dirty tracking", () => {
  for (const path of ["view", "native"] as const) {
    it(`marks the pages that the ${path} path writes, and no others`, () => {
      const space = new AddressSpace();
      const region = space.addRam(0x10_0000, 64 * PAGE, { trackDirty: true });
      const access = path === "view" ? space : space.native;
      const page = (number: number) => 0x10_0000 + number * PAGE;
      for (let round = 0; round < 3; round++) {
        access.writeb(page(1) + 4095, 1);
        access.writew(page(3) + 2, 1);
        access.writel(page(33) + 4, 1);
        access.writeq(page(63) + 8, 1n);
        access.writeb(BigInt(page(40)), 1);
        access.tryWriteq(page(50) + 1, 1n);
        access.readl(page(51));
        expect([...region.dirty!.drain()]).to.deep.equal([1, 3, 33, 40, 63]);
      }
    });
  }

  it("marks what the bulk methods write", () => {
    const space = new AddressSpace();
    const low = space.addRam(0, 4 * PAGE, { trackDirty: true });
    const high = space.addRam(4 * PAGE, 4 * PAGE, { trackDirty: true });
    space.write(3 * PAGE + 4000, new Uint8Array(200));
    expect([[...low.dirty!.drain()], [...high.dirty!.drain()]]).to.deep.equal([[3], [0]]);
    space.fill(PAGE + 1, PAGE, 1);
    space.copy(5 * PAGE, 0, 1);
    space.copy(PAGE, 0, 1);
    expect([[...low.dirty!.drain()], [...high.dirty!.drain()]]).to.deep.equal([[1, 2], [1]]);
    space.write(0, new Uint8Array(0));
    expect(thrown(() => space.fill(7 * PAGE, 2 * PAGE, 0)).name).to.equal("GuestMemoryFault");
    expect([low.dirty!.count, high.dirty!.count]).to.deep.equal([0, 0]);
  });

  it("starts and stops while the RAM is being written", () => {
    const space = new AddressSpace();
    const region = space.addRam(0, 4 * PAGE);
    expect(region.dirty).to.equal(null);
    space.writel(0, 1);
    const bitmap = region.startTracking();
    expect(region.startTracking()).to.equal(bitmap);
    space.writel(0, 2);
    space.writel(PAGE, 2);
    expect([...bitmap.drain()]).to.deep.equal([0, 1]);
    region.stopTracking();
    space.writel(0, 3);
    expect([region.dirty, bitmap.count]).to.deep.equal([null, 0]);
    expect(region.startTracking()).not.to.equal(bitmap);
  });

  it("marks the right page in a region that is partly watched", () => {
    const space = new AddressSpace();
    const region = space.addRam(0x8000, 8 * PAGE, { trackDirty: true });
    space.watch({ gpa: 0x8000, length: 4, kinds: "write" }, () => undefined);
    for (let round = 0; round < 2; round++) {
      space.writel(0x8000 + 5 * PAGE, 1);
      space.writel(0x8000 + 6 * PAGE, 1);
      space.writeb(0x8000, 1);
      expect([...region.dirty!.drain()]).to.deep.equal([0, 5, 6]);
    }
  });

  it("marks pages above 4 GiB of the space and of the RAM", () => {
    const space = new AddressSpace();
    const start = 3 * 2 ** 30;
    const region = space.addRam(start, 6 * 2 ** 30, { trackDirty: true });
    const pages = [0, 2 ** 18 - 1, 2 ** 18, 2 ** 20 - 1, 2 ** 20, 6 * 2 ** 18 - 1];
    for (const page of pages) {
      space.writel(start + page * PAGE, 1);
    }
    expect([...region.dirty!.drain()]).to.deep.equal(pages);
    region.memory.destroy();
  });

  it("marks one bitmap for two regions over the same RAM, if told to", () => {
    const space = new AddressSpace();
    const memory = GuestMemory.allocate(2 * PAGE);
    const { dirty } = space.addRam(0, memory, { trackDirty: true });
    space.addRam(0x10000, memory, { trackDirty: dirty! });
    space.writeb(0x10000 + PAGE, 1);
    expect([...dirty!.drain()]).to.deep.equal([1]);
    const short = new DirtyBitmap(PAGE);
    expect(thrown(() => space.addRam(0x20000, memory, { trackDirty: short }))).to.deep.equal(
      OUT_OF_RANGE,
    );
    const region = space.addRam(0x20000, memory);
    expect(thrown(() => region.startTracking(5 as never))).to.deep.equal(WRONG_TYPE);
  });

  it("loses no write to a drain, nor a mark to another thread's", async () => {
    // In each round this thread and a worker write every other page, while this one drains and
    // reads what the drain told of. After the last drain of a round, all must have been seen.
    const pages = 64;
    const rounds = 200;
    const ram = new SharedArrayBuffer(pages * PAGE + 16);
    const memory = GuestMemory.create(Arena.over(ram));
    const space = new AddressSpace();
    const bitmap = space.addRam(0, memory, { trackDirty: true }).dirty!;
    // The round to run, and the round that the worker has done.
    const turn = new Int32Array(new SharedArrayBuffer(8));
    const worker = new Worker(
      `const { AddressSpace, Arena, DirtyBitmap, GuestMemory } = require("pound-guest-memory");
       const { ram, bits, turn, pages, rounds } = require("node:worker_threads").workerData;
       const memory = GuestMemory.create(Arena.over(ram));
       const space = new AddressSpace();
       space.addRam(0, memory, { trackDirty: new DirtyBitmap(memory.size, bits) });
       for (let round = 1; round <= rounds; round++) {
         // No waiting: the two must run at the same time.
         while (Atomics.load(turn, 0) !== round);
         const access = round % 4 === 0 ? space.native : space;
         for (let page = 1; page < pages; page += 2) {
           for (let i = 1; i <= 20; i++) access.writel(page * 4096, 20 * round + i);
         }
         Atomics.store(turn, 1, round);
       }`,
      { eval: true, workerData: { ram, bits: bitmap.buffer, turn, pages, rounds } },
    );
    const exit = once(worker, "exit");
    const seen = new Uint32Array(pages);
    const look = (): void => {
      bitmap.drain().forEach((page) => (seen[page] = memory.readl(page * PAGE)));
    };
    try {
      for (let round = 1; round <= rounds; round++) {
        Atomics.store(turn, 0, round);
        for (let page = 0; page < pages; page += 2) {
          for (let i = 1; i <= 20; i++) {
            space.writel(page * PAGE, 20 * round + i);
          }
          look();
        }
        while (Atomics.load(turn, 1) !== round) {
          look();
        }
        look();
        expect(
          seen.every((value) => value === 20 * round + 20),
          `round ${round}`,
        ).to.equal(true);
      }
      await exit;
    } finally {
      await worker.terminate();
    }
  });
});
