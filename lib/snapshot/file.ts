import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PAGE_SIZE } from "../base/page.js";
import { outOfMemoryError, rangeError } from "../base/errors.js";
import { notRegularFileError, SnapshotFormatError } from "./errors.js";
import { checkBooleans, checkFunction, checkObject, toByteCount } from "../base/arguments.js";
import {
  type FilePart,
  GuestMemory,
  guestMemoryInternals,
  type MapOptions,
} from "../memory/guest-memory.js";
import { WINDOW_SIZE } from "../memory/windows.js";
import { decodeHeader, decodeLayout } from "./decode.js";
import { dataOffset, type FileLayout, HEADER_SIZE, type Header } from "./format.js";
import type { SnapshotWindow } from "./layout.js";
import { restoreMapped } from "./map-restore.js";
import type { ChecksumName } from "./page-checksum.js";
import { HeatTable, type PageHeat } from "./page-heat.js";
import { PageRecords } from "./page-records.js";
import { PageStore } from "./page-store.js";
import { NO_PAGES, type PageTable, samePage, ZERO_PAGE } from "./page-table.js";
import { BATCH, Progress, type ProgressOptions } from "./progress.js";
import { restoreSnapshot } from "./restore.js";
import type { MachineState } from "./state.js";
import type { SnapshotSubject } from "./subject.js";
import { decodeState } from "./state-section.js";
import {
  makeSnapshot,
  type RegionContents,
  type Snapshot,
  type SnapshotRegion,
} from "./snapshot.js";

/** Ends the verification for RAM that has ended. */
const ENDED = new Error("the memory has ended");

/** Maximum bytes of one read: Linux reads at most 2 GiB, and Node aborts the process above that. */
const MAX_READ = 2 ** 30;

/** Maximum pages of one `readPages`: 4 GiB, the largest Buffer of the oldest Node supported. */
const MAX_PAGES = 2 ** 20;

/** Makes opening a pipe return at once instead of waiting for a writer. Windows lacks the flag. */
const O_NONBLOCK = (constants as Partial<typeof constants>).O_NONBLOCK ?? 0;

/**
 * Reads a snapshot from a file into memory and verifies all of it.
 *
 * @param options - Reports the progress, or stops the work.
 * @throws TypeError for invalid options; {@link SnapshotFormatError} if the file is not a snapshot,
 * is truncated or is damaged; Error `ERR_NOT_REGULAR_FILE`, `ERR_OUT_OF_MEMORY`; errors of the file
 * system; the reason of `signal`.
 */
export async function loadSnapshot(path: string, options: ProgressOptions = {}): Promise<Snapshot> {
  const progress = new Progress(options);
  const file = await openSnapshot(path);
  try {
    return await file.read(progress);
  } finally {
    await file.close();
  }
}

/**
 * Opens a snapshot file for reading parts of it. Reads and verifies its tables at once, and each
 * page when it is read.
 *
 * @throws The errors of {@link loadSnapshot}.
 */
