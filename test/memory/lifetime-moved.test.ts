import { spawnSync } from "node:child_process";
import { expect } from "chai";
import { Arena, GuestMemory } from "pound-guest-memory";
import { runAlone, WITH_TRANSFER, RAW } from "../support/alone.js";
import { describeNative } from "../support/native-tests.js";
import { itWide } from "../support/wide-tests.js";

/** Only Linux's own address space limit, and not that of an emulator, is of use to a test. */
const CAN_LIMIT =
  process.platform === "linux" &&
  (process.env["POUND_TEST_PATIENCE"] ?? "1") === "1" &&
  spawnSync("prlimit", ["--version"]).status === 0;

const PRELUDE = `
  const { Arena, GuestMemory } = require("pound-guest-memory");
  ${RAW}
  const { Worker } = require("node:worker_threads");
  const nextTurn = () => new Promise((resolve) => setTimeout(resolve, 20));
  const codeOf = (body) => { try { body(); return "none"; } catch (error) { return error.name + " " + error.code; } };
  // Runs a worker to its end, and gives what it posted.
  const workerOf = (body) => new Promise((resolve, reject) => {
    const worker = new Worker(\`const { GuestMemory, Arena } = require("pound-guest-memory");
      const { parentPort } = require("node:worker_threads");
      (async () => { \${body} })();\`, { eval: true });
    let posted;
    worker.on("message", (value) => { posted = value; });
    worker.on("error", reject);
    worker.on("exit", () => resolve(posted));
  });
`;

function expectOutput(script: string, output: string, flags = WITH_TRANSFER): void {
  expect(runAlone(`${PRELUDE} (async () => { ${script} })();`, flags)).to.deep.equal({
    status: 0,
    signal: null,
    output,
  });
}

describeNative("buffers that were moved", function () {
  this.timeout(120_000);

  it("keep their bytes in another thread when the thread that made the RAM has ended", () => {
    expectOutput(
      `for (let round = 0; round < 3; round++) {
         const moved = new Uint8Array(await workerOf(\`
           const memory = GuestMemory.allocate(1 << 20);
           memory.writeb(5, 77);
           const moved = memory.buffer.buffer.transfer();
           parentPort.postMessage(moved, [moved]);\`));
         gc(); await nextTurn();
         moved[moved.length - 1] = 3;
         console.log(moved.length, moved[5], moved[moved.length - 1]);
       }`,
      "1048576 77 3\n".repeat(3),
    );
  });

  it("keep them where only the ended thread had loaded the addon", () => {
    const script = `
      const { Worker } = require("node:worker_threads");
      const worker = new Worker(\`
        const { GuestMemory } = require("pound-guest-memory");
        const moved = GuestMemory.allocate(1 << 20).buffer.buffer.transfer();
        require("node:worker_threads").parentPort.postMessage(moved, [moved]);\`, { eval: true });
      let moved;
      worker.on("message", (buffer) => { moved = new Uint8Array(buffer); });
      worker.on("exit", () => { moved.fill(9); console.log(moved[70000]); moved = undefined; gc(); });`;
    expect(runAlone(script, WITH_TRANSFER)).to.deep.equal({
      status: 0,
      signal: null,
      output: "9\n",
    });
  });

  it("keep them where a stream has taken them over", () => {
    expectOutput(
      `const moved = await workerOf(\`
         const stream = new ReadableStream({
           type: "bytes",
           pull({ byobRequest }) { byobRequest.view[0] = 9; byobRequest.respond(1); },
         });
         const reader = stream.getReader({ mode: "byob" });
         const memory = GuestMemory.allocate(1 << 20);
         memory.writeb(70000, 5);
         const { value } = await reader.read(new Uint8Array(memory.buffer.buffer));
         parentPort.postMessage(value, [value.buffer]);\`);
       gc(); await nextTurn();
       console.log(moved[0], new Uint8Array(moved.buffer)[70000]);`,
      "9 5\n",
    );
  });

  it("do not write into the RAM that follows a reset", () => {
    expectOutput(
      `const arena = Arena.create(1 << 16);
       const memory = GuestMemory.create(arena);
       const moved = new Uint8Array(memory.buffer.buffer.transfer()).fill(5);
       arena.reset();
       const next = GuestMemory.create(arena);
       const before = [next.readb(0), next.native.readb(9), moved[100]];
       moved.fill(6);
       console.log(...before, next.readb(0), next.native.readb(9));
       arena.destroy();
       console.log(moved[100], next.tryReadb(0, moved));`,
      "0 0 5 0 0\n6 3\n",
    );
  });

  it("share no pages with what follows, also when moved and then collected unseen", () => {
    expectOutput(
      `const arena = Arena.create(1 << 16);
       let block = arena.allocate(64);
       const moved = new Uint8Array(block.buffer.transfer());
       block = undefined;
       gc(); gc();
       arena.reset();
       const next = arena.allocate(64);
       moved.fill(8);
       console.log(next[0], moved[0]);`,
      "0 8\n",
    );
  });
});

