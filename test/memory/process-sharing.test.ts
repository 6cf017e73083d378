import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  fstatSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { AddressSpace, GuestMemory, type ProcessSharedSource } from "pound-guest-memory";
import { restoreSnapshot, takeSnapshot } from "pound-guest-memory/snapshot";
import { PACKAGE, runAlone } from "../support/alone.js";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { describeNative } from "../support/native-tests.js";

const SIZE = 1024 * 1024;
const WINDOWS = process.platform === "win32";
const LINUX = process.platform === "linux";
/** What `indexOf` returns if there is no match. */
const NOT_FOUND = String(GuestMemory.allocate(8).indexOf(Buffer.of(1), 0));
const UNAVAILABLE = { name: "Error", code: "ERR_SHARING_UNAVAILABLE" };

/** Statements of another process, in which `memory` is the RAM of the source in `argv[1]`. */
const OPEN = `
  const { GuestMemory } = require("pound-guest-memory");
  const memory = GuestMemory.openShared(JSON.parse(process.argv[1]));
`;

/** The path of RAM in a file. */
function pathOf(memory: GuestMemory): string {
  return memory.processShared!.file!;
}

let names = 0;
/** A name that no other test run uses. */
function newName(): string {
  return `test-${process.pid}-${names++}`;
}

/** Starts another process, with `inherited` as its descriptor 3. */
function start(script: string, source: ProcessSharedSource, inherited?: number): ChildProcess {
  return spawn(process.execPath, ["-e", OPEN + script, JSON.stringify(source)], {
    cwd: PACKAGE,
    stdio: ["ignore", "inherit", "inherit", inherited ?? "ignore"],
    timeout: 50_000,
  });
}

/** Runs another process to its end. Returns its status, or the signal that ended it. */
async function run(script: string, source: ProcessSharedSource, inherited?: number) {
  const [status, signal] = (await once(start(script, source, inherited), "exit")) as unknown[];
  return signal ?? status;
}