export async function openSnapshot(path: string): Promise<SnapshotFile> {
  const handle = await open(path, constants.O_RDONLY | O_NONBLOCK);
  try {
    const stats = await handle.stat();
    if (!stats.isFile()) {
      throw notRegularFileError(path);
    }
    const { size } = stats;
    const header = decodeHeader(await readAt(handle, 0, Math.min(HEADER_SIZE, size)), size);
    const tables = await readAt(handle, HEADER_SIZE, dataOffset(header) - HEADER_SIZE);
    return new SnapshotFile(handle, header, decodeLayout(tables, header), tables);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** A record in the page table of a snapshot file. */
export interface FilePage {
  /** The number of the page in its region. */
  readonly page: number;
  readonly heat: PageHeat;
  /** Whether the file stores the bytes of the page. It does not store pages of zeros. */
  readonly stored: boolean;
  /**
   * The checksum of the page, of the kind {@link SnapshotFile.checksum}: the 4 bytes of the CRC-32,
   * most significant first, or the first 16 bytes of the SHA-256. Null for a page of zeros.
   */
  readonly digest: Buffer | null;
}

/** Bytes of stored pages that are adjacent in the file. */
interface Run {
  /** The offset in the file. */
  readonly offset: number;
  /** The number of the first page. */
  readonly page: number;
  length: number;
}

/** An open snapshot file. Only its tables are in memory. */
export class SnapshotFile implements AsyncDisposable {
  /** As {@link Snapshot.regions}. */
  readonly regions: readonly SnapshotRegion[];
  /** As {@link Snapshot.windows}. */
  readonly windows: readonly SnapshotWindow[];
  readonly generation: number;
  /** Size of the file in bytes. */
  readonly size: number;
  /** The kind of the checksums of pages. */
  readonly checksum: ChecksumName;
  /** Whether the pages of each region lie in the file as in RAM, so that it can be mapped. */
  readonly mappable: boolean;

  readonly #handle: FileHandle;
  /** The verifications in the background, which never fail. */
  readonly #verifying = new Set<Promise<void>>();
  /** Bytes of the state of the machine. */
  readonly #stateSize: number;
  readonly #dataOffset: number;
  /** The offset of the data of each region, in a mappable file. */
  readonly #areas: readonly number[];
  readonly #records: PageRecords;
  /** The index of the first record of each region, followed by the number of all records. */
  readonly #first: readonly number[];

  /** Use {@link openSnapshot}. @internal */
  constructor(handle: FileHandle, header: Header, layout: FileLayout, tables: Buffer) {
    const { regions, windows } = layout;
    const table = tables.subarray(header.regionBytes);
    this.#records = new PageRecords(table, regions, header);
    this.#handle = handle;
    this.#dataOffset = dataOffset(header);
    this.#areas = regions.map(({ data }) => data);
    this.checksum = header.checksum.name;
    this.mappable = header.isMappable;
    const first = [0];
    for (const { records } of regions) {
      first.push(first.at(-1)! + records);
    }
    this.#first = first;
    this.generation = header.generation;
    this.size = header.fileSize;
    this.#stateSize = header.state;
    this.windows = windows;
    this.regions = regions.map(({ layout }, i) => ({
      ...layout,
      storedPages: this.#records.rank(first[i + 1]!) - this.#records.rank(first[i]!),
    }));
  }

  /** Closes the file, after the verification in the background has ended. */
  async close(): Promise<void> {
    await Promise.all(this.#verifying);
    await this.#handle.close();
  }

  /** {@link SnapshotFile.close}, for `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * The page records of a region with page numbers at or above `from`, ascending.
   *
   * @param region - Index in {@link SnapshotFile.regions}.
   * @throws RangeError if there is no such region.
   */
  *pagesFrom(region: number, from: number): Generator<FilePage> {
    const { first, end } = this.#recordsOf(region);
    for (let i = this.#records.lowerBound(from, first, end); i < end; i++) {
      yield this.#page(i);
    }
  }

  /**
   * The page records of a region with page numbers below `from`, descending.
   *
   * @throws The errors of {@link SnapshotFile.pagesFrom}.
   */
  *pagesBelow(region: number, from: number): Generator<FilePage> {
    const { first, end } = this.#recordsOf(region);
    for (let i = this.#records.lowerBound(from, first, end); i > first; i--) {
      yield this.#page(i - 1);
    }
  }

  /**
   * The number of the next stored page: with `"up"`, the first at or above `from`; with `"down"`,
   * the last below `from`. Null if there is none. The search takes logarithmic time.
   *
   * @throws The errors of {@link SnapshotFile.pagesFrom}.
   */
  nextStored(region: number, from: number, direction: "up" | "down"): number | null {
    const { first, end } = this.#recordsOf(region);
    const records = this.#records;
    const start = records.lowerBound(from, first, end);
    const rank = records.rank(start);
    if (direction === "up" ? rank === records.rank(end) : rank === records.rank(first)) {
      return null;
    }
    return records.page(records.ofRank(direction === "up" ? rank : rank - 1));
  }

  /**
   * The record of a page. Null for a page without a record: it is all zero and never changed.
   *
   * @throws The errors of {@link SnapshotFile.pagesFrom}.
   */
  pageAt(region: number, page: number): FilePage | null {
    const { first, end } = this.#recordsOf(region);
    const record = this.#records.lowerBound(page, first, end);
    return record < end && this.#records.page(record) === page ? this.#page(record) : null;
  }

  /**
   * Reads adjacent pages of a region and verifies them. Pages that are not stored read as zeros.
   *
   * @param region - Index in {@link SnapshotFile.regions}.
   * @param page - The number of the first page.
   * @param count - The number of pages, at most 2^20.
   * @throws {@link SnapshotFormatError} if a page is damaged; TypeError, RangeError; Error
   * `ERR_OUT_OF_MEMORY`; errors of the file system.
   */
  async readPages(region: number, page: number, count = 1): Promise<Buffer> {
    const { first, end } = this.#recordsOf(region);
    const start = toByteCount(page, "page");
    if (toByteCount(count, "count") > MAX_PAGES) {
      throw rangeError("count must be at most 2^20: no Buffer holds more pages");
    }
    const pages = allocate(count * PAGE_SIZE);
    const from = this.#records.lowerBound(start, first, end);
    const to = this.#records.lowerBound(start + count, from, end);
    await this.#readRecords(region, from, to, {
      allocate: (bytes) => allocate(bytes),
      use: (at, bytes) => pages.set(bytes, (at - start) * PAGE_SIZE),
    });
    return pages;
  }

  /**
   * Reads and verifies all pages.
   *
   * @throws The errors of {@link loadSnapshot}.
   */
  async load(options: ProgressOptions = {}): Promise<Snapshot> {
    return this.read(new Progress(options));
  }

  /** As `load`. @internal */
  async read(progress: Progress): Promise<Snapshot> {
    progress.start(this.#records.rank(this.#first.at(-1)!) * PAGE_SIZE);
    const regions: RegionContents[] = [];
    for (const [i, { kind, name, gpa, size }] of this.regions.entries()) {
      const pages = await this.#loadPages(i, progress);
      regions.push({ layout: { kind, name, gpa, size }, pages, heat: this.#loadHeat(i) });
    }
    const state = await this.readState();
    return makeSnapshot({ regions, windows: this.windows, origins: null, state }, this.generation);
  }

  /**
   * Reads all pages and verifies them, without keeping them in memory. In a mappable file, the
   * bytes of pages that are not stored must be zero, as {@link SnapshotFile.mapMemory} demands.
   *
   * @throws The errors of {@link loadSnapshot}.
   */
  async verify(options: ProgressOptions = {}): Promise<void> {
    const progress = new Progress(options);
    progress.start(this.#records.rank(this.#first.at(-1)!) * PAGE_SIZE);
    const nextBuffer = twoBuffers();
    for (const [region, { kind }] of this.regions.entries()) {
      if (this.mappable && kind !== "mmio") {
        await this.#verify(region, this.#partOf(region), progress);
      } else {
        const { first, end } = this.#recordsOf(region);
        await this.#readRecords(region, first, end, { allocate: nextBuffer, use() {}, progress });
      }
    }
    await this.readState();
  }

  /** Reads and verifies the state of the machine. @internal */
  async readState(): Promise<MachineState> {
    const offset = this.size - this.#stateSize;
    const section = await readAt(this.#handle, offset, this.#stateSize);
    return decodeState(section, offset, this.windows.length);
  }

  /**
   * Makes RAM with the bytes of a region, and verifies them. No snapshot is made in between, so
   * this takes half the memory and copies of loading and restoring one. Pages that are not stored
   * take no memory.
   *
   * The RAM is independent of the file, which may be changed, cut or removed afterwards. It is
   * `forkable`: its clones share the pages that none of them writes, on Linux.
   *
   * @param region - Index in {@link SnapshotFile.regions}, of RAM or ROM.
   * @throws RangeError if there is no such region, or if it is MMIO; the errors of
   * {@link loadSnapshot}.
   *
   * @example
   * ```js
   * import { tmpdir } from "node:os";
   * import { join } from "node:path";
   * import { AddressSpace } from "pound-guest-memory";
   * import { openSnapshot, saveSnapshot } from "pound-guest-memory/snapshot";
   *
   * const path = join(tmpdir(), "machine.snapshot");
   * const space = new AddressSpace();
   * space.addRam(0x8000_0000, 1024 * 1024);
   * space.writel(0x8000_0000, 42);
   * await saveSnapshot(space.snapshot(), path);
   *
   * const file = await openSnapshot(path);
   * const machine = new AddressSpace();
   * machine.addRam(file.regions[0].gpa, await file.readMemory(0));
   * await file.close();
   * console.log(machine.readl(0x8000_0000)); // 42
   * ```
   */
  async readMemory(region: number, options: ProgressOptions = {}): Promise<GuestMemory> {
    const progress = new Progress(options);
    const { size } = this.#partOf(region);
    progress.start(this.#storedBytes(region));
    const memory = GuestMemory.allocate(size, { forkable: true });
    try {
      await this.#fill(memory, region, progress);
      return memory;
    } catch (error) {
      memory.destroy();
      throw error;
    }
  }

  /**
   * Makes RAM of a region without reading it: the file is mapped, and each page is read when it is
   * first accessed. The RAM takes memory only for the pages that are accessed, and its clones
   * ({@link GuestMemory.fork}) share those that none of them writes. Writes stay in the RAM.
   *
   * The file must not be written in place while the RAM exists. Replacing, moving or removing it is
   * harmless: {@link saveSnapshot} replaces it. If a page turns out to be gone, because the file
   * was made shorter or the disk fails, the access continues with zeros and the RAM ends within a
   * tenth of a second of the event loop's time.
   *
   * On systems other than Linux, in Electron and for files of versions 1 and 2, the RAM is that of
   * {@link SnapshotFile.readMemory}.
   *
   * @param region - Index in {@link SnapshotFile.regions}, of RAM or ROM.
   * @throws TypeError, RangeError for invalid options; the errors of
   * {@link SnapshotFile.readMemory}.
   */
  async mapMemory(
    region: number,
    options: MapOptions & ProgressOptions = {},
  ): Promise<GuestMemory> {
    const { verify = "background", onDamage } = checkObject(options, "options");
    const progress = new Progress(options);
    if (verify !== "background" && verify !== "before") {
      throw rangeError('verify must be "background" or "before"');
    }
    if (onDamage !== undefined) {
      checkFunction(onDamage, "onDamage");
    }
    const part = this.#partOf(region);
    if (!this.mappable || part.size === 0 || !GuestMemory.forksShareMemory) {
      return this.readMemory(region, options);
    }
    if (verify === "before") {
      progress.start(this.#storedBytes(region));
      await this.#verify(region, part, progress);
    }
    const memory = GuestMemory.ofFile(part, onDamage);
    if (memory === null) {
      return this.readMemory(region, options);
    }
    if (verify === "background") {
      const verifying = this.#verifyBehind(region, part, memory, onDamage);
      this.#verifying.add(verifying);
      void verifying.finally(() => this.#verifying.delete(verifying));
    }
    return memory;
  }

  /** Restores a space: see `AddressSpace.restore`. @internal */
  async restoreTo(
    subject: SnapshotSubject,
    options: MapOptions & ProgressOptions & { readonly map?: boolean | undefined },
  ): Promise<void> {
    const { map = false } = checkObject(options, "options");
    checkBooleans({ map });
    if (map) {
      await restoreMapped(this, subject, options);
    } else {
      restoreSnapshot(subject, await this.load(options));
    }
  }

  /** Verifies a region while RAM that maps it is in use, and ends the RAM if it is damaged. */
  async #verifyBehind(
    region: number,
    part: FilePart,
    memory: GuestMemory,
    onDamage: ((error: Error) => void) | undefined,
  ): Promise<void> {
    try {
      await this.#verify(region, part, {
        add: () => {
          if (memory.destroyed) {
            throw ENDED;
          }
        },
      });
    } catch (error) {
      if (!memory.destroyed) {
        memory.destroy();
        if (onDamage === undefined) {
          process.emitWarning(error as Error);
        } else {
          onDamage(error as Error);
        }
      }
    }
  }

  /** Verifies the stored pages of a region, and that the others are zero. */
  async #verify(region: number, part: FilePart, progress: Pick<Progress, "add">): Promise<void> {
    const records = this.#records;
    const { first, end } = this.#recordsOf(region);
    const nextBuffer = twoBuffers();
    const read = async ({ from, to }: Batch): Promise<Uint8Array> => {
      const bytes = nextBuffer((to - from) * PAGE_SIZE);
      await readInto(this.#handle, part.offset + from * PAGE_SIZE, bytes);
      return bytes;
    };
    let record = first;
    // The file has no data for a page in a hole.
    const checkHole = (before: number): void => {
      for (; record < end && records.page(record) < before; record++) {
        if (records.isStored(record)) {
          this.#checkPage(region, record, ZERO_PAGE);
        }
      }
    };
    for await (const { from, to, result } of ahead(dataPages(part), read)) {
      checkHole(from);
      const before = record;
      for (let page = from; page < to; page++) {
        const at = result.byteOffset + (page - from) * PAGE_SIZE;
        const bytes = new Uint8Array(result.buffer, at, PAGE_SIZE);
        const isRecorded = record < end && records.page(record) === page;
        if (isRecorded && records.isStored(record)) {
          this.#checkPage(region, record, bytes);
        } else if (!samePage(bytes, null)) {
          const offset = part.offset + page * PAGE_SIZE;
          throw new SnapshotFormatError("a page that is not stored is not zero", offset);
        }
        record += Number(isRecorded);
      }
      progress.add((records.rank(record) - records.rank(before)) * PAGE_SIZE);
    }
    checkHole(Infinity);
  }

  /** Bytes of the stored pages of a region. */
  #storedBytes(region: number): number {
    const { first, end } = this.#recordsOf(region);
    return (this.#records.rank(end) - this.#records.rank(first)) * PAGE_SIZE;
  }

  /** The data of a region of RAM or ROM. */
  #partOf(region: number): FilePart {
    this.#recordsOf(region);
    const { kind, size } = this.regions[region]!;
    if (kind === "mmio") {
      throw rangeError("a region of MMIO has no bytes");
    }
    return { descriptor: this.#handle.fd, offset: this.#areas[region]!, size: Number(size) };
  }

  /** Reads the stored pages of a region into RAM of zeros. */
  async #fill(memory: GuestMemory, region: number, progress: Progress): Promise<void> {
    const { windowAt } = guestMemoryInternals(memory);
    const size = Number(memory.size);
    const { first, end } = this.#recordsOf(region);
    // The last page of the file may be longer than that of RAM.
    const whole = this.#records.lowerBound(Math.floor(size / PAGE_SIZE), first, end);
    const bytesAt = (page: number, length: number): Uint8Array => {
      const start = page * PAGE_SIZE;
      const at = start % WINDOW_SIZE;
      return windowAt(start).u8.subarray(at, at + length);
    };
    const read = async ({ from, to }: Batch): Promise<void> => {
      const runs = this.#runs(region, from, to, true);
      await this.#readRuns(runs, ({ page, length }) => bytesAt(page, length));
    };
    for await (const { from, to } of ahead(batches(first, whole), read)) {
      for (let i = from; i < to; i++) {
        if (this.#records.isStored(i)) {
          this.#checkPage(region, i, bytesAt(this.#records.page(i), PAGE_SIZE));
        }
      }
      progress.add((this.#records.rank(to) - this.#records.rank(from)) * PAGE_SIZE);
    }
    await this.#readRecords(region, whole, end, {
      allocate: (bytes) => allocate(bytes),
      use: (page, bytes) =>
        memory.write(page * PAGE_SIZE, bytes.subarray(0, size - page * PAGE_SIZE)),
      progress,
    });
  }

  async #loadPages(region: number, progress: Progress): Promise<PageTable> {
    const edit = NO_PAGES.edit();
    const { first, end } = this.#recordsOf(region);
    const stored = this.#records.rank(end) - this.#records.rank(first);
    const store = new PageStore(stored, stored);
    await this.#readRecords(region, first, end, {
      allocate: (bytes) => store.allocateRun(bytes / PAGE_SIZE),
      use: (page, bytes) => {
        if (bytes[0] !== 0 || !samePage(bytes, null)) {
          edit.set(page, bytes);
        }
      },
      progress,
    });
    return edit.finish();
  }

  /** Reads and verifies the stored pages of consecutive records. */
  async #readRecords(
    region: number,
    first: number,
    end: number,
    { allocate, use, progress }: RecordReader,
  ): Promise<void> {
    const read = async ({ from, to }: Batch): Promise<Uint8Array> => {
      const all = allocate((this.#records.rank(to) - this.#records.rank(from)) * PAGE_SIZE);
      let done = 0;
      await this.#readRuns(this.#runs(region, from, to, false), ({ length }) => {
        done += length;
        return all.subarray(done - length, done);
      });
      return all;
    };
    for await (const { from, to, result } of ahead(batches(first, end), read)) {
      let start = 0;
      for (let record = from; record < to; record++) {
        if (this.#records.isStored(record)) {
          const bytes = new Uint8Array(result.buffer, result.byteOffset + start, PAGE_SIZE);
          this.#checkPage(region, record, bytes);
          use(this.#records.page(record), bytes);
          start += PAGE_SIZE;
        }
      }
      progress?.add(result.length);
    }
  }

  /** Reads runs into the bytes that `target` returns for each. */
  async #readRuns(runs: readonly Run[], target: (run: Run) => Uint8Array): Promise<void> {
    const reads = runs.map((run) => readInto(this.#handle, run.offset, target(run)));
    // Not Promise.all, which would leave reads behind if one fails.
    for (const result of await Promise.allSettled(reads)) {
      if (result.status === "rejected") {
        throw result.reason;
      }
    }
  }

  /**
   * The stored pages of consecutive records, as runs of bytes that are adjacent in the file.
   *
   * @param inRam - Whether they must also be adjacent in a window of RAM.
   */
  #runs(region: number, from: number, to: number, inRam: boolean): Run[] {
    const runs: Run[] = [];
    for (let record = from; record < to; record++) {
      if (!this.#records.isStored(record)) {
        continue;
      }
      const offset = this.#offsetOf(region, record);
      const page = this.#records.page(record);
      const last = runs.at(-1);
      const isAdjacent =
        last !== undefined &&
        last.offset + last.length === offset &&
        (!inRam ||
          (last.page * PAGE_SIZE + last.length === page * PAGE_SIZE &&
            (page * PAGE_SIZE) % WINDOW_SIZE !== 0));
      if (isAdjacent) {
        last.length += PAGE_SIZE;
      } else {
        runs.push({ offset, page, length: PAGE_SIZE });
      }
    }
    return runs;
  }

  /** The offset in the file of a stored page. */
  #offsetOf(region: number, record: number): number {
    return this.mappable
      ? this.#areas[region]! + this.#records.page(record) * PAGE_SIZE
      : this.#dataOffset + this.#records.rank(record) * PAGE_SIZE;
  }

  #loadHeat(region: number): HeatTable {
    const { first, end } = this.#recordsOf(region);
    const records = this.#records;
    return HeatTable.of(
      (function* () {
        for (let i = first; i < end; i++) {
          const heat = records.heat(i);
          if (heat.changes !== 0) {
            yield [records.page(i), heat] as const;
          }
        }
      })(),
    );
  }

  #checkPage(region: number, record: number, bytes: Uint8Array): void {
    const offset = this.#offsetOf(region, record);
    if (!this.#records.matches(record, bytes)) {
      throw new SnapshotFormatError("the checksum of a page is wrong", offset);
    }
    const end = Number(this.regions[region]!.size) - this.#records.page(record) * PAGE_SIZE;
    if (end < PAGE_SIZE && bytes.subarray(end).some((byte) => byte !== 0)) {
      throw new SnapshotFormatError("a page goes on behind the end of its region", offset + end);
    }
  }

  #page(record: number): FilePage {
    const records = this.#records;
    return {
      page: records.page(record),
      heat: records.heat(record),
      stored: records.isStored(record),
      // A getter, because most loops over the records never use the digest.
      get digest() {
        return records.digest(record);
      },
    };
  }

  /** The indexes of the first record of a region and of the record after its last. */
  #recordsOf(region: number): { first: number; end: number } {
    const [first, end] = [this.#first[region], this.#first[region + 1]];
    if (first === undefined || end === undefined) {
      throw rangeError("the snapshot has no such region");
    }
    return { first, end };
  }
}