describe("pages that are reset again and again", () => {
  it("stay the same ones, whether or not a buffer over them was handed out", () => {
    const arena = Arena.create(1 << 22);
    const before = process.memoryUsage.rss();
    for (let round = 0; round < 300; round++) {
      const memory = GuestMemory.create(arena);
      memory.fill(0, memory.size, 1);
      if (round % 2 === 0) {
        expect(memory.buffer[5]).to.equal(1);
      }
      arena.reset();
    }
    // 1.2 GiB if each round had pages of its own, since the event loop has had no turn.
    expect(process.memoryUsage.rss() - before).to.be.below(200 * 2 ** 20);
    arena.destroy();
  });
});

describeNative("the end of a thread", function () {
  this.timeout(120_000);

  for (const [how, ending] of [
    ["ends by itself", ""],
    ["is terminated", "for (;;) {}"],
  ] as const) {
    it(`gives its RAM back where it ${how}`, () => {
      expectOutput(
        `const { once } = require("node:events");
         const run = async () => {
           const worker = new Worker(\`
             const { GuestMemory } = require("pound-guest-memory");
             globalThis.kept = [GuestMemory.allocate(32 << 20), GuestMemory.allocate(32 << 20)];
             for (const memory of kept) memory.buffer.fill(1);
             GuestMemory.allocate(32 << 20).buffer.fill(1);
             require("node:worker_threads").parentPort.postMessage(0);
             ${ending}\`, { eval: true });
           const ended = once(worker, "exit");
           await once(worker, "message");
           ${ending === "" ? "" : "worker.terminate();"}
           await ended;
         };
         await run();
         const before = process.memoryUsage.rss();
         for (let round = 0; round < 10; round++) await run();
         const grown = process.memoryUsage.rss() - before;
         console.log(grown < 200 * 2 ** 20 ? "given back" : grown);`,
        "given back\n",
      );
    });
  }
});

describeNative("what the addon relies on", function () {
  this.timeout(60_000);

  it("cannot be detached: the call block", () => {
    expectOutput(
      `const memory = GuestMemory.allocate(64);
       let block = memory.native.atomics.b.block.buffer;
       try { structuredClone(block, { transfer: [block] }); console.log("moved"); }
       catch (error) { console.log("refused"); }
       console.log(block === native.callBlock, codeOf(() => native.detach(block)), block.byteLength);
       console.log(block.transfer);
       block = undefined;
       gc();
       memory.native.writel(0, 5);
       console.log(memory.readl(0), memory.native.atomics.addl(0, 1));`,
      "refused\ntrue TypeError ERR_INVALID_ARG_TYPE 40\nundefined\n5 5\n",
    );
  });

  it("is detached only where the addon made it", () => {
    expectOutput(
      `const arena = native.arenaCreate(4096);
       native.arenaAllocate(arena, 64, 1);
       const exposed = native.arenaExpose(arena, 0, 64);
       const moved = native.arenaExpose(arena, 0, 64).transfer();
       for (const other of [new ArrayBuffer(8), new ArrayBuffer(0), moved, undefined, {}])
         console.log(codeOf(() => native.detach(other)), codeOf(() => native.handOut(other)));
       native.detach(exposed);
       native.detach(exposed);
       console.log(exposed.byteLength, moved.byteLength);`,
      "TypeError ERR_INVALID_ARG_TYPE TypeError ERR_INVALID_ARG_TYPE\n".repeat(5) + "0 64\n",
    );
  });

  itWide("is freed once where the runtime refuses a buffer", () => {
    expectOutput(
      `const arena = native.arenaCreate(8 * 2 ** 30);
       native.arenaAllocate(arena, 2 ** 33, 1);
       console.log(codeOf(() => native.arenaExpose(arena, 0, 2 ** 32 + 1)));
       console.log(native.arenaExpose(arena, 0, 2 ** 32).byteLength);
       gc(); await nextTurn();
       console.log(native.arenaExpose(arena, 2 ** 32, 2 ** 32).byteLength);`,
      "RangeError ERR_OUT_OF_RANGE\n4294967296\n4294967296\n",
    );
  });

  it("belongs to one instance of the addon, and is refused by others", () => {
    expectOutput(
      `const { copyFileSync, mkdtempSync } = require("node:fs");
       const { join } = require("node:path");
       const file = require("node-gyp-build").path(process.cwd());
       const copy = join(mkdtempSync(join(require("node:os").tmpdir(), "pound-")), "copy.node");
       copyFileSync(file, copy);
       const arena = native.arenaCreate(4096);
       native.arenaAllocate(arena, 64, 1);
       const memory = native.guestMemoryCreate(native.arenaCreate(4096));
       const exposed = native.arenaExpose(arena, 0, 64);
       for (const path of [file, copy]) {
         const module = { exports: {} };
         process.dlopen(module, path);
         const other = module.exports;
         console.log(other !== native, codeOf(() => other.arenaUsed(arena)),
           codeOf(() => other.guestMemoryCreate(arena)), codeOf(() => other.guestMemorySize(memory)),
           codeOf(() => native.arenaUsed(other.arenaCreate(64))), codeOf(() => other.detach(exposed)));
       }
       console.log(exposed.byteLength, native.arenaUsed(arena));`,
      (
        "true" +
        " TypeError ERR_INVALID_HANDLE".repeat(4) +
        " TypeError ERR_INVALID_ARG_TYPE\n"
      ).repeat(2) + "64 64\n",
    );
  });
});

