import { readdirSync } from "node:fs";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { AddressSpace, Arena, GuestMemory } from "pound-guest-memory";
import { runAlone, WITH_TRANSFER } from "../support/alone.js";
import { DESTROYED, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { itNative } from "../support/native-tests.js";

const NOT_FORKED = { name: "Error", code: "ERR_NOT_FORKED" };
const PAGE = 4096;
/** Bytes: whole pages and a part of one. */
const SIZE = 8 * PAGE + 104;

/** RAM of each kind, which has another way to fork. */
const KINDS: Record<string, () => GuestMemory> = {
  "forkable RAM": () => GuestMemory.allocate(SIZE, { forkable: true }),
  "ordinary RAM": () => GuestMemory.allocate(SIZE),
  "RAM in the rest of an arena": () => {
    const arena = Arena.create(3 * PAGE + SIZE + 16, { forkable: true });
    arena.allocate(3 * PAGE);
    return GuestMemory.create(arena);
  },
  "RAM over a buffer of the caller": () => GuestMemory.over(new Uint8Array(SIZE + 8).subarray(8)),
  "shared RAM": () => GuestMemory.allocateShared(SIZE),
};

/** Pseudo-random integers from 0 to `n` - 1. */
function randomFrom(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

function bytesOf(memory: GuestMemory): Buffer {
  return Buffer.from(memory.read(0, Number(memory.size)));
}

/** The numbers of the pages that are marked. */
function marked(memory: GuestMemory): number[] {
  return [...memory.dirty!.drain()];
}

describe("GuestMemory.fork", () => {
  for (const [kind, allocate] of Object.entries(KINDS)) {
    it(`copies ${kind} on write, on both paths`, () => {
      const parent = allocate();
      const view = parent.buffer;
      parent.writel(PAGE, 0x1111);
      parent.native.writel(2 * PAGE, 0x2222);
      parent.writeb(SIZE - 1, 0x33);
      const clone = parent.fork();
      expect(clone.size).to.equal(BigInt(SIZE));
      expect(bytesOf(clone).equals(bytesOf(parent))).to.equal(true);

      clone.writel(PAGE, 0xaaaa);
      parent.native.writel(2 * PAGE, 0xbbbb);
      clone.native.writeb(SIZE - 1, 0xcc);
      parent.atomics.addq(3 * PAGE, 5n);
      clone.fill(4 * PAGE, PAGE, 9);
      clone.buffer[5 * PAGE] = 7;
      view[6 * PAGE] = 8;
      const seen = (memory: GuestMemory) => [
        memory.readl(PAGE),
        memory.readl(2 * PAGE),
        memory.readb(SIZE - 1),
        memory.readl(3 * PAGE),
        memory.readb(4 * PAGE + 1),
        memory.readb(5 * PAGE),
        memory.readb(6 * PAGE),
      ];
      const native = ({ native }: GuestMemory) => [
        native.readl(PAGE),
        native.readl(2 * PAGE),
        native.readb(SIZE - 1),
        native.readl(3 * PAGE),
        native.readb(4 * PAGE + 1),
        native.readb(5 * PAGE),
        native.readb(6 * PAGE),
      ];
      for (const read of [seen, native]) {
        expect(read(parent)).to.deep.equal([0x1111, 0xbbbb, 0x33, 5, 0, 0, 8]);
        expect(read(clone)).to.deep.equal([0xaaaa, 0x2222, 0xcc, 0, 9, 7, 0]);
      }
      expect(view.length).to.equal(SIZE);
      expect(view.readUInt32LE(2 * PAGE)).to.equal(0xbbbb);
    });

    it(`resets ${kind} and its clones to the last fork`, () => {
      const parent = allocate();
      parent.writel(0, 1);
      const clone = parent.fork();
      const before = bytesOf(parent);
      for (const memory of [parent, clone]) {
        expect(memory.reset()).to.equal(0);
        memory.writel(0, 2);
        memory.native.writel(5 * PAGE, 3);
        memory.writeb(SIZE - 1, 4);
        memory.writel(6 * PAGE, 0);
        expect(memory.reset()).to.equal(3);
        expect(bytesOf(memory).equals(before)).to.equal(true);
        expect(memory.native.readl(0)).to.equal(1);
      }
      parent.writel(0, 5);
      const later = parent.fork();
      clone.writel(0, 6);
      for (const memory of [parent, later]) {
        memory.writel(0, 7);
        expect(memory.reset()).to.equal(1);
        expect(memory.readl(0)).to.equal(5);
      }
      expect(clone.reset()).to.equal(1);
      expect(clone.readl(0)).to.equal(1);
    });

    it(`agrees with copies for forks of forks of ${kind}, ended in any order`, () => {
      const random = randomFrom(kind.length);
      const bytes = new Uint8Array(SIZE);
      const trees = [{ memory: allocate(), bytes, base: null as Uint8Array | null }];
      for (let step = 0; step < 600; step++) {
        const at = random(trees.length);
        const tree = trees[at]!;
        const offset = random(SIZE);
        switch (random(10)) {
          case 0:
            if (trees.length < 12) {
              tree.base = tree.bytes.slice();
              trees.push({
                memory: tree.memory.fork(),
                bytes: tree.bytes.slice(),
                base: tree.base,
              });
            }
            break;
          case 1:
            if (trees.length > 3) {
              tree.memory.destroy();
              trees.splice(at, 1);
            }
            break;
          case 2:
            if (tree.base !== null) {
              const pages = new Set<number>();
              tree.bytes.forEach((byte, i) => {
                if (byte !== tree.base![i]) {
                  pages.add(Math.floor(i / PAGE));
                }
              });
              const count = tree.memory.reset();
              // The pages of RAM in an arena need not start where those of the system do.
              expect(count > 0).to.equal(pages.size > 0);
              tree.bytes.set(tree.base);
            }
            break;
          case 3: {
            const length = random(SIZE - offset);
            tree.memory.fill(offset, length, step & 0xff);
            tree.bytes.fill(step & 0xff, offset, offset + length);
            break;
          }
          default:
            (step & 1 ? tree.memory : tree.memory.native).writeb(offset, step & 0xff);
            tree.bytes[offset] = step & 0xff;
        }
        const any = trees[random(trees.length)]!;
        expect(bytesOf(any.memory).equals(Buffer.from(any.bytes)), `${step}`).to.equal(true);
      }
    });
  }

  it("says whether clones share memory", () => {
    expect(GuestMemory.forksShareMemory).to.be.a("boolean");
    if (process.platform !== "linux") {
      expect(GuestMemory.forksShareMemory).to.equal(false);
    }
  });

  it("makes thousands of clones of one parent, and of a clone that was written", () => {
    const parent = GuestMemory.allocate(64 * PAGE, { forkable: true });
    parent.fill(0, 64 * PAGE, 1);
    const child = parent.fork();
    child.writeb(0, 2);
    for (const [origin, first] of [
      [parent, 1],
      [child, 2],
    ] as const) {
      const clones = Array.from({ length: 2000 }, () => origin.fork());
      clones.forEach((clone, i) => clone.writel(PAGE * (i % 64) + 8, i));
      clones.forEach((clone, i) => {
        expect(clone.native.readl(PAGE * (i % 64) + 8)).to.equal(i);
        expect(clone.readl(PAGE * ((i + 1) % 64) + 8)).to.equal(0x0101_0101);
        expect(clone.readb(0)).to.equal(first);
      });
      clones.filter((_, i) => i % 2 === 0).forEach((clone) => clone.destroy());
      expect(clones[1]!.readl(PAGE + 8)).to.equal(1);
      expect(origin.readl(8)).to.equal(0x0101_0101);
    }
  });

  it("shares the pages that nobody has written, and opens no file for a further clone", function () {
    if (!GuestMemory.forksShareMemory) {
      this.skip();
    }
    const size = 32 * 2 ** 20;
    const parent = GuestMemory.allocate(size, { forkable: true });
    parent.fill(0, size, 1);
    const clones = [parent.fork()];
    const files = readdirSync("/proc/self/fd").length;
    const before = process.memoryUsage.rss();
    for (let i = 0; i < 50; i++) {
      const clone = parent.fork();
      clone.writeb(i * PAGE, 2);
      clones.push(clone);
    }
    expect(process.memoryUsage.rss() - before).to.be.below(size);
    expect(readdirSync("/proc/self/fd").length).to.be.at.most(files);
    expect(clones[50]!.readb(0)).to.equal(1);
  });

  it("has the state of one moment of RAM that another thread writes", async () => {
    const memory = GuestMemory.allocateShared(64 * PAGE);
    const worker = new Worker(
      `const { workerData, parentPort } = require("node:worker_threads");
      const { GuestMemory } = require("pound-guest-memory");
      const memory = GuestMemory.attach(workerData);
      parentPort.postMessage("started");
      for (let i = 1; memory.atomics.loadl(8) === 0; i++) {
        memory.atomics.storel(0, i);
        memory.atomics.storel(${63 * PAGE}, i);
        const until = process.hrtime.bigint() + 200000n;
        while (i % 50 === 0 && process.hrtime.bigint() < until);
      }`,
      { eval: true, execArgv: [], workerData: memory.shareable },
    );
    await once(worker, "message");
    for (let i = 0; i < 50; i++) {
      let clone: GuestMemory;
      try {
        clone = memory.fork();
      } catch (error) {
        expect((error as { code: string }).code).to.equal("ERR_BUSY");
        continue;
      }
      expect(clone.readl(0) - clone.readl(63 * PAGE)).to.be.within(0, 1);
      clone.destroy();
    }
    memory.atomics.storel(8, 1);
    await once(worker, "exit");
  });

  it("takes no tracking and no guards along", () => {
    const space = new AddressSpace();
    const parent = GuestMemory.allocate(SIZE);
    space.addRam(0, parent, { trackDirty: true, length: 8 * PAGE });
    const guard = space.guardCode(0, PAGE, () => undefined);
    const clone = parent.fork();
    expect(clone.dirty).to.equal(null);
    clone.writeb(0, 1);
    expect(guard.armed).to.equal(true);
    expect(marked(parent)).to.deep.equal([]);
  });

  it("works without bytes, and refuses what has ended", () => {
    const empty = GuestMemory.allocate(0).fork();
    expect([empty.size, empty.reset()]).to.deep.equal([0n, 0]);
    const memory = GuestMemory.allocate(PAGE);
    const clone = memory.fork();
    memory.destroy();
    expect(thrown(() => memory.fork())).to.deep.equal(DESTROYED);
    expect(thrown(() => memory.reset())).to.deep.equal(DESTROYED);
    clone.writeb(0, 1);
    expect(clone.reset()).to.equal(1);
    const arena = Arena.create(2 * PAGE);
    const part = GuestMemory.create(arena);
    part.fork();
    arena.reset();
    expect(thrown(() => part.fork())).to.deep.equal(DESTROYED);
    const buffer = new ArrayBuffer(PAGE);
    const borrowed = GuestMemory.over(buffer);
    borrowed.fork();
    structuredClone(buffer, { transfer: [buffer] });
    expect(thrown(() => borrowed.fork())).to.deep.equal(DESTROYED);
    expect(thrown(() => borrowed.reset())).to.deep.equal(DESTROYED);
  });

  it("checks the option of an arena", () => {
    for (const forkable of [1, "yes", null] as unknown as boolean[]) {
      expect(thrown(() => Arena.create(64, { forkable }))).to.deep.equal(WRONG_TYPE);
    }
    expect(thrown(() => Arena.create(64, { forkable: true, hugePages: true }))).to.deep.equal(
      OUT_OF_RANGE,
    );
  });
});

describe("GuestMemory.reset", () => {
  it("is refused before a fork, also of the arena's next RAM", () => {
    const memory = GuestMemory.allocate(PAGE, { forkable: true });
    expect(thrown(() => memory.reset())).to.deep.equal(NOT_FORKED);
    for (const arena of [Arena.create(SIZE), Arena.over(new ArrayBuffer(SIZE))]) {
      GuestMemory.create(arena).fork();
      arena.reset();
      expect(thrown(() => GuestMemory.create(arena).reset())).to.deep.equal(NOT_FORKED);
    }
    const arena = Arena.create(SIZE, { forkable: true });
    const first = GuestMemory.create(arena);
    first.fill(0, PAGE, 1);
    first.fork();
    arena.reset();
    const second = GuestMemory.create(arena);
    expect(second.read(0, PAGE).every((byte) => byte === 0)).to.equal(true);
    expect(thrown(() => second.reset())).to.deep.equal(NOT_FORKED);
  });

  it("marks the pages that it changes, and only these", () => {
    const clone = GuestMemory.allocate(16 * PAGE).fork();
    const bitmap = clone.startTracking();
    clone.writeb(3 * PAGE, 1);
    clone.writeb(11 * PAGE, 1);
    clone.writeb(7 * PAGE, 0);
    [...bitmap.drain()];
    expect(clone.reset()).to.equal(2);
    expect(marked(clone)).to.deep.equal([3, 11]);
    expect(clone.reset()).to.equal(0);
    expect(marked(clone)).to.deep.equal([]);
  });

  it("calls the guards of the pages that change, before they do", () => {
    const memory = GuestMemory.allocate(16 * PAGE);
    const space = new AddressSpace();
    space.addRam(0, memory);
    memory.fork();
    memory.writel(2 * PAGE, 1);
    memory.writel(9 * PAGE, 1);
    const calls: unknown[] = [];
    const log = ({ gpa }: { gpa: bigint }) => calls.push([gpa, memory.readl(2 * PAGE)]);
    const touched = space.guardCode(2 * PAGE, 4, log);
    const other = space.guardCode(4 * PAGE, 4, log);
    expect(memory.reset()).to.equal(2);
    expect(calls).to.deep.equal([[BigInt(2 * PAGE), 1]]);
    expect([touched.armed, other.armed]).to.deep.equal([false, true]);
    expect(memory.readl(2 * PAGE)).to.equal(0);

    memory.writel(2 * PAGE, 1);
    memory.writel(9 * PAGE, 1);
    space.guardCode(9 * PAGE, 4, () => {
      throw new Error("no");
    });
    expect(() => memory.reset()).to.throw("no");
    expect([memory.readl(2 * PAGE), memory.readl(9 * PAGE)]).to.deep.equal([1, 1]);
    space.guardCode(9 * PAGE, 4, () => memory.destroy());
    expect(thrown(() => memory.reset())).to.deep.equal(DESTROYED);
  });

  it("resets only the bytes of its memory", () => {
    const arena = Arena.create(8 * PAGE);
    const block = arena.allocate(3 * PAGE + 8);
    const memory = GuestMemory.create(arena);
    memory.fork();
    block.fill(1);
    memory.fill(0, Number(memory.size), 1);
    memory.reset();
    expect(block.every((byte) => byte === 1)).to.equal(true);
    expect(bytesOf(memory).every((byte) => byte === 0)).to.equal(true);
  });

  it("of more pages than it keeps gives the rest to the system", () => {
    const pages = 16384 + 100;
    const clone = GuestMemory.allocate(pages * PAGE, { forkable: true }).fork();
    for (let round = 0; round < 2; round++) {
      for (let page = 0; page < pages; page++) {
        clone.writel(page * PAGE + 8, page + 1);
      }
      expect(clone.reset()).to.be.within(pages / 16, pages);
      expect(clone.compare(0, new Uint8Array(pages * PAGE))).to.equal(0);
      expect(clone.native.readl((pages - 1) * PAGE + 8)).to.equal(0);
    }
  });
});

describe("the lifetime of forks", () => {
  itNative("ends by garbage collection in any order", () => {
    const { status, output } = runAlone(`
      const { GuestMemory } = require("pound-guest-memory");
      const kept = [GuestMemory.allocate(1 << 20, { forkable: true })];
      let turn = 0;
      const step = () => {
        for (let i = 0; i < 200; i++) {
          const clone = kept[(i * 7) % kept.length].fork();
          clone.writel(i * 64, i);
          if (clone.native.readl(i * 64) !== i) throw new Error("bytes");
          if (i % 3 === 0) clone.buffer;
          kept.push(clone);
          if (kept.length > 20) kept.splice((i * 5) % 20, 1);
        }
        gc();
        if (++turn < 10) setImmediate(step); else console.log("survived");
      };
      step();
    `);
    expect({ status, output }).to.deep.equal({ status: 0, output: "survived\n" });
  });

  it("keeps the bytes of a clone's buffer that was moved", () => {
    const { status, output } = runAlone(
      `
      const { GuestMemory } = require("pound-guest-memory");
      const parent = GuestMemory.allocate(1 << 20, { forkable: true });
      parent.fill(0, 1 << 20, 5);
      const clone = parent.fork();
      clone.writeb(0, 6);
      const moved = new Uint8Array(clone.buffer.buffer.transfer());
      clone.destroy();
      parent.destroy();
      gc();
      setImmediate(() => { gc(); console.log(moved[0], moved[4096]); });
    `,
      WITH_TRANSFER,
    );
    expect({ status, output }).to.deep.equal({ status: 0, output: "6 5\n" });
  });

  it("survives workers that end in the middle of forks", () => {
    const { status, output } = runAlone(`
      const { Worker } = require("node:worker_threads");
      const script = \`
        const { parentPort } = require("node:worker_threads");
        const { GuestMemory } = require("pound-guest-memory");
        const parent = GuestMemory.allocate(1 << 20, { forkable: true });
        const clones = [parent];
        parentPort.postMessage(0);
        for (let i = 0; ; i++) {
          const clone = clones[i % clones.length].fork();
          clone.writel(i % 4096 * 4, i);
          clone.buffer;
          clone.reset();
          clones[i % 50] = clone;
        }\`;
      let left = 8;
      for (let i = 0; i < 8; i++) {
        const worker = new Worker(script, { eval: true, execArgv: [] });
        worker.on("message", () => setTimeout(() => worker.terminate(), 10 * i));
        worker.on("exit", () => { if (--left === 0) console.log("survived"); });
      }
    `);
    expect({ status, output }).to.deep.equal({ status: 0, output: "survived\n" });
  });
});
