import { Worker } from "node:worker_threads";
import { expect } from "chai";
import {
  Arena,
  GuestMemAccessResult,
  GuestMemory,
  type GuestMemoryAccess,
} from "pound-guest-memory";
import { runAlone, WITH_TRANSFER, RAW } from "../support/alone.js";
import { itNative } from "../support/native-tests.js";
import { itWideNative } from "../support/wide-tests.js";

const MIB = 2 ** 20;

function collect(): void {
  if (globalThis.gc === undefined) {
    throw new Error("the tests need --expose-gc");
  }
  globalThis.gc();
}

/** Lets finalizers run, which Node does between turns of the event loop. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Resident memory after `cycles` runs of `body`, less what it was after a first round of them. */
async function growthOver(cycles: number, body: () => void): Promise<number> {
  const round = async (count: number): Promise<number> => {
    for (let i = 1; i <= count; i++) {
      body();
      if (i % 500 === 0) {
        collect();
        await nextTurn();
      }
    }
    collect();
    await nextTurn();
    return process.memoryUsage.rss();
  };
  const before = await round(cycles / 5);
  return (await round(cycles)) - before;
}

const PRELUDE = `
  const { Arena, GuestMemory } = require("pound-guest-memory");
  const { Worker, isMainThread, parentPort } = require("node:worker_threads");
`;

