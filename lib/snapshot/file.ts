import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PAGE_SIZE } from "../base/page.js";
import { outOfMemoryError, rangeError } from "../base/errors.js";
import { notRegularFileError, SnapshotFormatError } from "./errors.js";
import { toByteCount } from "../base/arguments.js";
import {
  dataOffset,
  decodeHeader,
  decodeRegions,
  encodeTables,
  type FileRegion,
  HEADER_SIZE,
  type Header,
  pageDigest,
  PageRecords,
} from "./format.js";
import { HeatTable, type PageHeat } from "./page-heat.js";
import { NO_PAGES, type Page, type PageTable, samePage } from "./page-table.js";
import { replaceFile } from "./replace-file.js";
import {
  contentsOf,
  makeSnapshot,
  type RegionContents,
  type Snapshot,
  type SnapshotRegion,
} from "./snapshot.js";

/** Pages that are read or written at once. */
const BATCH = 256;

/** Bytes that are read at once: Linux reads at most 2 GiB, and Node ends the process above that. */
const MAX_READ = 2 ** 30;

/** Pages that one Buffer can hold. */
const MAX_PAGES = 2 ** 20;

/** Opens a pipe without waiting for its writer. Windows has no such flag. */
const O_NONBLOCK = (constants as Partial<typeof constants>).O_NONBLOCK ?? 0;

/**
 * Writes a snapshot to a file. A file of that name is replaced in one step once all is on the disk:
 * whatever happens, the name means the old file or the whole new one. The file keeps its mode and,
 * where the system allows it, its owner; a new file has mode 0600, since guest RAM holds secrets.
 * Symbolic links are followed. Hard links to the old file keep the old content.
 *
 * A file that cannot be replaced (a mount point, or a folder without write permission) is
 * overwritten in place. A failure in the middle of that leaves a damaged file, which is refused when
 * it is read.
 *
 * @throws RangeError where the snapshot is larger than the format allows; Error
 * `ERR_NOT_REGULAR_FILE`, before anything is written, where the path leads to a folder, device, pipe
 * or socket; errors of the file system.
 */
export async function saveSnapshot(snapshot: Snapshot, path: string): Promise<void> {
  const { head, pages } = encodeTables(contentsOf(snapshot), snapshot.generation);
  await replaceFile(path, function* () {
    yield head;
    yield* batches(pages());
  });
}

function* batches(pages: Iterable<Page>): Generator<Uint8Array> {
  const batch = Buffer.allocUnsafe(BATCH * PAGE_SIZE);
  let length = 0;
  for (const page of pages) {
    batch.set(page, length);
    length += PAGE_SIZE;
    if (length === batch.length) {
      yield batch;
      length = 0;
    }
  }
  yield batch.subarray(0, length);
}

/**
 * Reads a snapshot from a file into memory, and checks all of it.
 *
 * @throws {@link SnapshotFormatError} where the file is no snapshot, cut off or damaged; Error
 * `ERR_NOT_REGULAR_FILE`; errors of the file system.
 */
export async function loadSnapshot(path: string): Promise<Snapshot> {
  const file = await openSnapshot(path);
  try {
    return await file.load();
  } finally {
    await file.close();
  }
}

/**
 * Opens a snapshot to read parts of it. Its tables are read and checked, its pages when they are
 * read.
 *
 * @throws as {@link loadSnapshot}.
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
    return new SnapshotFile(handle, header, decodeRegions(tables, header), tables);
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** A record of a page in a file. */
export interface FilePage {
  /** The number of the page in its region. */
  readonly page: number;
  readonly heat: PageHeat;
  /** Whether its bytes are in the file: whether it is no page of zeros. */
  readonly stored: boolean;
  /** Identifies the page's bytes; null for a page of zeros. */
  readonly digest: Buffer | null;
}

/** A snapshot in a file, of which only the tables are in memory. */
export class SnapshotFile implements AsyncDisposable {
  readonly regions: readonly SnapshotRegion[];
  readonly generation: number;
  /** Bytes of the file. */
  readonly size: number;

  readonly #handle: FileHandle;
  readonly #dataOffset: number;
  readonly #records: PageRecords;
  /** For each region its first record; and the number of all records. */
  readonly #first: readonly number[];

