import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import {
  diffSnapshots,
  loadSnapshot,
  openSnapshot,
  saveSnapshot,
  type SaveOptions,
  type Snapshot,
} from "pound-guest-memory/snapshot";
import { SnapshotApi } from "../../lib/inspector/api.js";
import { Parameters } from "../../lib/inspector/parameters.js";
import { crc32 } from "../../test/support/crc32.js";
import { HEADER, reseal, sha256 } from "../../test/support/snapshot-bytes.js";
import type { Field, Randomness, Target } from "./framework.mjs";

const PAGE = 4096;
const REGION = 40;
const WINDOW = 56;
const RECORD = 32;

async function seeds(): Promise<Buffer[]> {
  const space = new AddressSpace();
  space.addRom(0, Buffer.from("boot code"), { name: "rom" });
  space.addMmio(0x9000, 0x100, {}, { name: "uart" });
  space.addRam(0x10000, 20 * PAGE + 100, { name: "ram" });
  space.addRam(2 ** 32, 2 ** 30, { name: "a region with a name of some length" });
  space.writel(0x10000, 1);
  space.writel(0x15000, 2);
  const first = space.snapshot();
  space.writel(0x10000, 0);
  space.write(0x24000 + 80, Buffer.from("the end of it"));
  space.writel(2 ** 32 + 2 ** 29, 7);
  const second = space.snapshot(first);
  const flat = new AddressSpace();
  flat.addRam(0, 1);
  const small = [flat.snapshot(), windows().snapshot(), machine().snapshot({ state: STATE })];
  const sparse = new AddressSpace();
  sparse.addRam(0x10000, 20 * PAGE + 100, { name: "ram" });
  sparse.addMmio(0x9_0000, 0x100, {}, { name: "uart" });
  sparse.write(0x10000 + 3 * PAGE - 2, Buffer.from("pages"));
  return Promise.all([
    ...[first, second, ...small].map((snapshot) => encode(snapshot, { mappable: false })),
    ...small.map((snapshot) => encode(snapshot, { mappable: true })),
    encode(sparse.snapshot(), { mappable: true, checksum: "sha256" }),
  ]);
}

const STATE = { cpu: Buffer.from("registers"), "": Buffer.alloc(0) };

/** A space with devices that have state. */
function machine(): AddressSpace {
  const space = new AddressSpace();
  space.addRam(0, PAGE);
  for (const [gpa, bytes] of [
    [0x9000, 3],
    [0xa000, 0],
  ] as const) {
    space.addMmio(gpa, 0x100, { save: () => new Uint8Array(bytes), load: () => undefined });
  }
  return space;
}

/** A space of mirrors, banks and overlays. */
function windows(): AddressSpace {
  const space = new AddressSpace({ pageSize: 256 });
  const memory = GuestMemory.allocate(5 * PAGE + 256);
  memory.fill(0, PAGE, 1);
  memory.fill(4 * PAGE, PAGE + 256, 2);
  space.addRam(0, 2048, { name: "ram", repeat: 4 });
  space.addMmio(0x2000, 8, {}, { name: "ports" });
  space.addRom(0x4000, memory, { name: "bank 0", offset: 512, length: PAGE });
  space.addRom(0x5000, memory, { name: "bank 1", offset: 3 * PAGE, length: 2 * PAGE });
  space.addRam(0x4800, memory, { name: "overlay", length: 256, repeat: 3, priority: 1 });
  space.addMmio(0x4900, 256, {}, { name: "registers", priority: 2 });
  return space;
}

