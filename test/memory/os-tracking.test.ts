import { spawnSync } from "node:child_process";
import { randomFillSync } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import { expect } from "chai";
import {
  AddressSpace,
  Arena,
  DirtyBitmap,
  GuestMemory,
  OpKind,
  packOps,
  type TrackingMode,
} from "pound-guest-memory";
import { restoreSnapshot, takeSnapshot } from "pound-guest-memory/snapshot";
import { PACKAGE, runAlone, WITH_TRANSFER } from "../support/alone.js";
import { DESTROYED, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { describeOsTracking } from "../support/os-tracking.js";
import { pathsOf } from "../support/paths.js";

const PAGE = 4096;
const UNAVAILABLE = { name: "Error", code: "ERR_TRACKING_UNAVAILABLE" };

function allocate(pages: number): GuestMemory {
  return GuestMemory.allocate(pages * PAGE, { writeWatch: true });
}

describe("the mode of dirty tracking", () => {
  it("is that of the accessors by default", () => {
    const memory = allocate(2);
    expect(memory.tracking).to.equal(null);
    memory.startTracking();
    expect(memory.tracking).to.equal("software");
    memory.stopTracking();
    expect(memory.tracking).to.equal(null);
    using cursor = memory.dirtyCursor();
    expect([memory.tracking, cursor.count]).to.deep.equal(["software", 0]);
    const region = new AddressSpace().addRam(0, 2 * PAGE, { trackDirty: true });
    expect(region.tracking).to.equal("software");
    expect(new AddressSpace().addRam(0, PAGE).tracking).to.equal(null);
  });

  it("stays the same for auto and for true", () => {
    const memory = allocate(2);
    const bitmap = memory.startTracking("software");
    for (const how of ["auto", undefined] as const) {
      expect(memory.startTracking(how)).to.equal(bitmap);
      expect(memory.tracking).to.equal("software");
    }
    const region = new AddressSpace().addRam(0, memory, { trackDirty: "auto" });
    expect([region.tracking, region.dirty]).to.deep.equal(["software", bitmap]);
  });

  it("is software, chosen without an error, for RAM in an ArrayBuffer and RAM without bytes", () => {
    const make = [
      () => GuestMemory.over(new ArrayBuffer(2 * PAGE)),
      () => GuestMemory.create(Arena.over(new ArrayBuffer(2 * PAGE))),
      () => GuestMemory.allocate(0, { writeWatch: true }),
    ];
    for (const memory of make.map((of) => of())) {
      expect(thrown(() => memory.startTracking("os"))).to.deep.equal(UNAVAILABLE);
      expect([memory.tracking, memory.dirty]).to.deep.equal([null, null]);
      memory.startTracking("auto");
      expect(memory.tracking).to.equal("software");
      expect(thrown(() => memory.startTracking("os"))).to.deep.equal(UNAVAILABLE);
      expect(memory.tracking).to.equal("software");
    }
    const space = new AddressSpace();
    const memory = GuestMemory.over(new ArrayBuffer(2 * PAGE));
    expect(thrown(() => space.addRam(0, memory, { trackDirty: "os" }))).to.deep.equal(UNAVAILABLE);
    expect([space.regions.length, memory.tracking]).to.deep.equal([0, null]);
    expect(space.addRam(0, memory, { trackDirty: "auto" }).tracking).to.equal("software");
  });

  it("is software where the system refuses, and an error by demand", function () {
    if (process.platform !== "linux") {
      this.skip();
    }
    // Without descriptors, no userfaultfd can be opened.
    const script = `
      const { openSync, closeSync } = require("node:fs");
      const { AddressSpace, GuestMemory } = require("pound-guest-memory");
      // A big-endian host opens a file when the first memory is made.
      GuestMemory.allocate(1).destroy();
      const open = [];
      try {
        for (;;) open.push(openSync("/dev/null"));
      } catch {}
      const memory = GuestMemory.allocate(8192);
      const dirty = memory.startTracking("auto");
      memory.writel(4096, 1);
      const region = new AddressSpace().addRam(0, 4096, { trackDirty: "auto" });
      let code;
      try {
        memory.startTracking("os");
      } catch (error) {
        code = error.code;
      }
      open.forEach((descriptor) => closeSync(descriptor));
      console.log(memory.tracking, [...dirty.drain()].join(), region.tracking, code);`;
    const limited = ["-c", 'ulimit -n 128 && exec "$0" -e "$1"', process.execPath, script];
    const { stdout, stderr } = spawnSync("/bin/sh", limited, { cwd: PACKAGE, encoding: "utf8" });
    const expected = "software 1 software ERR_TRACKING_UNAVAILABLE\n";
    expect(stdout + stderr).to.equal(expected);
  });

  it("is a mode or a bitmap for RAM of this size", () => {
    const memory = allocate(2);
    const space = new AddressSpace();
    for (const how of [null, 7, "", "OS", {}, true] as unknown[] as TrackingMode[]) {
      expect(thrown(() => memory.startTracking(how))).to.deep.equal(WRONG_TYPE);
    }
    for (const trackDirty of [null, 7, "", "OS", {}] as unknown as TrackingMode[]) {
      expect(thrown(() => space.addRam(0, memory, { trackDirty }))).to.deep.equal(WRONG_TYPE);
    }
    expect(thrown(() => memory.startTracking(new DirtyBitmap(PAGE)))).to.deep.equal(OUT_OF_RANGE);
    expect([memory.tracking, space.regions.length]).to.deep.equal([null, 0]);
    for (const writeWatch of [null, 1, "true"] as unknown as boolean[]) {
      expect(thrown(() => GuestMemory.allocate(PAGE, { writeWatch }))).to.deep.equal(WRONG_TYPE);
    }
  });
});

describeOsTracking("tracking by the operating system", () => {
  /** Each writes to some pages of 32, beginning with page 4. */
  const writers: Record<string, (memory: GuestMemory, space: AddressSpace) => number[]> = {
    "the view path": (memory) => {
      memory.writeb(4 * PAGE, 1);
      memory.writel(6 * PAGE - 4, 1);
      memory.tryWriteq(7 * PAGE, 1n);
      return [4, 5, 7];
    },
    "the native path": (memory) => {
      memory.native.writeb(4 * PAGE, 1);
      memory.native.run(packOps([{ kind: OpKind.WRITEL, gpa: BigInt(6 * PAGE), value: 1n }]));
      return [4, 6];
    },
    "bulk methods": (memory) => {
      memory.fill(4 * PAGE + 5, PAGE, 0);
      memory.copy(9 * PAGE, 4 * PAGE, 3);
      memory.write(10 * PAGE - 1, Buffer.from([1, 2]));
      return [4, 5, 9, 10];
    },
    "atomic operations": (memory) => {
      memory.atomics.addl(4 * PAGE, 1);
      memory.native.atomics.exchangeb(5 * PAGE, 1);
      return [4, 5];
    },
    "an access policy": (memory) => {
      const policy = memory.withPolicy({ alignment: "allow", endian: "big" });
      policy.writel(5 * PAGE - 2, 1);
      policy.native.writel(6 * PAGE, 1);
      return [4, 5, 6];
    },
    "a space": (_, space) => {
      space.writel(0x10_0000 + 4 * PAGE, 1);
      space.native.writeq(0x10_0000 + 6 * PAGE, 1n);
      space.atomics.storel(0x10_0000 + 7 * PAGE, 1);
      space.poke(0x10_0000 + 8 * PAGE, Buffer.from([1]));
      return [4, 6, 7, 8];
    },
    "the program's own typed arrays": (memory) => {
      memory.buffer[4 * PAGE] = 1;
      const words = new Uint32Array(memory.buffer.buffer, memory.buffer.byteOffset, 8 * PAGE);
      words[(6 * PAGE) / 4] = 1;
      memory.slice(7 * PAGE, 16).fill(0);
      return [4, 6, 7];
    },
    "compiled code": (memory) => {
      randomFillSync(memory.buffer, 4 * PAGE + 1, 2 * PAGE);
      return [4, 5, 6];
    },
    "the kernel": (memory) => {
      const file = openSync(process.execPath, "r");
      readSync(file, memory.buffer, 4 * PAGE, PAGE + 1, 0);
      closeSync(file);
      return [4, 5];
    },
  };

  for (const [name, write] of Object.entries(writers)) {
    it(`sees the writes of ${name}, and no reads`, () => {
      const memory = allocate(32);
      const space = new AddressSpace();
      const { dirty, tracking } = space.addRam(0x10_0000, memory, { trackDirty: "os" });
      expect(tracking).to.equal("os");
      for (let round = 0; round < 3; round++) {
        const pages = write(memory, space);
        expect(dirty!.isDirty(4 * PAGE + 17)).to.equal(true);
        expect([...dirty!.peek()]).to.deep.equal(pages);
        expect(dirty!.count).to.equal(pages.length);
        expect([...dirty!.drain()]).to.deep.equal(pages);
        let sum = 0;
        for (let page = 0; page < 32; page++) {
          sum += memory.readb(page * PAGE) + space.native.readb(0x10_0000 + page * PAGE);
        }
        expect(sum).to.be.at.least(0);
        expect([dirty!.isDirty(4 * PAGE), dirty!.count]).to.deep.equal([false, 0]);
        expect([...dirty!.drain()]).to.deep.equal([]);
      }
    });
  }

  it("is chosen by auto, changed by a demand, and keeps the marks and the cursors", () => {
    const memory = allocate(8);
    const bitmap = memory.startTracking("auto");
    expect(memory.tracking).to.equal("os");
    using cursor = memory.dirtyCursor();
    const write = [
      () => memory.writeb(0, 1),
      () => (memory.buffer[PAGE] = 1),
      () => memory.writeb(2 * PAGE, 1),
      () => (memory.buffer[3 * PAGE] = 1),
    ];
    const modes: TrackingMode[] = ["software", "os", "software", "auto", "os", "auto"];
    const found = modes.map((mode, i) => {
      write[i % write.length]!();
      expect(memory.startTracking(mode)).to.equal(bitmap);
      return memory.tracking;
    });
    expect(found).to.deep.equal(["software", "os", "software", "software", "os", "os"]);
    // The third write was made through a buffer while the system tracked, the fourth was not.
    expect([...cursor.drain()]).to.deep.equal([0, 1, 2]);
    expect([cursor.complete, [...bitmap.drain()]]).to.deep.equal([true, [0, 1, 2]]);
    memory.stopTracking();
    memory.startTracking("os");
    expect(cursor.drain().length).to.equal(0);
    expect([memory.dirty === bitmap, cursor.complete]).to.deep.equal([false, false]);
  });

  it("serves several consumers, each of which gets every page", () => {
    const memory = allocate(8);
    memory.startTracking("os");
    const cursors = [memory.dirtyCursor(), memory.dirtyCursor()];
    memory.buffer[0] = 1;
    expect([...cursors[0]!.drain()]).to.deep.equal([0]);
    memory.buffer[2 * PAGE] = 1;
    expect([...cursors[0]!.peek()]).to.deep.equal([2]);
    expect([...cursors[1]!.drain()]).to.deep.equal([0, 2]);
    expect([cursors[0]!.count, ...cursors[0]!.drain()]).to.deep.equal([1, 2]);
    memory.buffer[5 * PAGE] = 1;
    cursors[0]!.skip();
    expect([cursors[0]!.count, ...cursors[1]!.drain()]).to.deep.equal([0, 5]);
    expect([...memory.dirty!.drain()]).to.deep.equal([0, 2, 5]);
  });

  it("serves snapshots and restoring, which see writes to buffers", () => {
    const memory = allocate(64);
    memory.fill(0, memory.size, 0x11);
    memory.startTracking("os");
    const before = takeSnapshot(memory);
    memory.buffer[3 * PAGE] = 1;
    memory.native.writeb(9 * PAGE, 1);
    const after = takeSnapshot(memory, before);
    expect([after.read(3 * PAGE, 1)[0], after.read(9 * PAGE, 1)[0]]).to.deep.equal([1, 1]);
    memory.buffer[5 * PAGE] = 1;
    using cursor = memory.dirtyCursor();
    expect(restoreSnapshot(memory, before)).to.equal(3);
    expect(memory.buffer.every((byte) => byte === 0x11)).to.equal(true);
    expect([...cursor.drain()]).to.deep.equal([3, 5, 9]);
    expect(restoreSnapshot(memory, before)).to.equal(0);
    expect(restoreSnapshot(memory, after)).to.equal(2);
    expect([memory.readb(3 * PAGE), memory.readb(5 * PAGE)]).to.deep.equal([1, 0x11]);
  });

  it("gives way to the accessors when auto has chosen it and other threads get the marks", () => {
    const memory = allocate(4);
    const space = new AddressSpace();
    const { dirty } = space.addRam(0, memory, { trackDirty: "auto" });
    memory.buffer[PAGE] = 1;
    const other = new DirtyBitmap(memory.size, dirty!.buffer);
    expect([memory.tracking, [...other.peek()]]).to.deep.equal(["software", [1]]);
    space.writeb(2 * PAGE, 1);
    expect([...other.drain()]).to.deep.equal([1, 2]);
    expect(thrown(() => memory.startTracking("os"))).to.deep.equal(UNAVAILABLE);
    memory.startTracking("auto");
    expect([memory.tracking, memory.dirty]).to.deep.equal(["software", dirty]);

    const demanded = allocate(4);
    const marks = demanded.startTracking("os");
    expect(thrown(() => marks.buffer)).to.deep.equal(UNAVAILABLE);
    demanded.buffer[0] = 1;
    expect([demanded.tracking, [...marks.drain()]]).to.deep.equal(["os", [0]]);
  });

  it("tracks RAM in an arena, which is not at a page, by demand only, with the pages beside", () => {
    using arena = Arena.create(32 * PAGE, { writeWatch: true });
    arena.allocate(64);
    const memory = GuestMemory.create(arena);
    memory.startTracking("auto");
    expect(memory.tracking).to.equal("software");
    const dirty = memory.startTracking("os");
    memory.buffer[10 * PAGE - 1] = 1;
    const pages = [...dirty.drain()];
    expect(pages).to.include(9);
    expect(pages.every((page) => page >= 8 && page <= 10)).to.equal(true);
  });

  it("tracks the memories of a space in one arena, each for itself", function () {
    if (process.platform === "win32") {
      this.skip();
    }
    const space = new AddressSpace({ arena: 64 * PAGE });
    const one = space.addRam(0, 5 * PAGE - 7, { trackDirty: "os" });
    const two = space.addRam(16 * PAGE, 4 * PAGE, { trackDirty: "auto" });
    expect([one.tracking, two.tracking]).to.deep.equal(["os", "os"]);
    space.writeb(5 * PAGE - 8, 1);
    space.writeb(17 * PAGE, 1);
    one.memory.buffer[0] = 1;
    expect([...one.dirty!.drain()]).to.deep.equal([0, 4]);
    expect([...two.dirty!.drain()]).to.deep.equal([1]);
    // The fast paths mark pages of the arena as soon as the accessors track one of its memories.
    const three = space.addRam(32 * PAGE, 4 * PAGE, { trackDirty: "software" });
    for (let round = 0; round < 3; round++) {
      for (const access of pathsOf(space)) {
        access.writel(16 * PAGE, round);
        access.writel(33 * PAGE, round);
        two.memory.buffer[3 * PAGE] = round;
        three.memory.buffer[3 * PAGE] = round;
        expect(two.dirty!.isDirty(0)).to.equal(true);
        expect([...two.dirty!.drain(), ...two.dirty!.drain()]).to.deep.equal([0, 3]);
        expect([...three.dirty!.drain(), ...three.dirty!.drain()]).to.deep.equal([1]);
      }
      two.startTracking(round === 0 ? "software" : "os");
      two.startTracking("os");
    }
    two.memory.buffer[PAGE] = 1;
    space.writeb(18 * PAGE, 1);
    two.startTracking("software");
    space.writeb(19 * PAGE, 1);
    expect([...two.dirty!.drain()]).to.deep.equal([1, 2, 3]);
  });

  it("refuses pages that another memory tracks", function () {
    if (process.platform === "win32") {
      this.skip();
    }
    const memory = GuestMemory.allocateShared(8 * PAGE);
    const other = GuestMemory.attach(memory.shareable!);
    const dirty = memory.startTracking("os");
    expect(thrown(() => other.startTracking("os"))).to.deep.equal(UNAVAILABLE);
    other.startTracking("auto");
    expect(other.tracking).to.equal("software");
    other.writeb(4 * PAGE, 1);
    expect([...dirty.drain()]).to.include(4);
    memory.destroy();
    other.startTracking("os");
    other.buffer[2 * PAGE] = 1;
    expect([...other.dirty!.drain()]).to.include(2);
  });

  for (const forkable of [false, true]) {
    it(`loses no write to a fork and a reset of ${forkable ? "forkable" : "ordinary"} RAM`, () => {
      const memory = GuestMemory.allocate(64 * PAGE, { forkable, writeWatch: true });
      memory.fill(0, memory.size, 1);
      const dirty = memory.startTracking("os");
      memory.buffer[3 * PAGE] = 2;
      const clone = memory.fork();
      memory.buffer[5 * PAGE] = 3;
      expect([...dirty.drain()]).to.include.members([3, 5]);
      memory.buffer[7 * PAGE] = 4;
      expect([...dirty.drain()]).to.deep.equal([7]);
      // A drain has sent page 9 with another value than that to which it has returned.
      memory.buffer[9 * PAGE] = 5;
      expect([...dirty.drain()]).to.deep.equal([9]);
      memory.buffer[9 * PAGE] = 1;
      expect(memory.reset()).to.equal(2);
      expect([memory.readb(5 * PAGE), memory.readb(7 * PAGE)]).to.deep.equal([1, 1]);
      expect([...dirty.drain()]).to.include.members([5, 7, 9]);
      memory.buffer[11 * PAGE] = 6;
      expect([...dirty.drain()]).to.include(11);

      if (process.platform === "win32") {
        // A clone is not allocated for it.
        expect(thrown(() => clone.startTracking("os"))).to.deep.equal(UNAVAILABLE);
        return;
      }
      const marks = clone.startTracking("os");
      clone.buffer[2 * PAGE] = 7;
      expect([...marks.drain()]).to.include(2);
      expect([clone.reset(), clone.readb(2 * PAGE)]).to.deep.equal([1, 1]);
      expect([...marks.drain()]).to.include(2);
      expect(marks.drain().length).to.equal(0);
    });
  }

  it("is not chosen by auto for huge pages, which it would split", () => {
    const memory = GuestMemory.allocate(2 ** 22, { hugePages: true });
    memory.startTracking("auto");
    expect(memory.tracking).to.equal("software");
    if (process.platform === "linux") {
      const dirty = memory.startTracking("os");
      memory.fill(0, memory.size, 1);
      expect(dirty.drain().length).to.equal(1024);
      memory.buffer[77 * PAGE] = 1;
      expect([...dirty.drain()]).to.include(77);
    }
  });

  it("needs memory that was allocated for it on Windows", function () {
    if (process.platform !== "win32") {
      this.skip();
    }
    const memory = GuestMemory.allocate(4 * PAGE);
    expect(thrown(() => memory.startTracking("os"))).to.deep.equal(UNAVAILABLE);
    memory.startTracking("auto");
    expect(memory.tracking).to.equal("software");
    const shared = GuestMemory.allocateShared(4 * PAGE);
    expect(thrown(() => shared.startTracking("os"))).to.deep.equal(UNAVAILABLE);
    expect(new AddressSpace().addRam(0, PAGE, { trackDirty: "os" }).tracking).to.equal("os");
  });

  it("ends with the memory, whose last writes stay marked", () => {
    const memory = allocate(4);
    const dirty = memory.startTracking("os");
    using cursor = dirty.dirtyCursor();
    memory.buffer[2 * PAGE] = 1;
    memory.destroy();
    memory.destroy();
    expect([...dirty.drain()]).to.deep.equal([2]);
    expect([...cursor.drain(), ...cursor.drain()]).to.deep.equal([2]);
    expect(dirty.isDirty(0)).to.equal(false);
    expect(thrown(() => allocateEnded().startTracking("os"))).to.deep.equal(DESTROYED);
    const ended = allocateEnded();
    ended.startTracking("auto");
    expect(ended.tracking).to.equal("software");

    using arena = Arena.create(8 * PAGE, { writeWatch: true });
    for (let round = 0; round < 3; round++) {
      const ram = GuestMemory.create(arena);
      const marks = ram.startTracking("os");
      ram.buffer[3 * PAGE] = 1;
      arena.reset();
      expect([...marks.drain()]).to.include(3);
    }
  });

  it("survives buffers that move to another owner, and memories that are collected", () => {
    const script = `
      const { GuestMemory } = require("pound-guest-memory");
      const found = [];
      const marks = [];
      for (let i = 0; i < 20; i++) {
        const memory = GuestMemory.allocate(64 * 4096, { writeWatch: true });
        const dirty = memory.startTracking("os");
        const moved = new Uint8Array(memory.buffer.buffer.transfer());
        moved[5 * 4096] = 1;
        dirty.drain();
        if (i % 2 === 0) memory.destroy();
        moved.fill(7);
        marks.push(dirty, moved);
      }
      for (let i = 0; i < 300; i++) {
        const memory = GuestMemory.allocate(2 ** 20, { writeWatch: true });
        memory.startTracking("os");
        memory.fill(0, 2 ** 20, 1);
        if (i % 50 === 0) gc();
      }
      setImmediate(() => {
        gc();
        setImmediate(() => {
          for (const mark of marks) if (!(mark instanceof Uint8Array)) mark.drain();
          const last = GuestMemory.allocate(4096, { writeWatch: true });
          last.startTracking("os");
          last.buffer[0] = 1;
          console.log([...last.dirty.drain()].join());
        });
      });`;
    const { output, status } = runAlone(script, WITH_TRANSFER);
    expect([output, status]).to.deep.equal(["0\n", 0]);
  });

  it("closes its descriptors: when it stops, with the memory, the worker and the garbage", function () {
    if (process.platform !== "linux") {
      this.skip();
    }
    const script = `
      const { readdirSync, readlinkSync } = require("node:fs");
      const { once } = require("node:events");
      const { Worker } = require("node:worker_threads");
      const { GuestMemory } = require("pound-guest-memory");
      const open = () => readdirSync("/proc/self/fd").filter((name) => {
        try {
          return readlinkSync("/proc/self/fd/" + name).includes("userfaultfd");
        } catch {
          return false;
        }
      }).length;
      const tracked = () => {
        const memory = GuestMemory.allocate(65536);
        memory.startTracking("os");
        memory.startTracking("os");
        return memory;
      };
      (async () => {
        const [one, two, three] = [tracked(), tracked(), tracked()];
        const counts = [open()];
        one.stopTracking();
        two.startTracking("software");
        counts.push(open());
        three.destroy();
        counts.push(open());
        for (let i = 0; i < 3; i++) {
          const worker = new Worker(
            "const { GuestMemory } = require('pound-guest-memory');" +
              "const memory = GuestMemory.allocate(65536);" +
              "memory.startTracking('os');" +
              "require('node:worker_threads').parentPort.postMessage(memory.tracking);" +
              "for (;;) memory.writeb(4096, 1);",
            { eval: true },
          );
          counts.push((await once(worker, "message"))[0]);
          await worker.terminate();
        }
        counts.push(open());
        (() => void tracked())();
        counts.push(open());
        for (let i = 0; i < 5; i++) {
          await new Promise((resolve) => setImmediate(resolve));
          gc();
        }
        counts.push(open());
        console.log(counts.join());
      })();`;
    expect(runAlone(script).output).to.equal("3,1,0,os,os,os,0,1,0\n");
  });

  it("counts pages above 4 GiB, and touches none", () => {
    const before = process.memoryUsage.rss();
    using memory = GuestMemory.allocate(6 * 2 ** 30, { writeWatch: true });
    const dirty = memory.startTracking("os");
    memory.writeb(0, 1);
    memory.native.writeb(5 * 2 ** 30, 1);
    memory.writel(6 * 2 ** 30 - 4, 1);
    const expected = [0, (5 * 2 ** 30) / PAGE, (6 * 2 ** 30) / PAGE - 1];
    expect([...dirty.drain()]).to.deep.equal(expected);
    expect(process.memoryUsage.rss() - before).to.be.below(64 * 2 ** 20);
  });
});

function allocateEnded(): GuestMemory {
  const memory = allocate(1);
  memory.destroy();
  return memory;
}
