import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PAGE_SIZE } from "../base/page.js";
import { outOfMemoryError, rangeError } from "../base/errors.js";
import { notRegularFileError, SnapshotFormatError } from "./errors.js";
import { toByteCount } from "../base/arguments.js";
import { decodeHeader, decodeLayout } from "./decode.js";
import { dataOffset, type FileLayout, HEADER_SIZE, type Header } from "./format.js";
import type { SnapshotWindow } from "./layout.js";
import type { ChecksumName } from "./page-checksum.js";
import { HeatTable, type PageHeat } from "./page-heat.js";
import { PageRecords } from "./page-records.js";
import { NO_PAGES, type PageTable, samePage } from "./page-table.js";
import { BATCH, Progress, type ProgressOptions } from "./progress.js";
import {
  makeSnapshot,
  type RegionContents,
  type Snapshot,
  type SnapshotRegion,
} from "./snapshot.js";

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
   * The first 16 bytes of the SHA-256 of the page. Null for a page of zeros, and in a file whose
   * {@link SnapshotFile.checksum} is `"crc32"`.
   */
  readonly digest: Buffer | null;
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
    this.windows = windows;
    this.regions = regions.map(({ layout }, i) => ({
      ...layout,
      storedPages: this.#records.rank(first[i + 1]!) - this.#records.rank(first[i]!),
    }));
  }

  /** Closes the file. */
  async close(): Promise<void> {
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
    for (let record = from; record < to; record += BATCH) {
      await this.#readRecords(region, record, Math.min(record + BATCH, to), (at, bytes) => {
        pages.set(bytes, (at - start) * PAGE_SIZE);
      });
    }
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
    return makeSnapshot({ regions, windows: this.windows, origins: null }, this.generation);
  }

  async #loadPages(region: number, progress: Progress): Promise<PageTable> {
    const edit = NO_PAGES.edit();
    const { first, end } = this.#recordsOf(region);
    for (let record = first; record < end; record += BATCH) {
      const to = Math.min(record + BATCH, end);
      await this.#readRecords(region, record, to, (page, bytes) => {
        if (!samePage(bytes, null)) {
          edit.set(page, bytes);
        }
      });
      progress.add((this.#records.rank(to) - this.#records.rank(record)) * PAGE_SIZE);
    }
    return edit.finish();
  }

  /** Reads and verifies the stored pages of consecutive records. */
  async #readRecords(
    region: number,
    from: number,
    to: number,
    use: (page: number, bytes: Buffer) => void,
  ): Promise<void> {
    const all = allocate((this.#records.rank(to) - this.#records.rank(from)) * PAGE_SIZE);
    const reads: Promise<void>[] = [];
    const runs = this.#runs(region, from, to);
    let done = 0;
    for (const { offset, length } of runs) {
      reads.push(readInto(this.#handle, offset, all.subarray(done, done + length)));
      done += length;
    }
    // Not Promise.all, which would leave reads behind if one fails.
    for (const result of await Promise.allSettled(reads)) {
      if (result.status === "rejected") {
        throw result.reason;
      }
    }
    let start = 0;
    for (let record = from; record < to; record++) {
      if (this.#records.isStored(record)) {
        const bytes = all.subarray(start, start + PAGE_SIZE);
        this.#checkPage(region, record, bytes);
        use(this.#records.page(record), bytes);
        start += PAGE_SIZE;
      }
    }
  }

  /** The adjacent bytes of the file that have the stored pages of consecutive records. */
  #runs(region: number, from: number, to: number): { offset: number; length: number }[] {
    const runs: { offset: number; length: number }[] = [];
    for (let record = from; record < to; record++) {
      if (!this.#records.isStored(record)) {
        continue;
      }
      const offset = this.#offsetOf(region, record);
      const last = runs.at(-1);
      if (last !== undefined && last.offset + last.length === offset) {
        last.length += PAGE_SIZE;
      } else {
        runs.push({ offset, length: PAGE_SIZE });
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

  #checkPage(region: number, record: number, bytes: Buffer): void {
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
    const end = this.#first[region + 1];
    if (end === undefined) {
      throw rangeError("the snapshot has no such region");
    }
    return { first: this.#first[region]!, end };
  }
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
async function readInto(handle: FileHandle, offset: number, bytes: Buffer): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const part = Math.min(bytes.length - done, MAX_READ);
    const { bytesRead } = await handle.read(bytes, done, part, offset + done);
    if (bytesRead === 0) {
      throw new SnapshotFormatError("the file ends early", offset + done);
    }
    done += bytesRead;
  }
}