async function encode(snapshot: Snapshot, options: SaveOptions): Promise<Buffer> {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-seed-"));
  try {
    await saveSnapshot(snapshot, join(folder, "seed"), options);
    return readFileSync(join(folder, "seed"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The offsets of the entries of all tables, according to the header of a file. */
function entriesOf(file: Buffer): { regions: number[]; windows: number[]; records: number[] } {
  if (file.length < HEADER) {
    return { regions: [], windows: [], records: [] };
  }
  let at = HEADER;
  const named = (count: number, size: number): number[] => {
    const entries: number[] = [];
    for (let left = count; left > 0 && at + size <= file.length; left--) {
      entries.push(at);
      at += Math.ceil((size + file.readUInt32LE(at + 4)) / 8) * 8;
    }
    return entries;
  };
  const regions = named(file.readUInt32LE(12), REGION);
  const windows = named(file.readUInt32LE(52), WINDOW);
  const records: number[] = [];
  at = HEADER + Number(file.readBigUInt64LE(16));
  for (
    let left = Number(file.readBigUInt64LE(24));
    left > 0 && at + RECORD <= file.length;
    left--
  ) {
    records.push(at);
    at += RECORD;
  }
  return { regions, windows, records };
}

function fields(file: Buffer): Field[] {
  const { regions, windows, records } = entriesOf(file);
  const state = stateOf(file);
  const all = (at: number, sizes: readonly Field["size"][]): Field[] => {
    let offset = at;
    return sizes.map((size) => ({ offset: (offset += size) - size, size }));
  };
  return [
    ...all(7, [1, 4, 4, 8, 8, 8, 8, 4, 4, 4, 4]),
    ...regions.flatMap((at) => all(at, [4, 4, 8, 8, 8, 8])),
    ...windows.flatMap((at) => all(at, [4, 4, 8, 8, 8, 8, 8, 4, 4])),
    ...records.flatMap((at) => all(at, [8, 4, 4])),
    ...(state.length < 48 ? [] : all(file.length - state.length + 32, [4, 4, 4, 4])),
  ];
}

/** The state of the machine at the end of a file, which starts with its checksum. */
function stateOf(file: Buffer): Buffer {
  const size = file.length < HEADER ? 0 : file.readUInt32LE(60);
  return size > file.length ? Buffer.alloc(0) : file.subarray(file.length - size);
}

/** Corrects the checksum of the state. */
function repairState(file: Buffer): Buffer {
  const state = stateOf(file);
  sha256(state.subarray(32)).copy(state);
  return file;
}

/** Corrects all checksums of a file, and its size if the header asks for a small one. */
function repair(broken: Buffer): Buffer {
  if (broken.length < HEADER) {
    return broken;
  }
  if (broken[7] === 3) {
    return reseal(repairState(repairPages(broken)));
  }
  const [regionBytes, records, stored] = [16, 24, 32].map((at) => broken.readBigUInt64LE(at));
  const tables = 128n + regionBytes! + 32n * records!;
  const start = ((tables + 4095n) / 4096n) * 4096n;
  const size = start + 4096n * stored! + BigInt(broken.readUInt32LE(60));
  let file = broken;
  if (size < 2n ** 20n) {
    file = Buffer.alloc(Number(size));
    broken.copy(file);
    file.writeBigUInt64LE(size, 40);
    let page = Number(start);
    for (const at of entriesOf(file).records) {
      const isStored = file.subarray(at + 16, at + 32).some((byte) => byte !== 0);
      if (isStored && page + PAGE <= file.length) {
        sha256(file.subarray(page, page + PAGE)).copy(file, at + 16, 0, 16);
        page += PAGE;
      }
    }
  }
  return reseal(repairState(file));
}

/** Corrects the checksums of the pages of a mappable file. */
function repairPages(file: Buffer): Buffer {
  const { regions, records } = entriesOf(file);
  let next = 0;
  for (const region of regions) {
    const end = next + Math.min(Number(file.readBigUInt64LE(region + 24)), records.length - next);
    for (; next < end; next++) {
      const at = records[next]!;
      const page = Number(file.readBigUInt64LE(region + 32) + 4096n * file.readBigUInt64LE(at));
      const isStored = file.subarray(at + 16, at + 32).some((byte) => byte !== 0);
      if (isStored && page + PAGE <= file.length) {
        const bytes = file.subarray(page, page + PAGE);
        if (file[56] === 2) {
          sha256(bytes).copy(file, at + 16, 0, 16);
        } else {
          file.writeUInt32LE(crc32(bytes), at + 16);
        }
      }
    }
  }
  return file;
}

async function run(_file: Buffer, path: string, random: Randomness): Promise<void> {
  const loaded = await loadSnapshot(path);
  for (const { kind, gpa, size } of loaded.regions) {
    if (kind !== "mmio" && size > 0n) {
      loaded.read(gpa, size < 2n ** 20n ? size : 2n ** 20n);
      loaded.pageHeat(gpa + size - 1n);
    }
  }
  for (const { kind, gpa, size } of loaded.windows) {
    if (kind !== "mmio" && size > 0n) {
      readIfVisible(loaded, gpa);
      readIfVisible(loaded, gpa + size - 1n);
    }
  }
  loaded.stateNames.forEach((name) => loaded.state(name));
  if ([...diffSnapshots(loaded, await loadSnapshot(path))].length > 0) {
    throw new Error("the same file is another snapshot");
  }
  await using opened = await openSnapshot(path);
  for (const [i, { kind, size }] of opened.regions.entries()) {
    // A packed file may be of more RAM than there are addresses.
    if (kind !== "mmio" && size < 2n ** 32n) {
      // The pages are those that were loaded, so they are right.
      const memory = await opened.mapMemory(i, { verify: i % 2 === 0 ? "before" : "background" });
      memory.tryReadb(random.below(2 ** 20), new Uint8Array(1));
      memory.destroy();
    }
    const pages = [...opened.pagesFrom(i, 0)].map(({ page }) => page);
    await opened.readPages(i, pages.at(-1) ?? 0, 1 + random.below(32));
  }
  await inspect(opened.checksum === "sha256" ? [path, path] : [path], random);
}

/** Reads a byte of a window, which may be one that a region of MMIO covers. */
function readIfVisible(snapshot: Snapshot, gpa: bigint): void {
  try {
    snapshot.read(gpa, 1);
  } catch (error) {
    if (nameOf(error) !== "GuestMemoryFault") {
      throw error;
    }
  }
}

/** Sends every kind of request to the inspector's server that its page can send. */
async function inspect(paths: string[], random: Randomness): Promise<void> {
  const api = await SnapshotApi.open(paths);
  const ask = async (what: string, query: Record<string, string | number>): Promise<void> => {
    const texts = Object.fromEntries(
      Object.entries(query).map(([name, value]) => [name, String(value)]),
    );
    const signal = new AbortController().signal;
    try {
      await api.answer(what, new Parameters(new URLSearchParams(texts)), signal);
    } catch (error) {
      if (nameOf(error) !== "RequestError") {
        throw error;
      }
    }
  };
  try {
    const [pages, from] = [random.below(2 ** 20), random.below(2 ** 32)];
    const direction = random.below(2) === 0 ? "forward" : "backward";
    await ask("snapshot", {});
    await ask("heat", { region: 0, from: 0, pages, buckets: 1 + random.below(16_384) });
    await ask("bytes", { gpa: from, length: 1 + random.below(65_536), side: 0 });
    await ask("search", { pattern: "07", from, direction, side: 0 });
    await ask("difference", { from, direction });
  } finally {
    await api.close();
  }
}

// Compares names, since the inspector runs from its sources and so has classes of its own.
function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : "";
}

function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return nameOf(error) === "SnapshotFormatError" && code === "ERR_SNAPSHOT_INVALID";
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
