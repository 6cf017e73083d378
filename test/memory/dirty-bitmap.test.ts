import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, DirtyBitmap, GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import { collectUntil } from "../support/collect.js";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { PATHS } from "../support/paths.js";
import { itWide } from "../support/wide-tests.js";

const PAGE = 4096;

describe("DirtyBitmap", () => {
  it("has a mark for each page, the last of which may be cut short", () => {
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
            // A byte for each page, and two words that count the drains.
            expect(bitmap.buffer.byteLength).to.equal(108);
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

  it("shares its marks by way of its buffer", () => {
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

  it("serves several consumers, each of which gets every mark", () => {
    const marks = fc.array(fc.tuple(fc.nat(2), fc.nat(99)), { maxLength: 60 });
    fc.assert(
      fc.property(marks, fc.boolean(), (steps, shared) => {
        const bitmap = new DirtyBitmap(100 * PAGE);
        if (shared) {
          expect(bitmap.buffer.byteLength).to.equal(108);
        }
        const cursor = bitmap.dirtyCursor();
        const [own, others] = [new Set<number>(), new Set<number>()];
        const sorted = (pages: Set<number>) => [...pages].sort((a, b) => a - b);
        for (const [what, page] of steps) {
          if (what === 0) {
            bitmap.mark(page * PAGE);
            own.add(page);
            others.add(page);
          } else if (what === 1) {
            expect([...bitmap.drain()]).to.deep.equal(sorted(own));
            own.clear();
          } else {
            expect([...cursor.drain()]).to.deep.equal(sorted(others));
            others.clear();
          }
          expect([...bitmap.peek()]).to.deep.equal(sorted(own));
          expect(bitmap.count).to.equal(own.size);
        }
      }),
      { numRuns: 100 },
    );
  });

  it("says whether a consumer got all that was written since the last time", () => {
    const bitmap = new DirtyBitmap(40 * PAGE);
    const cursor = bitmap.dirtyCursor();
    const complete = (): boolean => {
      cursor.drain();
      return cursor.complete;
    };
    expect([cursor.complete, complete()], "the first time").to.deep.equal([true, true]);
    bitmap.drain();
    expect(complete(), "drained here").to.equal(true);
    const other = new DirtyBitmap(40 * PAGE, bitmap.buffer);
    other.drain();
    cursor.skip();
    expect(cursor.complete, "drained elsewhere, and skipped").to.equal(false);
    expect(complete(), "and not again").to.equal(true);
    // As a drain elsewhere that has begun and not ended.
    const counters = new Uint32Array(bitmap.buffer, 40);
    Atomics.add(counters, 0, 1);
    expect(complete(), "begun").to.equal(false);
    expect(complete(), "still under way").to.equal(false);
    const late = bitmap.dirtyCursor();
    Atomics.add(counters, 1, 1);
    late.drain();
    expect([complete(), late.complete], "it may have ended after the last").to.deep.equal([
      false,
      false,
    ]);
    expect(complete(), "ended").to.equal(true);
  });

  it("is quick for the marks of 512 GiB, and holds no list of them that it need not", () => {
    const size = 2 ** 39;
    const bitmap = new DirtyBitmap(size);
    bitmap.mark(0, size);
    expect(bitmap.count).to.equal(2 ** 27);
    bitmap.mark(5, size - 5);
    const pages = bitmap.drain();
    expect([pages.length, pages[0], pages[2 ** 26], pages.at(-1)]).to.deep.equal([
      2 ** 27,
      0,
      2 ** 26,
      2 ** 27 - 1,
    ]);
    expect(bitmap.count).to.equal(0);
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

/** Names the architecture `arch` to all but the search for the addon, which needs the real one. */
const NAME_ARCHITECTURE = `
  const real = process.arch;
  Object.defineProperty(process, "arch", {
    get: () => (/load-?addon/i.test(new Error().stack) ? real : arch),
  });`;

describe("dirty tracking", () => {
  for (const path of PATHS) {
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

  it("has cursors of the memory, each with the marks since its own last look", () => {
    const space = new AddressSpace();
    const region = space.addRam(0x8000, 8 * PAGE);
    const { memory } = region;
    const display = memory.dirtyCursor();
    expect(memory.dirty).not.to.equal(null);
    space.writel(0x8000 + PAGE, 1);
    const migration = region.dirtyCursor();
    space.native.writel(0x8000 + 2 * PAGE, 1);
    expect([display.count, migration.count]).to.deep.equal([2, 1]);
    expect([...display.peek()]).to.deep.equal([1, 2]);
    expect([...display.drain()]).to.deep.equal([1, 2]);
    memory.writeb(3 * PAGE, 1);
    expect([[...migration.drain()], migration.complete]).to.deep.equal([[2, 3], true]);
    expect([[...display.peek()], [...memory.dirty!.peek()]]).to.deep.equal([[3], [1, 2, 3]]);
    display.skip();
    expect([display.count, [...display.drain()], display.complete]).to.deep.equal([0, [], true]);
    // A snapshot takes no marks from the cursors, nor they from it.
    const first = space.snapshot();
    space.writel(0x8000 + 4 * PAGE, 1);
    expect([...display.drain()]).to.deep.equal([4]);
    expect(space.snapshot(first).pageHeat(0x8000 + 4 * PAGE).changes).to.equal(1);
    expect([...migration.drain()]).to.deep.equal([4]);
  });

  it("says in its cursors that marks may be missing, from the end of the tracking on", () => {
    const memory = GuestMemory.allocate(2 * PAGE);
    const cursor = memory.dirtyCursor();
    memory.writeb(0, 1);
    const bitmap = memory.dirty!;
    memory.stopTracking();
    memory.writeb(PAGE, 1);
    const look = () => [[...cursor.drain()], cursor.complete];
    expect([look(), look()]).to.deep.equal([
      [[0], false],
      [[], false],
    ]);
    memory.startTracking(bitmap);
    memory.writeb(PAGE, 1);
    expect([look(), look()]).to.deep.equal([
      [[1], false],
      [[], true],
    ]);
  });

  it("frees what a closed cursor has not taken", async () => {
    const bitmap = new DirtyBitmap(2 ** 35);
    const before = process.memoryUsage().arrayBuffers;
    const cursors = Array.from({ length: 4 }, () => bitmap.dirtyCursor());
    bitmap.mark(0, 2 ** 35);
    expect(bitmap.drain()).to.have.length(2 ** 23);
    expect(cursors.map(({ count }) => count)).to.deep.equal(Array(4).fill(2 ** 23));
    for (const cursor of cursors) {
      cursor.close();
      cursor[Symbol.dispose]();
      for (const use of [
        () => cursor.drain(),
        () => cursor.peek(),
        () => cursor.count,
        () => cursor.skip(),
      ]) {
        expect(thrown(use)).to.deep.equal({ name: "Error", code: "ERR_DESTROYED" });
      }
    }
    // The bitmap keeps the marks that drain() has taken, and each cursor had 8 MiB.
    const most = before + 20 * 2 ** 20;
    await collectUntil(() => process.memoryUsage().arrayBuffers < most);
    expect(process.memoryUsage().arrayBuffers).to.be.lessThan(most);
    bitmap.mark(0);
    expect([...bitmap.drain()]).to.deep.equal([0]);
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

  itWide("marks pages above 4 GiB of the space and of the RAM", () => {
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

  it("has one bitmap for all regions over the same RAM", () => {
    const space = new AddressSpace();
    const other = new AddressSpace();
    const memory = GuestMemory.allocate(2 * PAGE);
    const region = space.addRam(0, memory);
    const mirror = other.addRam(0x10000, memory);
    const readAndWrite = (): void => {
      space.writeb(0, space.readb(0));
      other.native.writeb(0x10000 + PAGE, 1);
    };
    readAndWrite();
    expect([region.dirty, mirror.dirty]).to.deep.equal([null, null]);
    const dirty = mirror.startTracking();
    expect([region.dirty, region.startTracking()]).to.deep.equal([dirty, dirty]);
    readAndWrite();
    expect([...dirty.drain()]).to.deep.equal([0, 1]);
    const fresh = new DirtyBitmap(2 * PAGE);
    space.addRam(0x20000, memory, { trackDirty: fresh });
    readAndWrite();
    expect([dirty.count, fresh.count]).to.deep.equal([0, 2]);
    region.stopTracking();
    expect(mirror.dirty).to.equal(null);
    readAndWrite();
    expect(fresh.count).to.equal(2);
    const short = new DirtyBitmap(PAGE);
    expect(thrown(() => space.addRam(0x30000, memory, { trackDirty: short }))).to.deep.equal(
      OUT_OF_RANGE,
    );
    expect(thrown(() => region.startTracking(5 as never))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => space.addRam(0, memory, { trackDirty: true }))).to.deep.equal(OUT_OF_RANGE);
    expect([space.regions.length, region.dirty]).to.deep.equal([2, null]);
  });

  itWide("tells of every accessor of the memory itself", () => {
    const memory = GuestMemory.allocate(2 ** 32 + 64 * PAGE);
    const space = new AddressSpace();
    const { dirty } = space.addRam(0, memory, { trackDirty: true });
    for (const base of [0, 2 ** 32]) {
      const writes: ((gpa: number) => void)[] = [memory, memory.native].flatMap((access) => [
        (gpa: number) => access.writeb(gpa, 1),
        (gpa: number) => access.writew(gpa, 1),
        (gpa: number) => access.writel(gpa, 1),
        (gpa: number) => access.writeq(gpa, 1n),
        (gpa: number) => void access.tryWriteqFrom(gpa, BigUint64Array.of(1n)),
        (gpa: number) => void access.tryWritel(BigInt(gpa), 1),
      ]);
      for (const atomics of [memory.atomics, memory.native.atomics]) {
        writes.push(
          (gpa) => atomics.storeb(gpa, 1),
          (gpa) => void atomics.exchangew(gpa, 1),
          (gpa) => void atomics.compareExchangel(gpa, 0, 1),
          (gpa) => void atomics.addq(gpa, 1n),
          (gpa) => void new ExclusiveMonitor(atomics).loadExclusivel(gpa),
          (gpa) => {
            const monitor = new ExclusiveMonitor(atomics);
            monitor.loadExclusivel(gpa);
            monitor.storeExclusivel(gpa, 1);
          },
        );
      }
      writes.forEach((write, i) => write(base + i * PAGE));
      const expected = writes.map((_, i) => base / PAGE + i).filter((_, i) => i !== 16 && i !== 22);
      expect([...dirty!.drain()], `from ${base}`).to.deep.equal(expected);
      memory.atomics.compareExchangel(base, 0xdead, 1);
      memory.native.atomics.compareExchangel(base, 0xdead, 1);
      memory.atomics.loadl(base);
      memory.native.tryWritel(base + 1, 1);
      expect(dirty!.count).to.equal(0);
    }
    memory.destroy();
  });

  it("of flat RAM marks what every accessor writes, and starts and stops at any time", () => {
    const size = 5 * PAGE + 8;
    const memory = GuestMemory.allocate(size);
    // Accessors of untracked memory that the program has kept still mark.
    const { writel: kept, tryWriteq: keptQuad } = memory;
    expect(memory.dirty).to.equal(null);
    const bitmap = memory.startTracking();
    expect([memory.dirty, memory.startTracking()]).to.deep.equal([bitmap, bitmap]);
    const writes: readonly (() => unknown)[] = [
      () => memory.writeb(0, 1),
      () => memory.tryWritew(PAGE, 1),
      () => memory.writel(2 * PAGE, 1),
      () => memory.writeq(3 * PAGE, 1n),
      () => memory.tryWriteqFrom(4 * PAGE, BigUint64Array.of(1n)),
      () => memory.writel(5 * PAGE + 4, 1),
    ];
    for (let round = 0; round < 3; round++) {
      for (const [page, write] of writes.entries()) {
        write();
        expect([...bitmap.drain()]).to.deep.equal([page]);
      }
      kept.call(memory, PAGE, 7);
      keptQuad.call(memory, 5 * PAGE, 7n);
      expect([...bitmap.drain()]).to.deep.equal([1, 5]);
      // Beyond the end of RAM, but in its last page; beyond it; unaligned; wrong values.
      expect(memory.tryWriteq(5 * PAGE + 8, 1n)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
      expect(memory.tryWriteb(6 * PAGE, 1)).to.equal(GuestMemAccessResult.FAULT_BOUNDARY);
      expect(memory.tryWritel(2, 1)).to.equal(GuestMemAccessResult.FAULT_UNALIGNED);
      expect(thrown(() => memory.writeb(0, 256))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => memory.writel(0, "1" as never))).to.deep.equal(WRONG_TYPE);
      expect(bitmap.count).to.equal(0);
    }
    expect([memory.readl(PAGE), memory.readq(5 * PAGE)]).to.deep.equal([7, 7n]);
    memory.stopTracking();
    for (const write of writes) {
      write();
    }
    expect([memory.dirty, bitmap.count]).to.deep.equal([null, 0]);
    expect(memory.startTracking()).not.to.equal(bitmap);
    memory.writeb(PAGE, 1);
    expect([...memory.dirty!.drain()]).to.deep.equal([1]);
    expect(thrown(() => memory.startTracking(new DirtyBitmap(size + 1)))).to.deep.equal(
      OUT_OF_RANGE,
    );
    expect(thrown(() => memory.startTracking({} as never))).to.deep.equal(WRONG_TYPE);
    memory.destroy();
    expect(memory.tryWritel(0, 1)).to.equal(GuestMemAccessResult.ERROR_INTERNAL);
  });

  it("leaves a memory what it was otherwise", () => {
    const memory = GuestMemory.allocate(PAGE);
    memory.dirtyCursor();
    expect(memory).to.be.instanceOf(GuestMemory);
    expect(memory.constructor).to.equal(GuestMemory);
    const frozen = Object.preventExtensions(GuestMemory.allocate(PAGE));
    const cursor = frozen.dirtyCursor();
    frozen.writel(0, 1);
    expect([...cursor.drain()]).to.deep.equal([0]);
  });

  // The name of an architecture whose processors reorder stores makes a thread use atomic marks.
  for (const [how, arch] of Object.entries({ plain: "x64", atomic: "riscv64" })) {
    it(`loses no write to a drain in another thread, with ${how} marks`, async () => {
      // In each round two threads write each of their pages once, while one of them drains and
      // copies the pages. After the last drain of a round, the copy must have all of the writes.
      const pages = 4096;
      const rounds = 60;
      const ram = new SharedArrayBuffer(pages * PAGE + 16);
      const bits = new DirtyBitmap(pages * PAGE).buffer;
      // The round to run, and the round that the second thread has done.
      const turn = new Int32Array(new SharedArrayBuffer(8));
      const roles = ["drain", "write"] as const;
      const workers = roles.map(
        (role) =>
          new Worker(
            `const { ram, bits, turn, pages, rounds, role, arch } =
               require("node:worker_threads").workerData;
             ${NAME_ARCHITECTURE}
             const { AddressSpace, Arena, DirtyBitmap, GuestMemory } =
               require("pound-guest-memory");
             const memory = GuestMemory.create(Arena.over(ram));
             const space = new AddressSpace();
             const dirty = new DirtyBitmap(memory.size, bits);
             space.addRam(0, memory, { trackDirty: dirty });
             const paths = [space, memory, memory.native, space.native];
             const write = (round, first, then) => {
               const access = paths[round % paths.length];
               for (let page = first; page < pages; page += 2) {
                 access.writel(page * 4096, round);
                 then(page);
               }
             };
             const seen = new Uint32Array(pages);
             const look = () => {
               for (const page of dirty.drain()) seen[page] = memory.readl(page * 4096);
             };
             const missed = [];
             for (let round = 1; round <= rounds; round++) {
               if (role === "write") {
                 // No waiting: the two must run at the same time.
                 while (Atomics.load(turn, 0) !== round);
                 // Slowly, so that many drains run in the meantime.
                 write(round, 1, () => {
                   for (let i = 0; i < 10; i++) Atomics.load(turn, 0);
                 });
                 Atomics.store(turn, 1, round);
               } else {
                 Atomics.store(turn, 0, round);
                 write(round, 0, (page) => {
                   if (page % 64 === 0) look();
                 });
                 while (Atomics.load(turn, 1) !== round) look();
                 look();
                 if (!seen.every((value) => value === round)) missed.push(round);
               }
             }
             require("node:worker_threads").parentPort.postMessage({
               missed,
               plain: dirty.plainMarks !== null,
             });`,
            { eval: true, workerData: { ram, bits, turn, pages, rounds, role, arch } },
          ),
      );
      try {
        const reports = await Promise.all(
          workers.map(async (worker) => (await once(worker, "message"))[0] as unknown),
        );
        const expected = { missed: [], plain: how === "plain" };
        expect(reports).to.deep.equal([expected, expected]);
      } finally {
        await Promise.all(workers.map((worker) => worker.terminate()));
      }
    });
  }

  it("goes over to atomic marks when they are shared, where stores are reordered", async () => {
    const worker = new Worker(
      `const arch = "riscv64";
       ${NAME_ARCHITECTURE}
       const { AddressSpace, DirtyBitmap, GuestMemory } = require("pound-guest-memory");
       const memory = GuestMemory.allocate(4 * 4096);
       const space = new AddressSpace();
       const { dirty } = space.addRam(0, memory, { trackDirty: true });
       const found = [];
       const write = () => {
         memory.writel(0, 1);
         space.writel(4096, 1);
         memory.native.writel(2 * 4096, 1);
         memory.fill(3 * 4096 - 1, 2, 1);
         found.push(dirty.plainMarks !== null, [...dirty.drain()].join());
       };
       write();
       write();
       new DirtyBitmap(memory.size, dirty.buffer);
       write();
       write();
       require("node:worker_threads").parentPort.postMessage(found);`,
      { eval: true },
    );
    const [found] = (await once(worker, "message")) as [unknown];
    expect(found).to.deep.equal(
      [true, false].flatMap((plain) => [plain, "0,1,2,3", plain, "0,1,2,3"]),
    );
    await worker.terminate();
  });
});
