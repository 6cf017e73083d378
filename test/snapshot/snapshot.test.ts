import { expect } from "chai";
import fc from "fast-check";
import { Arena, GuestMemory } from "pound-guest-memory";
import {
  diffSnapshots,
  restoreSnapshot,
  type Snapshot,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { DESTROYED, FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const PAGE = 4096;
const MISMATCH = { name: "Error", code: "ERR_SNAPSHOT_MISMATCH" };

/** The bytes of a snapshot of RAM alone. */
function bytesOf(snapshot: Snapshot): Buffer {
  return snapshot.read(0, snapshot.regions[0]!.size);
}

describe("a snapshot of RAM", () => {
  for (const size of [0, 1, 4095, 4096, 4097, 3 * 2 ** 20 + 5]) {
    it(`of ${size} bytes contains and restores all of it`, () => {
      const memory = GuestMemory.allocate(size);
      const content = Buffer.from(Array.from({ length: size }, (_, i) => (i * 131 + 7) & 0xff));
      memory.write(0, content);
      const snapshot = takeSnapshot(memory);
      expect(snapshot.regions).to.deep.equal([
        {
          kind: "ram",
          name: "ram",
          gpa: 0n,
          size: BigInt(size),
          storedPages: Math.ceil(size / PAGE),
        },
      ]);
      expect(bytesOf(snapshot).equals(content)).to.equal(true);
      memory.fill(0, size, 0xa5);
      expect(restoreSnapshot(memory, snapshot)).to.equal(Math.ceil(size / PAGE));
      expect(memory.compare(0, content)).to.equal(0);
      expect(restoreSnapshot(memory, snapshot), "nothing left to do").to.equal(0);
    });
  }

  it("stores no page of zeros, and does not change with RAM", () => {
    const memory = GuestMemory.allocate(16 * 2 ** 20);
    memory.writeb(5 * 2 ** 20, 1);
    const snapshot = takeSnapshot(memory);
    expect(snapshot.regions[0]!.storedPages).to.equal(1);
    memory.writeb(5 * 2 ** 20, 2);
    memory.writeb(0, 3);
    expect(snapshot.read(5 * 2 ** 20, 1)[0]).to.equal(1);
    expect(snapshot.read(0, 1)[0]).to.equal(0);
    expect(restoreSnapshot(memory, snapshot)).to.equal(2);
    expect(memory.readb(0)).to.equal(0);
  });

  it("agrees with a plain copy in a chain, whichever snapshot is restored", () => {
    const size = 5 * PAGE + 100;
    const step = fc.record({
      gpa: fc.nat(size - 1),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 3 * PAGE, size: "max" }),
      zero: fc.boolean(),
      restore: fc.option(fc.nat(20)),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const memory = GuestMemory.allocate(size);
        const model = Buffer.alloc(size);
        const taken: { snapshot: Snapshot; copy: Buffer }[] = [];
        for (const { gpa, bytes, zero, restore } of steps) {
          const part = (zero ? bytes.fill(0) : bytes).subarray(0, size - gpa);
          memory.write(gpa, part);
          model.set(part, gpa);
          const parent = taken.at(-1)?.snapshot;
          taken.push({ snapshot: takeSnapshot(memory, parent), copy: Buffer.from(model) });
          if (restore !== null) {
            const { snapshot, copy } = taken[restore % taken.length]!;
            restoreSnapshot(memory, snapshot);
            expect(memory.compare(0, copy)).to.equal(0);
            copy.copy(model);
          }
        }
        for (const { snapshot, copy } of taken) {
          expect(bytesOf(snapshot).equals(copy)).to.equal(true);
        }
        memory.destroy();
      }),
      { numRuns: 100 },
    );
  });

  it("counts how often each page changed in the chain, and when last", () => {
    const memory = GuestMemory.allocate(8 * PAGE);
    memory.writeb(0, 1);
    const chain = [takeSnapshot(memory)];
    const next = (): void => void chain.push(takeSnapshot(memory, chain.at(-1)));
    memory.writeb(PAGE, 1);
    next();
    memory.writeb(PAGE, 2);
    memory.writeb(2 * PAGE, 1);
    next();
    memory.writeb(2 * PAGE, 0);
    next();
    next();
    const last = chain.at(-1)!;
    expect(last.generation).to.equal(4);
    expect([0, 1, 2, 3].map((page) => last.pageHeat(page * PAGE + 5))).to.deep.equal([
      { changes: 0, changedIn: 0 },
      { changes: 2, changedIn: 2 },
      { changes: 2, changedIn: 3 },
      { changes: 0, changedIn: 0 },
    ]);
    expect(chain[1]!.pageHeat(PAGE)).to.deep.equal({ changes: 1, changedIn: 1 });
    expect(takeSnapshot(memory).pageHeat(PAGE), "a chain of its own").to.deep.equal({
      changes: 0,
      changedIn: 0,
    });
  });

  it("takes little memory if little changed", function () {
    const memory = GuestMemory.allocate(64 * 2 ** 20);
    memory.fill(0, memory.size, 1);
    let last = takeSnapshot(memory);
    const chain = [last];
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 20; i++) {
      memory.writeb(i * 2 ** 20, 7);
      chain.push((last = takeSnapshot(memory, last)));
    }
    // 20 copies of 64 MiB would take 1280 MiB.
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(16 * 2 ** 20);
    expect(chain.map((snapshot) => snapshot.read(0, 1)[0])).to.deep.equal([
      1,
      ...Array<number>(20).fill(7),
    ]);
  });

  it("is refused, before a byte changes, if the regions differ", () => {
    const snapshot = takeSnapshot(GuestMemory.allocate(2 * PAGE));
    const memory = GuestMemory.allocate(3 * PAGE);
    memory.writeb(5, 9);
    expect(thrown(() => restoreSnapshot(memory, snapshot))).to.deep.equal(MISMATCH);
    expect(() => restoreSnapshot(memory, snapshot)).to.throw(
      'the snapshot has ram "ram" of 8192 bytes at gpa 0x0 where the memory has ram "ram" of 12288 bytes at gpa 0x0',
    );
    expect(memory.readb(5)).to.equal(9);
    expect(thrown(() => takeSnapshot(memory, snapshot))).to.deep.equal(MISMATCH);
    expect(thrown(() => diffSnapshots(snapshot, takeSnapshot(memory)))).to.deep.equal(MISMATCH);
  });

  it("refuses invalid subjects and snapshots, and destroyed memory", () => {
    const memory = GuestMemory.allocate(PAGE);
    const snapshot = takeSnapshot(memory);
    for (const wrong of [null, undefined, 5, {}, { regions: 5 }, Buffer.alloc(5)]) {
      expect(thrown(() => takeSnapshot(wrong as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => restoreSnapshot(wrong as never, snapshot))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => restoreSnapshot(memory, wrong as never))).to.deep.equal(WRONG_TYPE);
      expect(thrown(() => diffSnapshots(snapshot, wrong as never))).to.deep.equal(WRONG_TYPE);
      if (wrong !== undefined) {
        expect(thrown(() => takeSnapshot(memory, wrong as never))).to.deep.equal(WRONG_TYPE);
      }
    }
    const region = { kind: "ram", name: "", gpa: 0n, size: 4096n, memory } as const;
    for (const wrong of [
      null,
      { ...region, kind: "disk" },
      { ...region, name: 5 },
      { ...region, gpa: 0 },
      { ...region, memory: null },
      { ...region, size: 1n },
    ]) {
      expect(thrown(() => takeSnapshot({ regions: [wrong] } as never))).to.deep.equal(WRONG_TYPE);
    }
    expect(thrown(() => takeSnapshot({ regions: [region, region] }))).to.deep.equal(OUT_OF_RANGE);
    const forged = Object.create(Object.getPrototypeOf(snapshot) as object) as Snapshot;
    expect(thrown(() => restoreSnapshot(memory, forged))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => snapshot.read(4000, 97))).to.deep.equal(FAULT);
    expect(thrown(() => snapshot.read(2n ** 64n - 1n, 1))).to.deep.equal(FAULT);
    expect(thrown(() => snapshot.pageHeat(PAGE))).to.deep.equal(FAULT);
    expect(snapshot.read(PAGE, 0)).to.have.length(0);
    memory.destroy();
    expect(thrown(() => takeSnapshot(memory))).to.deep.equal(DESTROYED);
    expect(thrown(() => restoreSnapshot(memory, snapshot))).to.deep.equal(DESTROYED);
    const owner = new ArrayBuffer(PAGE + 64);
    const borrowed = GuestMemory.create(Arena.over(owner));
    const whole = GuestMemory.allocate(PAGE);
    const space = {
      regions: [
        { ...region, memory: whole },
        { ...region, gpa: 4096n, size: borrowed.size, memory: borrowed },
      ],
    };
    const both = takeSnapshot(space);
    whole.writeb(0, 1);
    structuredClone(owner, { transfer: [owner] });
    expect(thrown(() => restoreSnapshot(space, both))).to.deep.equal(DESTROYED);
    expect(whole.readb(0), "nothing was restored").to.equal(1);
  });

  it("is compared with another to exactly the bytes that differ", () => {
    const size = 4 * PAGE;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(size - 1), fc.nat(40)), { maxLength: 8 }),
        fc.boolean(),
        (writes, incremental) => {
          const memory = GuestMemory.allocate(size);
          memory.fill(PAGE, PAGE, 0x11);
          const a = takeSnapshot(memory);
          const changed = new Set<number>();
          for (const [gpa, length] of writes) {
            for (let i = gpa; i < Math.min(size, gpa + length); i++) {
              changed.add(i);
              memory.writeb(i, i >= PAGE && i < 2 * PAGE ? 0x22 : 0x33);
            }
          }
          const b = takeSnapshot(memory, incremental ? a : undefined);
          const ranges = [...diffSnapshots(a, b)];
          const found = ranges.flatMap(({ gpa, length }) =>
            Array.from({ length }, (_, i) => Number(gpa) + i),
          );
          expect(found).to.deep.equal([...changed].sort((x, y) => x - y));
          // Ranges are as long as possible: no two are adjacent.
          for (let i = 1; i < ranges.length; i++) {
            const before = ranges[i - 1]!;
            expect(Number(ranges[i]!.gpa)).to.be.above(Number(before.gpa) + before.length);
          }
          expect([...diffSnapshots(b, a)]).to.deep.equal(ranges);
          memory.destroy();
        },
      ),
      { numRuns: 100 },
    );
  });

  it("of 6 GiB takes memory only for written pages, also above 4 GiB", function () {
    this.timeout(60_000);
    const size = 6 * 2 ** 30;
    const memory = GuestMemory.allocate(size);
    memory.write(2 ** 32 - 3, Buffer.from("across"));
    memory.writeb(size - 1, 0x5a);
    const residentBefore = process.memoryUsage.rss();
    const snapshot = takeSnapshot(memory);
    expect(snapshot.regions[0]!.storedPages).to.equal(3);
    memory.write(2 ** 32 - 3, Buffer.from("gone.."));
    memory.writeb(size - 1, 0);
    expect([...diffSnapshots(snapshot, takeSnapshot(memory, snapshot))]).to.deep.equal([
      { gpa: 2n ** 32n - 3n, length: 6 },
      { gpa: BigInt(size - 1), length: 1 },
    ]);
    expect(restoreSnapshot(memory, snapshot)).to.equal(3);
    expect(memory.read(2 ** 32 - 3, 6).toString()).to.equal("across");
    expect(memory.readb(size - 1)).to.equal(0x5a);
    expect(process.memoryUsage.rss() - residentBefore).to.be.below(64 * 2 ** 20);
    memory.destroy();
  });
});