describeNative("an address space limit", function () {
  this.timeout(60_000);

  before(function () {
    if (!CAN_LIMIT) {
      this.skip();
    }
  });

  // Another process sets the limit and lifts it. The engine itself cannot go on without memory, and
  // so neither starts a process meanwhile nor has reason to collect garbage.
  const FLAGS = [...WITH_TRANSFER, "--min-semi-space-size=32"];
  const LIMIT = `
    const { spawn } = require("node:child_process");
    const { existsSync, mkdtempSync, rmSync, writeFileSync } = require("node:fs");
    const folder = mkdtempSync(require("node:path").join(require("node:os").tmpdir(), "pound-"));
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    const awaitFile = (file) => { while (!existsSync(file)) Atomics.wait(sleeper, 0, 0, 20); };
    const limited = (body) => {
      const [go, set, lifted] = ["go", "set", "lifted"].map((name) => folder + "/" + name);
      // Ends with this process, should that crash.
      spawn("sh", ["-c", 'wait_for() { while ! eval "$1"; do kill -0 $pid || exit; sleep 0.01; done; }; pid=$0; ' +
        'wait_for "[ -e $3 ]"; prlimit --pid $0 --as=268435456: && touch $1; ' +
        'wait_for "[ ! -e $1 ]"; prlimit --pid $0 --as=unlimited: && touch $2',
        process.pid, set, lifted, go], { stdio: "ignore" }).unref();
      gc();
      writeFileSync(go, "");
      awaitFile(set);
      const code = codeOf(body);
      rmSync(set);
      awaitFile(lifted);
      rmSync(folder, { recursive: true });
      return code;
    };
    const out = new Uint32Array(1);`;

  it("does not keep an arena from being reset, nor attached views from their pages", () => {
    expectOutput(
      `${LIMIT}
       const arena = Arena.create(1 << 24);
       const memory = GuestMemory.create(arena);
       memory.fill(0, memory.size, 7);
       const { u8 } = memory;
       console.log(limited(() => arena.reset()), u8[5], u8.length);
       console.log(memory.tryReadl(0, out), memory.native.tryReadl(0, out));
       const next = GuestMemory.create(arena);
       console.log(next.readb(5), next.native.readb(9));`,
      "none 0 16777200\n3 3\n0 0\n",
      FLAGS,
    );
  });

  it("does not keep RAM from being destroyed", () => {
    expectOutput(
      `${LIMIT}
       const memory = GuestMemory.allocate(1 << 24);
       memory.fill(0, memory.size, 7);
       const { u8 } = memory;
       console.log(limited(() => memory.destroy()), u8[5], u8.length);
       console.log(memory.tryReadl(0, out), memory.native.tryReadl(0, out));`,
      "none 0 16777216\n3 3\n",
      FLAGS,
    );
  });

  it("fails a reset that needs fresh pages, which can be repeated", () => {
    expectOutput(
      `${LIMIT}
       const arena = Arena.create(1 << 24);
       const memory = GuestMemory.create(arena);
       const moved = new Uint8Array(memory.buffer.buffer.transfer()).fill(4);
       console.log(limited(() => arena.reset()), arena.used === arena.capacity, moved[99]);
       console.log(memory.tryReadl(0, out), memory.native.tryReadl(0, out));
       console.log(codeOf(() => GuestMemory.create(arena)));
       arena.reset();
       const next = GuestMemory.create(arena);
       moved.fill(5);
       console.log(next.readb(99), next.native.readb(99), moved[99]);`,
      "Error ERR_OUT_OF_MEMORY true 4\n3 3\nRangeError ERR_ARENA_EXHAUSTED\n0 0 5\n",
      FLAGS,
    );
  });
});