/** Consecutive records, or pages. */
interface Batch {
  readonly from: number;
  readonly to: number;
}

/** What `#readRecords` does with the pages. */
interface RecordReader {
  /** Allocates the bytes of the pages of one batch. */
  readonly allocate: (bytes: number) => Uint8Array;
  /** Receives each page. */
  readonly use: (page: number, bytes: Uint8Array) => void;
  readonly progress?: Pick<Progress, "add">;
}

function* batches(first: number, end: number): Generator<Batch> {
  for (let from = first; from < end; from += BATCH) {
    yield { from, to: Math.min(from + BATCH, end) };
  }
}

/** The pages of a part of a file that are not in holes. */
function* dataPages(part: FilePart): Generator<Batch> {
  const data = GuestMemory.dataOf(part);
  const limit = Math.ceil(part.size / PAGE_SIZE);
  let done = 0;
  for (let i = 0; i < data.length; i += 2) {
    const from = Math.max(done, Math.floor(data[i]! / PAGE_SIZE));
    done = Math.min(Math.ceil((data[i]! + data[i + 1]!) / PAGE_SIZE), limit);
    yield* batches(from, done);
  }
}

/** Reads each batch while the caller uses the one before it. */
async function* ahead<T>(
  batches: Iterable<Batch>,
  read: (batch: Batch) => Promise<T>,
): AsyncGenerator<Batch & { result: T }> {
  let last: { batch: Batch; reading: Promise<T> } | null = null;
  try {
    for (const batch of batches) {
      const before: typeof last = last;
      last = { batch, reading: read(batch) };
      // The caller may fail first.
      last.reading.catch(() => {});
      if (before !== null) {
        yield { ...before.batch, result: await before.reading };
      }
    }
    if (last !== null) {
      yield { ...last.batch, result: await last.reading };
    }
  } finally {
    // The caller may close the file, or free the memory, afterwards.
    await last?.reading.catch(() => {});
  }
}

/** Two buffers for batches by turns: one is read into while the other one is used. */
function twoBuffers(): (length: number) => Uint8Array {
  const buffers = [allocate(BATCH * PAGE_SIZE), allocate(BATCH * PAGE_SIZE)];
  return (length) => buffers.reverse()[0]!.subarray(0, length);
}

/** Allocates a Buffer of zeros. The system backs the pages of a large one when they are written. */
function allocate(length: number): Buffer {
  try {
    return Buffer.alloc(length);
  } catch {
    throw outOfMemoryError(`the runtime has no room for ${length} bytes of the snapshot`);
  }
}

/** Reads exactly `length` bytes. */
async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = allocate(length);
  await readInto(handle, offset, bytes);
  return bytes;
}

/** Fills `bytes` from the file. */
async function readInto(handle: FileHandle, offset: number, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const part = Math.min(bytes.length - done, MAX_READ);
    const { bytesRead } = await handle.read(bytes, done, part, offset + done);
    if (bytesRead === 0) {
      throw new SnapshotFormatError("the file ends early", offset + done);
    }
    done += bytesRead;
  }
}
