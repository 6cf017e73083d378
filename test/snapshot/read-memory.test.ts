import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import {
  openSnapshot,
  saveSnapshot,
  type SnapshotFile,
  SnapshotFormatError,
  takeSnapshot,
} from "pound-guest-memory/snapshot";

const PAGE = 4096;

describe("RAM from a snapshot file", () => {
  let folder: string;
  let path: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "read-memory-"));
    path = join(folder, "ram.snap");
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  async function using<T>(use: (file: SnapshotFile) => Promise<T>): Promise<T> {
    const file = await openSnapshot(path);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  }

  async function failure(action: () => Promise<unknown>): Promise<unknown> {
    return action().then(
      () => null,
      (error: unknown) => error,
    );
  }

  for (const mappable of [false, true]) {
    const kind = mappable ? "a mappable file" : "a packed file";

    it(`has the bytes of any RAM in ${kind}`, async () => {
      const write = fc.record({ page: fc.nat(700), count: fc.integer({ min: 1, max: 400 }) });
      const input = fc.record({
        size: fc.integer({ min: 1, max: 800 * PAGE }),
        writes: fc.array(write, { maxLength: 5 }),
      });
      await fc.assert(
        fc.asyncProperty(input, async ({ size, writes }) => {
          const memory = GuestMemory.allocate(size);
          for (const { page, count } of writes) {
            for (let at = page * PAGE; at < Math.min(size, (page + count) * PAGE); at += 1021) {
              memory.writeb(at, (at % 255) + 1);
            }
          }
          await saveSnapshot(takeSnapshot(memory), path, { mappable });
          const read = await using((file) => file.readMemory(0));
          expect(read.size).to.equal(BigInt(size));
          expect(read.compare(0, memory.read(0, size))).to.equal(0);
          read.destroy();
          memory.destroy();
        }),
        { numRuns: 25 },
      );
    });

    it(`has the bytes around 4 GiB in ${kind}`, async function () {
      if (mappable && process.platform === "win32") {
        // The file would not be sparse.
        this.skip();
      }
      const memory = GuestMemory.allocate(2 ** 32 + 3 * PAGE + 5);
      memory.fill(2 ** 32 - 2 * PAGE, 5 * PAGE + 5, 0x5a);
      await saveSnapshot(takeSnapshot(memory), path, { mappable });
      const read = await using((file) => file.readMemory(0));
      for (const gpa of [0, 2 ** 32 - 3 * PAGE, 2 ** 32 - PAGE, 2 ** 32, 2 ** 32 + 2 * PAGE + 5]) {
        expect(read.compare(gpa, memory.read(gpa, PAGE)), String(gpa)).to.equal(0);
      }
    });

    it(`is refused if ${kind} is damaged or cut, and needs it no more afterwards`, async () => {
      const memory = GuestMemory.allocate(600 * PAGE + 1);
      memory.fill(0, memory.size, 7);
      await saveSnapshot(takeSnapshot(memory), path, { mappable });
      const good = readFileSync(path);
      // The first page, one of the second batch, the last byte of RAM, and bytes behind it.
      const start = good.indexOf(Buffer.alloc(PAGE, 7));
      for (const at of [
        start,
        start + 300 * PAGE + 5,
        start + 600 * PAGE,
        start + 601 * PAGE - 1,
      ]) {
        const bad = Buffer.from(good);
        bad[at]! ^= 1;
        writeFileSync(path, bad);
        const error = await failure(() => using((file) => file.readMemory(0)));
        expect(error, String(at)).to.be.instanceOf(SnapshotFormatError);
      }
      writeFileSync(path, good);
      const error = await using(async (file) => {
        truncateSync(path, start + 100 * PAGE);
        return failure(() => file.readMemory(0));
      });
      expect(error).to.be.instanceOf(SnapshotFormatError);
      writeFileSync(path, good);
      const read = await using((file) => file.readMemory(0));
      truncateSync(path, 0);
      expect(read.compare(0, memory.read(0, memory.size))).to.equal(0);
      const clone = read.fork();
      clone.writeb(0, 1);
      expect([read.readb(0), clone.readb(0), clone.readb(PAGE)]).to.deep.equal([7, 1, 7]);
    });
  }

  it("reports its progress and stops", async () => {
    const memory = GuestMemory.allocate(1500 * PAGE + 1);
    memory.fill(0, memory.size, 7);
    await saveSnapshot(takeSnapshot(memory), path, { mappable: false });
    const seen: number[][] = [];
    await using(async (file) => {
      await file.readMemory(0, { onProgress: (...step) => void seen.push(step) });
      const stop = new AbortController();
      const onProgress = (done: number): void => {
        if (done > 0) {
          stop.abort(new Error("stopped"));
        }
      };
      const { signal } = stop;
      expect(await failure(() => file.readMemory(0, { signal, onProgress }))).to.include({
        message: "stopped",
      });
    });
    expect(seen).to.deep.equal([0, 1024, 1500, 1501].map((pages) => [pages * PAGE, 1501 * PAGE]));
  });

  it("is of regions with bytes only", async () => {
    const space = new AddressSpace();
    space.addRam(0, PAGE);
    space.addMmio(0x1_0000, 8, {});
    await saveSnapshot(space.snapshot(), path);
    await using(async (file) => {
      for (const region of [1, 2, -1]) {
        expect(await failure(() => file.readMemory(region)), String(region)).to.include({
          name: "RangeError",
          code: "ERR_OUT_OF_RANGE",
        });
      }
      expect(await failure(() => file.readMemory(0, null as never))).to.include({
        name: "TypeError",
      });
      const empty = await file.readMemory(0);
      expect(empty.read(0, PAGE).every((byte) => byte === 0)).to.equal(true);
    });
  });
});