describe("lifetime", function () {
  this.timeout(60_000);

  it("leaks nothing over 10,000 memories that were destroyed", async () => {
    const growth = await growthOver(10_000, () => {
      const memory = GuestMemory.allocate(64 * 1024);
      memory.writeq(8, 1n);
      memory.native.writeq(16, 2n);
      memory.destroy();
    });
    expect(growth).to.be.below(24 * MIB);
  });

  it("leaks nothing over 10,000 memories that were only forgotten", async () => {
    const growth = await growthOver(10_000, () => {
      const memory = GuestMemory.create(Arena.create(64 * 1024));
      memory.writeq(8, 1n);
      memory.buffer[0] = 1;
    });
    expect(growth).to.be.below(24 * MIB);
  });

  itNative("gives resident memory back on destroy, not only on collection", () => {
    const memory = GuestMemory.allocate(256 * MIB);
    memory.fill(0, memory.size, 1);
    const full = process.memoryUsage.rss();
    memory.destroy();
    expect(full - process.memoryUsage.rss()).to.be.above(200 * MIB);
  });

  it("keeps RAM for as long as a buffer or the native path can reach it", async () => {
    let arena: Arena | undefined = Arena.create(4096);
    let memory: GuestMemory | undefined = GuestMemory.create(arena);
    const buffer = memory.buffer;
    const native: GuestMemoryAccess = memory.native;
    arena = memory = undefined;
    for (let i = 0; i < 5; i++) {
      collect();
      await nextTurn();
    }
    buffer.writeUInt32LE(0xfeed_beef, 8);
    expect(native.readl(8)).to.equal(0xfeed_beef);
    expect([arena, memory]).to.deep.equal([undefined, undefined]);
  });

  itNative("survives collection in any order", () => {
    const { status, output } = runAlone(`${PRELUDE}
      const kept = [];
      for (let i = 0; i < 3000; i++) {
        const arena = i % 3 ? Arena.create(8192) : Arena.over(new ArrayBuffer(8192));
        const block = arena.allocate(8);
        const memory = GuestMemory.create(arena);
        kept.push([arena, memory, memory.native, memory.buffer, memory.slice(0, 8), block][i % 6]);
        if (i % 7 === 0) arena.destroy();
        if (i % 11 === 0) arena.destroyed || arena.reset();
        if (i % 100 === 0) { kept.splice(0, 50); gc(); }
      }
      for (const thing of kept) thing.destroy?.();
      gc(); setImmediate(() => { gc(); console.log("survived"); });
    `);
    expect(output).to.equal("survived\n");
    expect(status).to.equal(0);
  });

  itNative("works in several workers at once, and survives their end in the middle of work", () => {
    const { status, output } = runAlone(`${PRELUDE}
      const work = \`
        const { GuestMemory } = require("pound-guest-memory");
        const { parentPort } = require("node:worker_threads");
        globalThis.kept = [];
        let said = false;
        for (let i = 0; ; i++) {
          const memory = GuestMemory.allocate(1 << 16);
          for (let gpa = 0; gpa < 4096; gpa += 4) {
            memory.native.writel(gpa, gpa ^ i);
            if (memory.readl(gpa) !== (gpa ^ i) >>> 0) throw new Error("mixed up");
          }
          globalThis.kept[i % 20] = [memory, memory.buffer];
          if (i % 3) memory.destroy();
          if (i > 50 && !said) { said = true; parentPort.postMessage("working"); }
        }\`;
      (async () => {
        for (let round = 0; round < 3; round++) {
          const workers = Array.from({ length: 4 }, () => new Worker(work, { eval: true }));
          await Promise.all(workers.map((worker) => new Promise((resolve, reject) => {
            worker.on("message", resolve);
            worker.on("error", reject);
          })));
          await Promise.all(workers.map((worker) => worker.terminate()));
        }
        const memory = GuestMemory.allocate(64);
        memory.native.writeb(0, 9);
        console.log("survived", memory.readb(0));
      })();
    `);
    expect(output).to.equal("survived 9\n");
    expect(status).to.equal(0);
  });

  it("shares RAM between threads over a SharedArrayBuffer", async () => {
    const shared = new SharedArrayBuffer(4096);
    const memory = GuestMemory.create(Arena.over(shared));
    const worker = new Worker(
      `const { Arena, GuestMemory } = require("pound-guest-memory");
       const { workerData, parentPort } = require("node:worker_threads");
       const memory = GuestMemory.create(Arena.over(workerData));
       memory.native.writel(64, 0xc0ffee);
       parentPort.postMessage(memory.readl(128));`,
      { eval: true, workerData: shared },
    );
    memory.writel(128, 0xbeef);
    const seen = await new Promise((resolve, reject) => {
      worker.on("message", resolve);
      worker.on("error", reject);
    });
    expect(seen).to.equal(0xbeef);
    expect(memory.native.readl(64)).to.equal(0xc0ffee);
    await worker.terminate();
  });

  it("lets a process end with memories alive", () => {
    const { status, output } = runAlone(`${PRELUDE}
      globalThis.kept = Array.from({ length: 50 }, () => GuestMemory.allocate(1 << 20));
      kept.forEach((memory) => { memory.buffer[0] = 1; });
      console.log("alive");
    `);
    expect(output).to.equal("alive\n");
    expect(status).to.equal(0);
  });

  itWideNative(
    "faults as a whole where a buffer in the middle of the range was transferred away",
    () => {
      const { status, output } = runAlone(
        `${PRELUDE}
        const memory = GuestMemory.allocate(9 * 2 ** 30);
        memory.buffers[1].buffer.transfer();
        const codes = [memory, memory.native].flatMap((access) =>
          [8, 2 ** 32, 2 ** 33].map((gpa) => access.tryWriteb(gpa, 1)));
        try {
          memory.fill(2 ** 32 - 16, 2 ** 32 + 32, 7);
        } catch (fault) {
          console.log(codes.join(""), fault.result, memory.readb(2 ** 32 - 1));
        }
        memory.destroy();`,
        WITH_TRANSFER,
      );
      expect(output).to.equal("030030 3 0\n");
      expect(status).to.equal(0);
    },
  );

  // As in Electron, whose flag for it the addon reads once, when it is loaded.
  const FORBIDDEN = `
      ${RAW}
      native.externalBuffers = false;
      // Loaded once more, the package looks at the flag again.
      for (const name of Object.keys(require.cache)) {
        if (!name.endsWith(".node")) delete require.cache[name];
      }
      ${PRELUDE}`;

  itWideNative("does without buffers over native memory where the runtime forbids them", () => {
    const { status, output } = runAlone(`${FORBIDDEN}
      const memory = GuestMemory.allocate(5 * 2 ** 30);
      memory.writel(2 ** 32 + 4, 0xabcdef01);
      memory.native.writel(8, 7);
      console.log(memory.size, memory.native.readl(2 ** 32 + 4).toString(16), memory.buffer[8]);
      memory.startTracking("auto");
      console.log(memory.tracking);
      memory.destroy();
      console.log(memory.tryWriteb(0, 0), memory.native.tryWriteb(0, 0));
    `);
    expect(output).to.equal("5368709120n abcdef01 7\nsoftware\n3 3\n");
    expect(status).to.equal(0);
    expect(GuestMemAccessResult.ERROR_INTERNAL).to.equal(3);
  });

  itNative("says what it does without where the runtime forbids them", () => {
    const { status, output } = runAlone(`${FORBIDDEN}
      const { AddressSpace } = require("pound-guest-memory");
      const code = (action) => {
        try { action(); return "none"; } catch (error) { return error.code; }
      };
      console.log(GuestMemory.forksShareMemory);
      const memory = GuestMemory.allocate(1 << 20, { forkable: true, writeWatch: true });
      memory.writel(8, 5);
      const clone = memory.fork();
      clone.writel(8, 6);
      console.log(memory.readl(8), clone.readl(8), clone.reset(), clone.readl(8));
      console.log(code(() => memory.startTracking("os")));
      console.log(code(() => GuestMemory.allocateShared(4096, { name: "x" })));
      console.log(code(() => GuestMemory.openShared({ descriptor: 0 })));
      const shared = GuestMemory.allocateShared(4096);
      console.log(shared.shareable !== null, shared.processShared);
      const space = new AddressSpace();
      space.addRam(0, memory, { trackDirty: "auto" });
      const snapshot = space.snapshot();
      space.writel(8, 7);
      console.log(memory.tracking, space.reset(snapshot), space.native.readl(8));
    `);
    expect(output).to.equal(
      [
        "false",
        "5 6 1 5",
        "ERR_TRACKING_UNAVAILABLE",
        "ERR_SHARING_UNAVAILABLE",
        "ERR_SHARING_UNAVAILABLE",
        "true null",
        "software 1 5",
        "",
      ].join("\n"),
    );
    expect(status).to.equal(0);
  });
});
