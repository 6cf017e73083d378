import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import {
  diffSnapshots,
  loadSnapshot,
  openSnapshot,
  restoreSnapshot,
  saveSnapshot,
  type Snapshot,
  SnapshotFormatError,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { CHECKSUMS, crc32OfGzip } from "../../lib/snapshot/page-checksum.js";
import { crc32 } from "../support/crc32.js";
import { HEADER, reseal, sha256, tablesSize } from "../support/snapshot-bytes.js";

const PAGE = 4096;
const AREA = 65536;

/** A snapshot with RAM, MMIO, ROM, a page changed back to zeros, and pages that lie apart. */
function sample(): { ram: GuestMemory; space: AddressSpace; snapshot: Snapshot } {
  const space = new AddressSpace();
  const { memory: ram } = space.addRam(0x8000, 20 * PAGE + 100, { name: "dram" });
  space.addMmio(0x8_0000, 24, {}, { name: "uart" });
  space.addRom(0xffff_f000, Buffer.from("boot"), { name: "boot" });
  ram.writeb(PAGE, 1);
  const parent = space.snapshot();
  ram.writeb(PAGE, 0);
  ram.write(3 * PAGE - 2, Buffer.from("pages"));
  ram.writeb(20 * PAGE + 99, 0xff);
  return { ram, space, snapshot: space.snapshot(parent) };
}

/** A snapshot of mirrors, banks and an overlay. */
function windows(): Snapshot {
  const space = new AddressSpace({ pageSize: 256 });
  const memory = GuestMemory.allocate(5 * PAGE + 256);
  memory.fill(0, PAGE, 1);
  memory.fill(4 * PAGE, PAGE + 256, 2);
  space.addRam(0, 2048, { name: "ram", repeat: 4 });
  space.addRom(0x4000, memory, { name: "bank 0", offset: 512, length: PAGE });
  space.addRam(0x4800, memory, { name: "overlay", length: 256, repeat: 3, priority: 1 });
  return space.snapshot();
}

async function outcome(action: () => Promise<unknown>): Promise<unknown> {
  try {
    await action();
    return null;
  } catch (error) {
    return error;
  }
}

describe("a mappable snapshot file", () => {
  let folder: string;
  let path: string;
  let file: Buffer;
  const { ram, space, snapshot } = sample();

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "mappable-"));
    path = join(folder, "sample.snap");
    await saveSnapshot(snapshot, path, { mappable: true });
    file = readFileSync(path);
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  /** The reason for which a file is refused. */
  async function refusal(bytes: Buffer, what: string): Promise<string> {
    const damaged = join(folder, "damaged.snap");
    writeFileSync(damaged, bytes);
    const error = await outcome(() => loadSnapshot(damaged));
    expect(error, what).to.be.instanceOf(SnapshotFormatError);
    return (error as SnapshotFormatError).reason;
  }

  it("has the format of docs/snapshot-format.md, byte for byte", () => {
    expect(file.subarray(0, 64).toString("hex").match(/.{16}/g)).to.deep.equal([
      "50474d534e500003", // magic, version
      "0010000003000000", // page size, regions
      "9000000000000000", // bytes of the region table: 3 * (40 + 8)
      "0500000000000000", // page records
      "0400000000000000", // stored pages
      "0000040000000000", // bytes of the file: 65536 for the tables, 131072 and 65536
      "0100000000000000", // generation, no windows
      "0100000000000000", // CRC-32
    ]);
    const tables = file.subarray(HEADER, HEADER + tablesSize(file));
    expect(file.subarray(64, 96).equals(sha256(tables))).to.equal(true);
    expect(file.subarray(96, 128).equals(sha256(file.subarray(0, 96)))).to.equal(true);
    const data = [0, 1, 2].map((i) => Number(tables.readBigUInt64LE(48 * i + 32)));
    expect(data).to.deep.equal([AREA, 0, 3 * AREA]);
    const records = [...Array(5).keys()].map((i) => tables.subarray(144 + 32 * i, 176 + 32 * i));
    expect(records.map((record) => record.readUInt32LE(0))).to.deep.equal([1, 2, 3, 20, 0]);
    expect(records[0]!.subarray(16).equals(Buffer.alloc(16))).to.equal(true);
    for (const [i, offset] of [
      [1, AREA + 2 * PAGE],
      [2, AREA + 3 * PAGE],
      [3, AREA + 20 * PAGE],
      [4, 3 * AREA],
    ] as const) {
      const page = file.subarray(offset, offset + PAGE);
      const checksum = Buffer.alloc(16);
      checksum.writeUInt32LE(crc32(page));
      checksum.writeUInt32LE(1, 4);
      expect(records[i]!.subarray(16).toString("hex")).to.equal(checksum.toString("hex"));
    }
    // The data of each region has the bytes of the whole memory.
    const image = file.subarray(AREA, AREA + Number(ram.size));
    expect(image.equals(snapshot.read(0x8000, ram.size))).to.equal(true);
    expect(file.subarray(3 * AREA, 3 * AREA + 4).toString()).to.equal("boot");
  });

  it("restores the regions, the bytes and the heat, with either checksum", async () => {
    for (const checksum of ["crc32", "sha256"] as const) {
      const other = join(folder, "other.snap");
      await saveSnapshot(snapshot, other, { mappable: true, checksum });
      const loaded = await loadSnapshot(other);
      expect(loaded.regions).to.deep.equal(snapshot.regions);
      expect([...diffSnapshots(loaded, snapshot)]).to.deep.equal([]);
      for (const page of [0, 1, 2, 3, 4, 20]) {
        const gpa = 0x8000 + page * PAGE;
        expect(loaded.pageHeat(gpa), `page ${page}`).to.deep.equal(snapshot.pageHeat(gpa));
      }
      ram.fill(0, ram.size, 0x77);
      restoreSnapshot(space, loaded);
      expect(ram.compare(0, snapshot.read(0x8000, ram.size))).to.equal(0);
      const opened = await openSnapshot(other);
      const { mappable, checksum: found } = opened;
      expect({ mappable, found }).to.deep.equal({ mappable: true, found: checksum });
      const page = await opened.readPages(0, 20);
      expect(opened.pageAt(0, 20)).to.deep.include({ stored: true });
      expect(opened.pageAt(0, 20)!.digest!.toString("hex")).to.equal(
        checksum === "sha256"
          ? sha256(page).subarray(0, 16).toString("hex")
          : crc32(page).toString(16).padStart(8, "0"),
      );
      expect(opened.pageAt(0, 1)).to.deep.include({ stored: false, digest: null });
      expect(opened.nextStored(0, 4, "up")).to.equal(20);
      await opened.close();
    }
  });

  it("holds windows, and memory without regions or bytes", async () => {
    const other = join(folder, "other.snap");
    const flat = takeSnapshot(GuestMemory.allocate(1));
    const none = new AddressSpace().snapshot();
    for (const taken of [windows(), flat, none]) {
      await saveSnapshot(taken, other, { mappable: true });
      const loaded = await loadSnapshot(other);
      expect(loaded.regions).to.deep.equal(taken.regions);
      expect(loaded.windows).to.deep.equal(taken.windows);
      expect([...diffSnapshots(loaded, taken)]).to.deep.equal([]);
      const opened = await openSnapshot(other);
      await opened.verify();
      await opened.close();
    }
  });

  it("has blocks for the stored pages only", async function () {
    if (process.platform === "win32") {
      this.skip();
    }
    const large = join(folder, "large.snap");
    const memory = GuestMemory.allocate(2 ** 33);
    memory.writeb(2 ** 32 + 5, 1);
    await saveSnapshot(takeSnapshot(memory), large, { mappable: true });
    const { size, blocks } = statSync(large);
    expect(size).to.equal(2 ** 33 + AREA);
    expect(blocks * 512).to.be.below(2 ** 20);
    expect((await loadSnapshot(large)).read(2 ** 32 + 5, 1)[0]).to.equal(1);
    rmSync(large);
  });

  it("is refused when it is cut, too long, or any byte of its tables or pages differs", async () => {
    const head = HEADER + tablesSize(file);
    for (let length = 0; length < file.length; length += length <= head ? 7 : 20_011) {
      await refusal(file.subarray(0, length), `cut to ${length}`);
    }
    await refusal(Buffer.concat([file, Buffer.alloc(1)]), "one byte more");
    const pages = [2, 3, 20].map((page) => AREA + page * PAGE).concat(3 * AREA);
    const places = [...Array(head).keys()].filter((at) => at % 3 === 0);
    places.push(head + 1, AREA - 1, ...pages.flatMap((at) => [at, at + 1234, at + PAGE - 1]));
    for (const at of places) {
      const damaged = Buffer.from(file);
      damaged[at]! ^= 1 << (at % 8);
      await refusal(damaged, `byte ${at}`);
    }
  });

  it("is refused when its fields are wrong and its checksums right", async () => {
    const records = HEADER + 144;
    const quad = (at: number, value: bigint) => (bytes: Buffer) =>
      void bytes.writeBigUInt64LE(value, at);
    const long = (at: number, value: number) => (bytes: Buffer) =>
      void bytes.writeUInt32LE(value, at);
    const lies: Record<string, [reason: string, lie: (bytes: Buffer) => void]> = {
      "an unknown version": ["version 4, not 1, 2 or 3", (bytes) => void (bytes[7] = 4)],
      "no checksums": ["unknown kind 0", long(56, 0)],
      "unknown checksums": ["unknown kind 3", long(56, 3)],
      "a state that is not there": ["should have 262145 bytes", long(60, 1)],
      "too much state": ["more than 1 GiB", long(60, 2 ** 30 + 1)],
      "another size": ["should have 65536 bytes", quad(40, 5n)],
      "a larger region": ["should have 327680 bytes", quad(HEADER + 16, 131_073n)],
      "a region far too large": ["should have", quad(HEADER + 96 + 16, 2n ** 32n)],
      "data elsewhere": ["region 0 is not at byte 65536", quad(HEADER + 32, 131_072n)],
      "data of MMIO": ["region 1 is not at byte 0", quad(HEADER + 48 + 32, 65_536n)],
      "a place beyond JavaScript": ["2^53 or more", quad(HEADER + 32, 2n ** 53n)],
      "a CRC-32 without a mark": ["another form", long(records + 32 + 20, 0)],
      "bytes behind a CRC-32": ["another form", long(records + 32 + 28, 1)],
    };
    for (const [what, [reason, lie]] of Object.entries(lies)) {
      const bytes = Buffer.from(file);
      lie(bytes);
      expect(await refusal(reseal(bytes), what)).to.contain(reason, what);
    }
  });

  it("is refused or loads completely, whatever its tables contain", async function () {
    this.timeout(60_000);
    const end = HEADER + tablesSize(file);
    const mutation = fc.tuple(
      fc.nat(end - 1),
      fc.oneof(fc.constantFrom(0, 1, 0x7f, 0x80, 0xff), fc.nat(255)),
    );
    const mutated = join(folder, "mutated.snap");
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        const bytes = Buffer.from(file);
        for (const [at, value] of mutations) {
          bytes[at] = value;
        }
        writeFileSync(mutated, reseal(bytes));
        const error = await outcome(() => loadSnapshot(mutated));
        expect(error === null || error instanceof SnapshotFormatError, String(error)).to.equal(
          true,
        );
      }),
      { numRuns: 300 },
    );
  });

  it("refuses invalid options before it writes", async () => {
    const other = join(folder, "refused.snap");
    for (const [options, name] of [
      [null, "TypeError"],
      [{ mappable: 1 }, "TypeError"],
      [{ mappable: true, checksum: "md5" }, "RangeError"],
      [{ mappable: false, checksum: "crc32" }, "RangeError"],
      [{ onProgress: 1 }, "TypeError"],
      [{ signal: {} }, "TypeError"],
    ] as const) {
      const error = await outcome(() => saveSnapshot(snapshot, other, options as never));
      expect(error, JSON.stringify(options)).to.include({ name });
    }
    for (const options of [null, { onProgress: {} }, { signal: 1 }]) {
      const error = await outcome(() => loadSnapshot(path, options as never));
      expect(error, JSON.stringify(options)).to.include({ name: "TypeError" });
    }
    expect(readdirSync(folder)).not.to.contain("refused.snap");
  });

  it("reports the progress of saving and loading, and stops", async () => {
    const memory = GuestMemory.allocate(2500 * PAGE);
    memory.fill(0, memory.size, 1);
    const taken = takeSnapshot(memory);
    const other = join(folder, "progress.snap");
    const total = 2500 * PAGE;
    const steps = [0, 1024, 2048, 2500].map((pages) => [pages * PAGE, total]);
    for (const mappable of [false, true]) {
      const seen: number[][] = [];
      const onProgress = (...step: number[]): void => void seen.push(step);
      await saveSnapshot(taken, other, { mappable, onProgress });
      expect(seen).to.deep.equal(steps);
      seen.length = 0;
      await loadSnapshot(other, { onProgress });
      expect(seen).to.deep.equal(steps);
      const old = readFileSync(other);
      for (const action of [
        (options: object) => saveSnapshot(taken, other, { mappable, ...options }),
        (options: object) => loadSnapshot(other, options),
      ]) {
        const stop = new AbortController();
        const halfWay = (done: number): void => {
          if (done > total / 2) {
            stop.abort(new Error("stopped"));
          }
        };
        const options = { signal: stop.signal, onProgress: halfWay };
        expect(await outcome(() => action(options))).to.include({ message: "stopped" });
        expect(await outcome(() => action({ signal: AbortSignal.abort() }))).to.include({
          name: "AbortError",
        });
      }
      expect(readFileSync(other).equals(old)).to.equal(true);
      expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).to.deep.equal([]);
    }
  });
});

describe("the CRC-32 of a page", () => {
  it("is that of zlib, also without zlib.crc32", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5000 }), (bytes) => {
        const table = Buffer.alloc(20, 0xee);
        CHECKSUMS.crc32.put(bytes, table, 2);
        expect(table.readUInt32LE(2)).to.equal(crc32(bytes));
        expect(table.subarray(6).toString("hex")).to.equal("010000000000000000000000eeee");
        expect(crc32OfGzip(bytes)).to.equal(crc32(bytes));
      }),
    );
    expect(crc32(Buffer.from("123456789"))).to.equal(0xcbf43926);
  });
});