  /** Use {@link openSnapshot}. @internal */
  constructor(handle: FileHandle, header: Header, regions: readonly FileRegion[], tables: Buffer) {
    const table = tables.subarray(header.regionBytes);
    this.#records = new PageRecords(table, HEADER_SIZE + header.regionBytes, regions, header);
    this.#handle = handle;
    this.#dataOffset = dataOffset(header);
    const first = [0];
    for (const { records } of regions) {
      first.push(first.at(-1)! + records);
    }
    this.#first = first;
    this.generation = header.generation;
    this.size = header.fileSize;
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
   * The records of a region's pages from page `from` up, by ascending number.
   *
   * @param region - Its index.
   * @throws RangeError where there is no such region.
   */
  *pagesFrom(region: number, from: number): Generator<FilePage> {
    const { first, end } = this.#recordsOf(region);
    for (let i = this.#records.lowerBound(from, first, end); i < end; i++) {
      yield this.#page(i);
    }
  }

  /**
   * The records of a region's pages below page `from`, by descending number.
   *
   * @throws as {@link SnapshotFile.pagesFrom}.
   */
  *pagesBelow(region: number, from: number): Generator<FilePage> {
    const { first, end } = this.#recordsOf(region);
    for (let i = this.#records.lowerBound(from, first, end); i > first; i--) {
      yield this.#page(i - 1);
    }
  }

  /**
   * The number of the first page from `from` up whose bytes are in the file, or of the last below
   * `from`; null for none. Takes a few steps, however many records of pages of zeros there are.
   *
   * @throws as {@link SnapshotFile.pagesFrom}.
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
   * The record of a page; null for a page of zeros that never changed.
   *
   * @throws as {@link SnapshotFile.pagesFrom}.
   */
  pageAt(region: number, page: number): FilePage | null {
    const { first, end } = this.#recordsOf(region);
    const record = this.#records.lowerBound(page, first, end);
    return record < end && this.#records.page(record) === page ? this.#page(record) : null;
  }

  /**
   * Reads some pages of a region, and checks them. Those that are not stored are zero.
   *
   * @param page - The number of the first.
   * @param count - How many; at most 2^20, which is the most that a Buffer holds.
   * @throws {@link SnapshotFormatError} where one is damaged; RangeError; Error `ERR_OUT_OF_MEMORY`;
   * errors of the file system.
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
      const batch = await this.#readRecords(region, record, Math.min(record + BATCH, to));
      for (const stored of batch) {
        pages.set(stored.bytes, (stored.page - start) * PAGE_SIZE);
      }
    }
    return pages;
  }

  /**
   * Reads all pages, and checks them.
   *
   * @throws as {@link SnapshotFile.readPages}.
   */
  async load(): Promise<Snapshot> {
    const regions: RegionContents[] = [];
    for (const [i, { kind, name, gpa, size }] of this.regions.entries()) {
      const pages = await this.#loadPages(i);
      regions.push({ layout: { kind, name, gpa, size }, pages, heat: this.#loadHeat(i) });
    }
    return makeSnapshot(regions, this.generation);
  }

  async #loadPages(region: number): Promise<PageTable> {
    const edit = NO_PAGES.edit();
    const { first, end } = this.#recordsOf(region);
    for (let record = first; record < end; record += BATCH) {
      const batch = await this.#readRecords(region, record, Math.min(record + BATCH, end));
      for (const { page, bytes } of batch) {
        if (!samePage(bytes, null)) {
          edit.set(page, bytes);
        }
      }
    }
    return edit.finish();
  }

  /** Reads the stored pages of some records, which lie one behind the other, and checks them. */
  async #readRecords(
    region: number,
    from: number,
    to: number,
  ): Promise<{ page: number; bytes: Buffer }[]> {
    const rank = this.#records.rank(from);
    const offset = this.#dataOffset + rank * PAGE_SIZE;
    const all = await readAt(this.#handle, offset, (this.#records.rank(to) - rank) * PAGE_SIZE);
    const pages: { page: number; bytes: Buffer }[] = [];
    for (let record = from; record < to; record++) {
      const digest = this.#records.digest(record);
      if (digest !== null) {
        const page = this.#records.page(record);
        const start = (this.#records.rank(record) - rank) * PAGE_SIZE;
        const bytes = all.subarray(start, start + PAGE_SIZE);
        this.#checkPage(region, page, bytes, digest, offset + start);
        pages.push({ page, bytes });
      }
    }
    return pages;
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

  #checkPage(region: number, page: number, bytes: Buffer, digest: Buffer, offset: number): void {
    if (!pageDigest(bytes).equals(digest)) {
      throw new SnapshotFormatError("the checksum of a page is wrong", offset);
    }
    const end = Number(this.regions[region]!.size) - page * PAGE_SIZE;
    if (end < PAGE_SIZE && bytes.subarray(end).some((byte) => byte !== 0)) {
      throw new SnapshotFormatError("a page goes on behind the end of its region", offset + end);
    }
  }

  #page(record: number): FilePage {
    const records = this.#records;
    return {
      page: records.page(record),
      heat: records.heat(record),
      stored: records.rank(record + 1) > records.rank(record),
      // Made when asked for: most walks over a million records look at none.
      get digest() {
        return records.digest(record);
      },
    };
  }

  /** The records of a region: the first, and the one behind the last. */
  #recordsOf(region: number): { first: number; end: number } {
    const end = this.#first[region + 1];
    if (end === undefined) {
      throw rangeError("the snapshot has no such region");
    }
    return { first: this.#first[region]!, end };
  }
}

/** A Buffer of zeros. The pages of a large one are not there before they are written. */
function allocate(length: number): Buffer {
  try {
    return Buffer.alloc(length);
  } catch {
    throw outOfMemoryError(`the runtime has no room for ${length} bytes of the snapshot`);
  }
}

/** Reads exactly so many bytes. */
async function readAt(handle: FileHandle, offset: number, length: number): Promise<Buffer> {
  const bytes = allocate(length);
  for (let done = 0; done < length;) {
    const part = Math.min(length - done, MAX_READ);
    const { bytesRead } = await handle.read(bytes, done, part, offset + done);
    if (bytesRead === 0) {
      throw new SnapshotFormatError("the file ends early", offset + done);
    }
    done += bytesRead;
  }
  return bytes;
}
