import { execFile } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect } from "chai";
import fc from "fast-check";
import { GuestMemory } from "pound-guest-memory";
import {
  diffSnapshots,
  type LiveRegion,
  loadSnapshot,
  openSnapshot,
  restoreSnapshot,
  saveSnapshot,
  type Snapshot,
  SnapshotFormatError,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { writeHugeSnapshot } from "../support/huge-snapshots.js";
import { HEADER, reseal, sha256, tablesSize } from "../support/snapshot-bytes.js";

const PAGE = 4096;

/** A small address space with a region of each kind, a page changed back to zeros, and a tail. */
function sample(): { ram: GuestMemory; space: { regions: LiveRegion[] }; snapshot: Snapshot } {
  const ram = GuestMemory.allocate(5 * PAGE + 100);
  const rom = GuestMemory.allocate(PAGE);
  rom.write(0, Buffer.from("boot"));
  const space: { regions: LiveRegion[] } = {
    regions: [
      { kind: "ram", name: "dram", gpa: 0x8000n, size: ram.size, memory: ram },
      { kind: "mmio", name: "uart", gpa: 0x10008n, size: 24n },
      { kind: "rom", name: "böot", gpa: 0xffff_f000n, size: rom.size, memory: rom },
    ],
  };
  ram.writeb(PAGE, 1);
  const parent = takeSnapshot(space);
  ram.writeb(PAGE, 0);
  ram.write(3 * PAGE - 2, Buffer.from("pages"));
  ram.writeb(5 * PAGE + 99, 0xff);
  return { ram, space, snapshot: takeSnapshot(space, parent) };
}

async function outcome(action: () => Promise<unknown>): Promise<unknown> {
  try {
    await action();
    return null;
  } catch (error) {
    return error;
  }
}

/** The peak memory in bytes of a process that runs code with the package. */
async function peakOf(script: string): Promise<number> {
  const program = `
    const { loadSnapshot, openSnapshot } = require(${JSON.stringify(join(__dirname, "../../dist/snapshot"))});
    (async () => {
      await ${script};
      console.log(process.resourceUsage().maxRSS * 1024);
    })();
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ["-e", program]);
  return Number(stdout);
}

describe("a snapshot file", () => {
  let folder: string;
  let path: string;
  const { ram, space, snapshot } = sample();
  let file: Buffer;

  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "snapshot-"));
    path = join(folder, "sample.snap");
    await saveSnapshot(snapshot, path, { mappable: false });
    file = readFileSync(path);
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  /** Asserts that a damaged file is refused and RAM is unchanged; returns the reason. */
  async function expectRefusal(bytes: Buffer, what: string): Promise<string> {
    const damaged = join(folder, "damaged.snap");
    writeFileSync(damaged, bytes);
    const before = ram.read(0, ram.size);
    const error = await outcome(async () => restoreSnapshot(space, await loadSnapshot(damaged)));
    expect(error, what).to.be.instanceOf(SnapshotFormatError);
    const { code, offset, reason } = error as SnapshotFormatError;
    expect(code, what).to.equal("ERR_SNAPSHOT_INVALID");
    expect(offset, what).to.be.within(0, Math.max(file.length, bytes.length));
    expect(ram.compare(0, before), what).to.equal(0);
    return reason;
  }

  it("restores the regions, the bytes and the heat", async () => {
    const loaded = await loadSnapshot(path);
    expect(loaded.regions).to.deep.equal(snapshot.regions);
    expect(loaded.generation).to.equal(1);
    expect([...diffSnapshots(loaded, snapshot)]).to.deep.equal([]);
    for (const page of [0, 1, 2, 3, 4, 5]) {
      const gpa = 0x8000 + page * PAGE;
      expect(loaded.pageHeat(gpa), `page ${page}`).to.deep.equal(snapshot.pageHeat(gpa));
    }
    ram.fill(0, ram.size, 0x77);
    restoreSnapshot(space, loaded);
    expect(ram.compare(0, snapshot.read(0x8000, ram.size))).to.equal(0);
  });

  it("has the format of docs/snapshot-format.md, byte for byte", () => {
    const tables = file.subarray(HEADER, HEADER + tablesSize(file));
    expect(file.subarray(0, 64).toString("hex").match(/.{16}/g)).to.deep.equal([
      "50474d534e500001", // magic, version
      "0010000003000000", // page size, regions
      "9000000000000000", // bytes of the region table: 3 * (40 + 8)
      "0500000000000000", // page records
      "0400000000000000", // stored pages
      "0050000000000000", // bytes of the file: 4096 + 4 * 4096
      "0100000000000000", // generation, zero
      "0000000000000000",
    ]);
    expect(file.subarray(64, 96).equals(sha256(tables))).to.equal(true);
    expect(file.subarray(96, 128).equals(sha256(file.subarray(0, 96)))).to.equal(true);
    expect(tables.subarray(0, 144).toString("hex").match(/.{16}/g)).to.deep.equal([
      "0000000004000000", // RAM, a name of 4 bytes
      "0080000000000000",
      "6450000000000000",
      "0400000000000000", // page records
      "0000000000000000",
      "6472616d00000000",
      "0200000004000000", // MMIO
      "0800010000000000",
      "1800000000000000",
      "0000000000000000",
      "0000000000000000",
      "7561727400000000",
      "0100000005000000", // ROM
      "00f0ffff00000000",
      "0010000000000000",
      "0100000000000000",
      "0000000000000000",
      "62c3b66f74000000",
    ]);
    const pages = [...Array(5).keys()].map((i) => tables.subarray(144 + 32 * i, 176 + 32 * i));
    expect(pages.map((record) => record.subarray(0, 16).toString("hex"))).to.deep.equal([
      "01000000000000000100000001000000", // page 1: changed once, in generation 1, to zeros
      "02000000000000000100000001000000",
      "03000000000000000100000001000000",
      "05000000000000000100000001000000",
      "00000000000000000000000000000000", // the page of the ROM
    ]);
    expect(pages[0]!.subarray(16).equals(Buffer.alloc(16))).to.equal(true);
    for (const i of [0, 1, 2, 3]) {
      const page = file.subarray(PAGE * (i + 1), PAGE * (i + 2));
      expect(pages[i + 1]!.subarray(16).equals(sha256(page).subarray(0, 16))).to.equal(true);
    }
    expect(
      file
        .subarray(PAGE, 2 * PAGE)
        .subarray(-2)
        .toString(),
    ).to.equal("pa");
  });

  it("can be read in parts, without reading the rest", async () => {
    const opened = await openSnapshot(path);
    expect(opened.regions).to.deep.equal(snapshot.regions);
    expect([...opened.pagesFrom(0, 2)].map(({ page }) => page)).to.deep.equal([2, 3, 5]);
    expect([...opened.pagesBelow(0, 3)].map(({ page }) => page)).to.deep.equal([2, 1]);
    const stored = (["up", "down"] as const).map((direction) =>
      [0, 1, 2, 3, 4, 5, 6, 2 ** 40].map((from) => opened.nextStored(0, from, direction)),
    );
    expect(stored).to.deep.equal([
      [2, 2, 2, 3, 5, 5, null, null],
      [null, null, null, 2, 3, 3, 5, 5],
    ]);
    expect(opened.nextStored(1, 0, "up")).to.equal(null);
    expect(opened.nextStored(2, 0, "up")).to.equal(0);
    expect(opened.pageAt(0, 1)).to.deep.include({ digest: null });
    expect(opened.pageAt(0, 4)).to.equal(null);
    const page = async (region: number, number: number): Promise<string> =>
      (await opened.readPages(region, number)).toString("latin1");
    expect(await page(0, 4)).to.equal("\0".repeat(PAGE));
    expect(await page(0, 1)).to.equal("\0".repeat(PAGE));
    expect(await page(0, 3)).to.match(/^ges\0/);
    expect(await page(2, 0)).to.match(/^boot\0/);
    const all = await opened.readPages(0, 1, 5);
    expect(all.subarray(0, -PAGE + 100).equals(snapshot.read(0x9000, 4 * PAGE + 100))).to.equal(
      true,
    );
    for (const action of [
      () => opened.readPages(3, 0),
      () => opened.readPages(0, 0, 2 ** 20 + 1),
      () => opened.readPages(0, -1),
      () => opened.readPages(0, 0, -1),
      () => opened.readPages(0, 0.5),
      // eslint-disable-next-line @typescript-eslint/require-await
      async () => [...opened.pagesFrom(-2, 0)],
      // eslint-disable-next-line @typescript-eslint/require-await
      async () => [...opened.pagesFrom(-1, 0)],
      // eslint-disable-next-line @typescript-eslint/require-await
      async () => opened.pageAt(0.5, 0),
    ]) {
      expect(await outcome(action)).to.include({ name: "RangeError", code: "ERR_OUT_OF_RANGE" });
    }
    await opened.close();
  });

  it("detects damage that occurs while it is open", async () => {
    const changing = join(folder, "changing.snap");
    writeFileSync(changing, file);
    const opened = await openSnapshot(changing);
    const bytes = Buffer.from(file);
    bytes[3 * PAGE + 7]! ^= 1;
    writeFileSync(changing, bytes);
    expect(await opened.readPages(0, 2)).to.have.length(PAGE);
    expect(await outcome(() => opened.readPages(0, 5))).to.be.instanceOf(SnapshotFormatError);
    truncateSync(changing, 2 * PAGE);
    expect(await outcome(() => opened.readPages(0, 3))).to.be.instanceOf(SnapshotFormatError);
    await opened.close();
  });

  it("is refused when it is truncated anywhere, or too long", async () => {
    const head = HEADER + tablesSize(file);
    for (let length = 0; length < file.length; length += length <= head ? 1 : 509) {
      await expectRefusal(file.subarray(0, length), `cut to ${length}`);
    }
    await expectRefusal(file.subarray(0, file.length - 1), "cut by one");
    await expectRefusal(Buffer.concat([file, Buffer.alloc(1)]), "one byte more");
    await expectRefusal(Buffer.concat([file, Buffer.alloc(PAGE)]), "one page more");
  });

  it("is refused when any byte differs", async function () {
    this.timeout(60_000);
    const head = HEADER + tablesSize(file);
    for (let at = 0; at < file.length; at += at < head ? 1 : 61) {
      const damaged = Buffer.from(file);
      damaged[at]! ^= 1 << (at % 8);
      await expectRefusal(damaged, `byte ${at}`);
    }
  });

  it("is refused when its fields are wrong and its checksums right", async () => {
    const region = HEADER;
    const rom = HEADER + 96;
    const records = HEADER + 144;
    const quad = (at: number, value: bigint) => (bytes: Buffer) =>
      void bytes.writeBigUInt64LE(value, at);
    const long = (at: number, value: number) => (bytes: Buffer) =>
      void bytes.writeUInt32LE(value, at);
    const lies: Record<string, [reason: string, lie: (bytes: Buffer) => void]> = {
      "another page size": ["page size", long(8, 8192)],
      "no regions": ["goes on after its end", long(12, 0)],
      "a region more": ["middle of a region", long(12, 4)],
      "countless regions": ["more than 65536", long(12, 0xffff_ffff)],
      "countless bytes of regions": ["more than 1 GiB", quad(16, 2n ** 52n)],
      "a count beyond JavaScript": ["2^53 or more", quad(16, 2n ** 64n - 1n)],
      "countless records": ["more than 1 GiB", quad(24, 2n ** 40n)],
      "one record less": ["should be zero", quad(24, 4n)],
      "countless pages": ["more pages than records", quad(32, 2n ** 50n)],
      "more pages than records": ["more pages than records", quad(32, 6n)],
      "another size": ["should have 20480 bytes", quad(40, 5n)],
      "bytes that mean nothing": ["should be zero", long(52, 1)],
      "an earlier generation": ["no snapshot of the chain", long(48, 0)],
      "an unknown kind": ["unknown kind", long(region, 3)],
      "a name that is too long": ["name of a region is too long", long(region + 4, 0xffff_fff8)],
      "regions that overlap": ["region 2 does not start behind", quad(rom + 8, 0x8000n)],
      "regions out of order": ["region 1 does not start behind", quad(region + 8, 0xffff_8000n)],
      "RAM between pages": ["not aligned", quad(region + 8, 0x8001n)],
      "a region that wraps": ["above 2^64", quad(rom + 16, 2n ** 64n - 1n)],
      "RAM of 2^53 bytes": ["2^53 bytes or more", quad(region + 16, 2n ** 53n)],
      "records of another region": ["another number of page records", quad(region + 24, 5n)],
      "records of MMIO": [
        "MMIO has pages",
        (bytes) => {
          bytes.writeBigUInt64LE(3n, region + 24);
          bytes.writeBigUInt64LE(1n, region + 48 + 24);
        },
      ],
      "a reserved byte": ["should be zero", long(region + 32, 1)],
      "padding of a name": ["should be zero", (bytes) => void (bytes[region + 47] = 1)],
      "a name that is no UTF-8": ["no UTF-8", (bytes) => void (bytes[region + 40] = 0xff)],
      "a page twice": ["not in order", quad(records + 32, 1n)],
      "pages out of order": ["not in order", quad(records, 4n)],
      "a page outside": ["outside the region", quad(records + 3 * 32, 6n)],
      "a page far outside": ["outside the region", quad(records + 3 * 32, 2n ** 60n)],
      "a page of zeros for no reason": [
        "never changed",
        (bytes) => bytes.fill(0, records + 8, records + 16),
      ],
      "a page that changed in the future": ["no snapshot of the chain", long(records + 12, 2)],
      "a page that changed too often": ["no snapshot of the chain", long(records + 8, 2)],
      "a page that changed never, but lately": ["no snapshot of the chain", long(records + 8, 0)],
      "a page less": [
        "another number of pages",
        (bytes) => bytes.fill(0, records + 48, records + 64),
      ],
    };
    for (const [what, [reason, lie]] of Object.entries(lies)) {
      const bytes = Buffer.from(file);
      lie(bytes);
      expect(await expectRefusal(reseal(bytes), what)).to.contain(reason, what);
    }
    const tail = Buffer.from(file);
    const last = tail.subarray(3 * PAGE, 4 * PAGE);
    last[100] = 1;
    sha256(last).copy(tail, records + 3 * 32 + 16, 0, 16);
    await expectRefusal(reseal(tail), "bytes behind the end of a region");
  });

  it("is refused or loads completely, whatever its tables contain", async function () {
    this.timeout(60_000);
    const end = HEADER + tablesSize(file);
    const interesting = fc.constantFrom(0, 1, 0x7f, 0x80, 0xff);
    const mutation = fc.tuple(fc.nat(end - 1), fc.oneof(interesting, fc.nat(255)));
    await fc.assert(
      fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), async (mutations) => {
        const bytes = Buffer.from(file);
        for (const [at, value] of mutations) {
          bytes[at] = value;
        }
        const damaged = join(folder, "mutated.snap");
        writeFileSync(damaged, reseal(bytes));
        const error = await outcome(async () => {
          const loaded = await loadSnapshot(damaged);
          // Another valid snapshot, for instance with another name or address: it must be complete.
          for (const { kind, gpa, size } of loaded.regions) {
            if (kind !== "mmio") {
              loaded.read(gpa, size < 2n ** 20n ? size : 2n ** 20n);
            }
          }
        });
        if (error !== null) {
          expect(error).to.be.instanceOf(SnapshotFormatError);
        }
      }),
      { numRuns: 1000 },
    );
  });

  it("takes memory in proportion to its size, even if its pages are scattered", async function () {
    this.timeout(60_000);
    const huge = join(folder, "huge.snap");
    const before = await peakOf(`loadSnapshot(${JSON.stringify(path)})`);
    for (const [pages, most] of [
      [{ count: 2 ** 20, stride: 512, stored: false }, 2 ** 20 * 64],
      // The file has the bytes of scattered pages, which are read a megabyte at a time.
      [{ count: 2 ** 14, stride: 512, stored: true }, 2 ** 14 * 4200],
    ] as const) {
      writeHugeSnapshot(huge, pages);
      const script = `loadSnapshot(${JSON.stringify(huge)}).then((s) => {
        const pages = ${pages.stride} * ${pages.count - 1};
        if (s.pageHeat(pages * 4096).changes !== 1) throw new Error("no heat");
      })`;
      const memory = await peakOf(script);
      expect(memory - before, "bytes").to.be.below(most + 32 * 2 ** 20);
    }
    rmSync(huge);
  });

  it("is read in several reads beyond the limit of the system", async function () {
    this.timeout(120_000);
    const huge = join(folder, "huge.snap");
    writeHugeSnapshot(huge, { count: 2 ** 19 + 1, stride: 1, stored: true });
    await peakOf(`openSnapshot(${JSON.stringify(huge)}).then(async (file) => {
      const bytes = await file.readPages(0, 1, 2 ** 19);
      if (bytes.length !== 2 ** 31) throw new Error("other bytes");
    })`);
    rmSync(huge);
  });

  it("replaces an older file atomically, and leaves no temporary file", async () => {
    const target = join(folder, "replaced.snap");
    writeFileSync(target, "older");
    await saveSnapshot(snapshot, target, { mappable: false });
    expect(readFileSync(target).equals(file)).to.equal(true);
    const missing = join(folder, "no such folder", "x.snap");
    expect(
      ((await outcome(() => saveSnapshot(snapshot, missing))) as { code: unknown }).code,
    ).to.equal("ENOENT");
    // A directory cannot be replaced by a file.
    const blocked = join(folder, "blocked.snap");
    mkdirSync(blocked);
    expect(await outcome(() => saveSnapshot(snapshot, blocked))).to.be.instanceOf(Error);
    expect(readdirSync(folder).filter((name) => name.endsWith(".tmp"))).to.deep.equal([]);
  });

  it("passes on the error of the file system for a missing file", async () => {
    const error = await outcome(() => loadSnapshot(join(folder, "none.snap")));
    expect((error as { code: unknown }).code).to.equal("ENOENT");
    expect(await outcome(() => loadSnapshot(folder))).to.be.instanceOf(Error);
  });
});