describeNative("RAM shared by processes", () => {
  let folder: string;
  const memories: GuestMemory[] = [];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), "pound-sharing-"));
  });
  afterEach(() => {
    memories.splice(0).forEach((memory) => {
      memory.destroy();
    });
  });
  after(() => {
    if (!WINDOWS) {
      // Windows keeps files that are mapped, and a collected buffer may still map one.
      rmSync(folder, { recursive: true });
    }
  });

  let files = 0;
  function newFile(): string {
    return join(folder, `ram-${files++}`);
  }
  function keep(memory: GuestMemory): GuestMemory {
    memories.push(memory);
    return memory;
  }
  function named(size = SIZE): GuestMemory {
    return keep(GuestMemory.allocateShared(size, { name: newName() }));
  }
  function inFile(size = SIZE): GuestMemory {
    return keep(GuestMemory.allocateShared(size, { file: newFile() }));
  }

  for (const [kind, allocate] of Object.entries({ named, inFile })) {
    describe(kind, () => {
      it("is of exactly the size asked for, zeroed, and all of it is RAM", () => {
        for (const size of [1, 7, 4096, 100_001]) {
          const memory = allocate(size);
          expect(memory.size).to.equal(BigInt(size));
          expect(memory.read(0, size).every((byte) => byte === 0)).to.equal(true);
          memory.writeb(size - 1, 0x5a);
          expect(memory.native.readb(size - 1)).to.equal(0x5a);
          expect(thrown(() => memory.writeb(size, 1)).name).to.equal("GuestMemoryFault");
          expect([memory.shareable, memory.lostSharing]).to.deep.equal([null, false]);
          const opened = keep(GuestMemory.openShared(memory.processShared!));
          expect([opened.size, opened.readb(size - 1)]).to.deep.equal([BigInt(size), 0x5a]);
        }
      });

      it("is one RAM in another process, on both paths", async () => {
        const memory = allocate();
        memory.writel(0x1000, 0xdead_beef);
        memory.native.writeq(SIZE - 8, 0x0123_4567_89ab_cdefn);
        const status = await run(
          `const ok = memory.native.readl(0x1000) === 0xdeadbeef &&
             memory.readq(${SIZE - 8}) === 0x0123456789abcdefn && memory.size === ${SIZE}n;
           memory.writew(0x2000, 0xbabe);
           memory.native.writeb(0x2002, 0x77);
           process.exit(ok ? 0 : 1);`,
          memory.processShared!,
        );
        expect(status).to.equal(0);
        expect(memory.readl(0x2000)).to.equal(0x77_babe);
        expect(memory.native.readl(0x2000)).to.equal(0x77_babe);
      });

      it("has atomic operations that are indivisible between processes, on both paths", async () => {
        const memory = allocate();
        const script = `
          memory.atomics.addl(0, 1);
          while (memory.atomics.loadl(0) < 3); // all at once
          for (let i = 0; i < 20000; i++) {
            memory.atomics.addl(8, 1);
            memory.native.atomics.addl(8, 1);
            memory.atomics.addq(16, 1n);
            for (;;) {
              const old = memory.atomics.loadw(24);
              if (memory.atomics.compareExchangew(24, old, (old + 1) & 0xffff) === old) break;
            }
          }`;
        const shared = memory.processShared!;
        const statuses = await Promise.all([1, 2, 3].map(() => run(script, shared)));
        expect(statuses).to.deep.equal([0, 0, 0]);
        expect(memory.atomics.loadl(8)).to.equal(120_000);
        expect(memory.native.atomics.loadq(16)).to.equal(60_000n);
        expect(memory.readw(24)).to.equal(60_000);
      });

      it("stays whole when a process that has it is killed", async function () {
        if (WINDOWS) {
          this.skip();
        }
        const memory = allocate();
        const child = start(
          `for (let i = 0; ; i = (i + 1) & 0xffff) {
             memory.writel(4 * i, i + 1);
             if (i === 0xffff) memory.atomics.storel(${SIZE - 4}, 1);
           }`,
          memory.processShared!,
        );
        while (memory.atomics.loadl(SIZE - 4) === 0) {
          await new Promise((wake) => setTimeout(wake, 5));
        }
        child.kill("SIGKILL");
        await once(child, "exit");
        for (let i = 0; i < 0x10000; i++) {
          expect(memory.readl(4 * i)).to.equal(i + 1);
        }
        const opened = keep(GuestMemory.openShared(memory.processShared!));
        opened.writel(0, 42);
        expect([memory.readl(0), memory.lostSharing]).to.deep.equal([42, false]);
      });

      it("ends in each process alone", async () => {
        const memory = allocate();
        const { buffer } = memory;
        const opened = keep(GuestMemory.openShared(memory.processShared!));
        memory.writel(0, 7);
        memory.destroy();
        expect(buffer.length).to.equal(0);
        expect(thrown(() => memory.readl(0))).to.deep.equal(FAULT);
        expect(thrown(() => memory.native.readl(0))).to.deep.equal(FAULT);
        expect([memory.processShared, memory.sharedDescriptor]).to.deep.equal([null, null]);
        expect(memory.lostSharing).to.equal(false);
        expect(opened.readl(0)).to.equal(7);
        if (LINUX) {
          const status = await run(
            "process.exit(memory.readl(0) === 7 ? 0 : 1)",
            opened.processShared!,
          );
          expect(status).to.equal(0);
        }
      });

      it("is opened by threads too", async () => {
        const memory = allocate();
        const worker = new Worker(
          `const { workerData } = require("node:worker_threads");
           const { GuestMemory } = require("pound-guest-memory");
           GuestMemory.openShared(workerData).writel(64, 0x1234);`,
          { eval: true, execArgv: [], workerData: memory.processShared },
        );
        await once(worker, "exit");
        expect(memory.readl(64)).to.equal(0x1234);
      });

      it("outlives workers that are terminated while they write to it", async function () {
        this.timeout(60_000);
        const memory = allocate();
        const script = `
          const { parentPort, workerData } = require("node:worker_threads");
          const { GuestMemory } = require("pound-guest-memory");
          const memory = GuestMemory.openShared(workerData);
          const { buffer } = memory;
          for (let i = 0; ; i++) {
            memory.writel((i % 1000) * 4, 1);
            memory.native.writel(4096, 2);
            memory.atomics.addl(8192, 1);
            if (i === 0) {
              parentPort.postMessage(0);
            }
            if (i % 1000 === 0) {
              const again = GuestMemory.openShared(workerData);
              memory.fork().destroy();
              again.destroy();
            }
          }`;
        const workers = Array.from({ length: 4 }, () => {
          const workerData = memory.processShared;
          return new Worker(script, { eval: true, execArgv: [], workerData });
        });
        await Promise.all(
          workers.map(async (worker, i) => {
            await once(worker, "message");
            await delay(10 * i);
            await worker.terminate();
          }),
        );
        expect(memory.readl(4096)).to.equal(2);
        memory.writel(0, 7);
        const other = keep(GuestMemory.openShared(memory.processShared!));
        expect([other.readl(0), other.readl(8192) > 0]).to.deep.equal([7, true]);
        expect(memory.lostSharing).to.equal(false);
      });

      it("is forked as a copy, with bytes that this process has not read yet", () => {
        const memory = allocate();
        const other = keep(GuestMemory.openShared(memory.processShared!));
        other.writel(0x8000, 0x1234_5678);
        const clone = memory.fork();
        expect(clone.readl(0x8000)).to.equal(0x1234_5678);
        other.writel(0x8000, 1);
        clone.writel(0x8004, 2);
        expect([clone.readl(0x8000), memory.readl(0x8000)]).to.deep.equal([0x1234_5678, 1]);
        expect(other.readl(0x8004)).to.equal(0);
        expect(clone.processShared).to.equal(null);
        expect(memory.reset()).to.equal(1);
        expect(other.readl(0x8000)).to.equal(0x1234_5678);
        clone.destroy();
      });

      it("is forked as a copy if it lies in the ArrayBuffer of another addon", () => {
        const memory = allocate();
        const other = keep(GuestMemory.openShared(memory.processShared!));
        other.writel(0x8000, 0x1234_5678);
        const clone = GuestMemory.over(memory.buffer).fork();
        expect(clone.readl(0x8000)).to.equal(0x1234_5678);
        clone.destroy();
      });

      it("keeps its bytes when its arena is reset, without a descriptor in them", () => {
        const memory = allocate();
        const other = keep(GuestMemory.openShared(memory.processShared!));
        memory.fill(0, SIZE, 0x5a);
        memory.arena.reset();
        expect(thrown(() => memory.readl(0))).to.deep.equal(FAULT);
        const again = GuestMemory.create(memory.arena);
        again.writeb(0, 0x11);
        const all = other.read(0, SIZE);
        expect([...all.filter((byte) => byte !== 0x5a)]).to.deep.equal([0x11]);
        again.arena.destroy();
        expect(other.readb(SIZE - 1)).to.equal(0x5a);
      });

      it("tracks the writes of this process by software only", () => {
        const memory = allocate();
        const other = keep(GuestMemory.openShared(memory.processShared!));
        expect(thrown(() => memory.startTracking("os"))).to.deep.equal({
          name: "Error",
          code: "ERR_TRACKING_UNAVAILABLE",
        });
        const bitmap = memory.startTracking("auto");
        expect(memory.tracking).to.equal("software");
        memory.writel(0x3000, 1);
        other.writel(0x5000, 1);
        expect(bitmap.drain()).to.deep.equal(Uint32Array.of(3));
      });

      it("is memory of an address space and of its snapshots", () => {
        const memory = allocate();
        const other = keep(GuestMemory.openShared(memory.processShared!));
        const space = new AddressSpace();
        space.addRam(0x10_0000, memory);
        space.writel(0x10_0000, 5);
        other.writel(0x4000, 6);
        expect(space.native.readl(0x10_4000)).to.equal(6);
        // A page that this process has not accessed yet.
        other.writel(0x9000, 8);
        const snapshot = takeSnapshot(space);
        other.writel(0x4000, 7);
        other.writel(0x9000, 0);
        restoreSnapshot(space, snapshot);
        expect([0, 0x4000, 0x9000].map((gpa) => other.readl(gpa))).to.deep.equal([5, 6, 8]);
      });
    });
  }

  it("has a path or a name, and a descriptor, of its own", () => {
    const memory = named();
    const file = inFile();
    expect(file.processShared).to.deep.equal({ file: pathOf(file), size: SIZE });
    if (LINUX) {
      const path = `/proc/${process.pid}/fd/${memory.sharedDescriptor}`;
      expect(memory.processShared).to.deep.equal({ file: path, size: SIZE });
    } else {
      expect(memory.processShared).to.include({ size: SIZE });
      expect(memory.processShared?.name).to.match(/^test-/);
    }
    for (const { sharedDescriptor } of WINDOWS ? [] : [memory, file]) {
      expect(fstatSync(sharedDescriptor!).size).to.equal(SIZE);
    }
    const plain = GuestMemory.allocateShared(SIZE);
    expect([plain.processShared, plain.sharedDescriptor]).to.deep.equal([null, null]);
    expect(plain.shareable).to.include({ size: SIZE });
    expect([plain.lostSharing, plain.fork().lostSharing]).to.deep.equal([false, false]);
  });

  it("is inherited by its descriptor", async function () {
    if (WINDOWS) {
      this.skip();
    }
    for (const memory of [named(), inFile()]) {
      const status = await run(
        "memory.writel(0x100, 99)",
        { descriptor: 3 },
        memory.sharedDescriptor!,
      );
      expect([status, memory.readl(0x100)]).to.deep.equal([0, 99]);
      const own = keep(GuestMemory.openShared({ descriptor: memory.sharedDescriptor! }));
      memory.destroy();
      expect(own.readl(0x100)).to.equal(99);
    }
  });

  it("may be the first bytes of a file, which have values already", () => {
    const path = newFile();
    writeFileSync(path, Buffer.alloc(10_000, 0x5a));
    const memory = keep(GuestMemory.openShared({ file: path, size: 5000n }));
    expect([memory.size, memory.readb(4999)]).to.deep.equal([5000n, 0x5a]);
    memory.writeb(0, 1);
    memory.destroy();
    const bytes = readFileSync(path);
    expect([bytes.length, bytes[0], bytes[1]]).to.deep.equal([10_000, 1, 0x5a]);
  });

  it("makes a file for this user only, and leaves it when it ends", function () {
    const memory = inFile();
    const path = pathOf(memory);
    expect(statSync(path).size).to.equal(SIZE);
    if (!WINDOWS) {
      expect(statSync(path).mode & 0o777).to.equal(0o600);
    }
    memory.destroy();
    expect(existsSync(path)).to.equal(true);
  });

  it("cannot be made shorter or longer if it has a name", function () {
    if (!LINUX) {
      this.skip();
    }
    const { sharedDescriptor } = named();
    for (const size of [0, SIZE - 1, SIZE + 1]) {
      expect(thrown(() => ftruncateSync(sharedDescriptor!, size)).code).to.equal("EPERM");
    }
  });

  it("survives when another process makes its file shorter", function () {
    const path = newFile();
    const script = `
      const fs = require("node:fs");
      const { GuestMemory } = require("pound-guest-memory");
      const file = ${JSON.stringify(path)};
      const memory = GuestMemory.allocateShared(${SIZE}, { file });
      memory.fill(0, ${SIZE}, 0x5a);
      try {
        fs.truncateSync(file, 0x10001);
      } catch (error) {
        console.log(error.code, memory.readb(0x20000), memory.lostSharing);
        process.exit();
      }
      const before = memory.lostSharing;
      const values = [memory.readb(0), memory.readb(0x10000), memory.readb(0x10002)];
      values.push(memory.readb(0x11000), memory.native.readl(${SIZE - 4}));
      memory.writel(0x40000, 7);
      memory.native.atomics.addl(0x40000, 1);
      values.push(memory.readl(0x40000));
      const { lostSharing } = memory;
      fs.truncateSync(file, 0);
      values.push(memory.native.readb(0), memory.indexOf(Buffer.from([0x5a]), 0));
      const other = GuestMemory.allocateShared(4096, { file: file + "-other" });
      console.log(...values, before, lostSharing, other.lostSharing);
      memory.destroy();
      console.log(memory.lostSharing, fs.statSync(file).size);`;
    const { status, signal, output } = runAlone(script);
    expect([status, signal]).to.deep.equal([0, null]);
    if (WINDOWS) {
      // The error of Windows, for which libuv has no code.
      expect(output).to.match(/^(UNKNOWN|EPERM|EBUSY) 90 false\n$/);
    } else {
      expect(output).to.equal(`90 90 0 0 0 8 0 ${NOT_FOUND} false true false\nfalse 0\n`);
    }
  });

  it("leaves other bus errors to the process", function () {
    if (WINDOWS) {
      this.skip();
    }
    const script = `
      const { GuestMemory } = require("pound-guest-memory");
      GuestMemory.allocateShared(4096, { file: ${JSON.stringify(newFile())} });
      process.kill(process.pid, "SIGBUS");
      setTimeout(() => {}, 5000);`;
    expect(runAlone(script)).to.include({ status: null, signal: "SIGBUS" });
  });

  it("refuses what exists, what is missing and what has no bytes", () => {
    const memory = inFile();
    const path = pathOf(memory);
    memory.writel(0, 5);
    expect(thrown(() => GuestMemory.allocateShared(4096, { file: path })).code).to.equal("EEXIST");
    expect(memory.readl(0)).to.equal(5);
    expect(statSync(path).size).to.equal(SIZE);
    const missing = join(folder, "missing");
    expect(thrown(() => GuestMemory.openShared({ file: missing })).code).to.equal("ENOENT");
    const empty = newFile();
    writeFileSync(empty, "");
    expect(thrown(() => GuestMemory.openShared({ file: empty }))).to.deep.equal(OUT_OF_RANGE);
    const short = { file: path, size: SIZE + 1 };
    expect(thrown(() => GuestMemory.openShared(short))).to.deep.equal(OUT_OF_RANGE);
    const huge = newFile();
    const refused = thrown(() => GuestMemory.allocateShared(2 ** 53 - 1, { file: huge }));
    expect(refused.name).to.be.oneOf(["Error", "RangeError"]);
    expect(existsSync(huge)).to.equal(false);
    const { name } = memory.processShared!;
    expect(name).to.equal(undefined);
    if (LINUX) {
      expect(thrown(() => GuestMemory.openShared({ name: "x" }))).to.deep.equal(UNAVAILABLE);
    } else {
      const first = GuestMemory.allocateShared(4096, { name: "test-twice" });
      const again = thrown(() => GuestMemory.allocateShared(4096, { name: "test-twice" }));
      expect(again.code).to.equal("EEXIST");
      first.destroy();
      expect(thrown(() => GuestMemory.openShared({ name: "test-twice" })).code).to.equal("ENOENT");
    }
    if (!WINDOWS) {
      expect(thrown(() => GuestMemory.openShared({ file: folder })).code).to.equal("EISDIR");
      const device = thrown(() => GuestMemory.openShared({ file: "/dev/zero" }));
      expect(device.code).to.equal("ERR_NOT_REGULAR_FILE");
      expect(thrown(() => GuestMemory.openShared({ descriptor: 99_999 }))).to.deep.equal(
        UNAVAILABLE,
      );
      const readOnly = openSync(path, "r");
      expect(thrown(() => GuestMemory.openShared({ descriptor: readOnly })).code).to.equal(
        "ERR_OUT_OF_MEMORY",
      );
      closeSync(readOnly);
    }
  });

  it("refuses wrong arguments", () => {
    const create = (options: unknown) => () => GuestMemory.allocateShared(4096, options as object);
    const open = (source: unknown) => () => GuestMemory.openShared(source as object);
    const wrongTypes = [
      create(null),
      create(1),
      create({ name: 1 }),
      create({ file: Buffer.from("x") }),
      create({ name: "a", file: "b" }),
      open(null),
      open("x"),
      open({}),
      open({ size: 1 }),
      open({ file: "a", descriptor: 3 }),
      open({ name: 1 }),
      open({ file: 1 }),
      open({ descriptor: "3" }),
      open({ file: "a", size: "1" }),
    ];
    for (const action of wrongTypes) {
      expect(thrown(action), String(action)).to.deep.equal(WRONG_TYPE);
    }
    const wrongValues = [
      ...["", "a/b", "a b", "\0", "x".repeat(31), "ä"].map((name) => create({ name })),
      ...["", "a\0b"].map((file) => create({ file })),
      ...[-1, 0.5, NaN, 2 ** 31].map((descriptor) => open({ descriptor })),
      ...[-1, 0, 0.5, 2 ** 60].map((size) => open({ descriptor: 1, size })),
      () => GuestMemory.allocateShared(0, { name: "a" }),
      () => GuestMemory.allocateShared(-1, { name: "a" }),
    ];
    for (const action of wrongValues) {
      expect(thrown(action), String(action)).to.deep.equal(OUT_OF_RANGE);
    }
  });

  it("keeps no descriptor after its end", function () {
    if (!LINUX) {
      this.skip();
    }
    const descriptors = () => readdirSync("/proc/self/fd").length;
    const before = descriptors();
    for (let i = 0; i < 50; i++) {
      named().destroy();
      inFile().destroy();
    }
    // The mapping of a file, and its guard, ends with the collection of the last buffer over it.
    expect(descriptors()).to.be.below(before + 60);
  });
});
