import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { PAGE_SIZE } from "../base/page.js";
import { outOfMemoryError, rangeError } from "../base/errors.js";
import { notRegularFileError, SnapshotFormatError } from "./errors.js";
import { toByteCount } from "../base/arguments.js";
import {
  dataOffset,
  decodeHeader,
  decodeLayout,
  encodeTables,
  type FileLayout,
  HEADER_SIZE,
  type Header,
  pageDigest,
  PageRecords,
} from "./format.js";
import type { SnapshotWindow } from "./layout.js";
import { HeatTable, type PageHeat } from "./page-heat.js";
import { NO_PAGES, type Page, type PageTable, samePage } from "./page-table.js";
import { replaceFile } from "./replace-file.js";
import { type MachineState, NO_STATE } from "./state.js";
import { decodeState, encodeState } from "./state-section.js";
import {
  contentsOf,
  makeSnapshot,
  type RegionContents,
  type Snapshot,
  type SnapshotRegion,
} from "./snapshot.js";

/** Number of pages read or written in one call of the file system. */
const BATCH = 256;

/** Maximum bytes of one read: Linux reads at most 2 GiB, and Node aborts the process above that. */
const MAX_READ = 2 ** 30;

/** Maximum pages of one `readPages`: 4 GiB, the largest Buffer of the oldest Node supported. */
const MAX_PAGES = 2 ** 20;

/** Makes opening a pipe return at once instead of waiting for a writer. Windows lacks the flag. */
const O_NONBLOCK = (constants as Partial<typeof constants>).O_NONBLOCK ?? 0;

/**
 * Writes a snapshot to a file.
 *
 * An existing file is replaced atomically, after all data has reached the disk: even if the process
 * is killed, the path refers to the complete old file or to the complete new one. The new file
 * takes the mode of the old one and, if the system allows it, its owner and group. A file that did
 * not exist gets mode 0600, because guest RAM may hold secrets. Symbolic links are followed. Hard
 * links to the old file keep the old content.
 *
 * A file that cannot be replaced (a mount point, or a file in a directory without write permission)
 * is overwritten in place. If that fails half-way, the file is damaged, and loading it throws.
 *
 * @throws RangeError if the snapshot exceeds the limits of the format; Error
 * `ERR_NOT_REGULAR_FILE`, before anything is written, if the path leads to a directory, device,
 * pipe or socket; errors of the file system.
 *
 * @example
 * ```js
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { GuestMemory } from "pound-guest-memory";
 * import {
 *   loadSnapshot,
 *   restoreSnapshot,
 *   saveSnapshot,
 *   takeSnapshot,
 * } from "pound-guest-memory/snapshot";
 *
 * const path = join(tmpdir(), "ram.snapshot");
 * const memory = GuestMemory.allocate(1024 * 1024);
 * memory.writel(0x100, 42);
 * await saveSnapshot(takeSnapshot(memory), path);
 *
 * memory.writel(0x100, 0);
 * restoreSnapshot(memory, await loadSnapshot(path));
 * console.log(memory.readl(0x100)); // 42
 * ```
 */
export async function saveSnapshot(snapshot: Snapshot, path: string): Promise<void> {
  const contents = contentsOf(snapshot);
  const state = encodeState(contents.state ?? NO_STATE);
  const { head, pages } = encodeTables(contents, snapshot.generation, state.length);
  await replaceFile(path, function* () {
    yield head;
    yield* batches(pages());
    yield state;
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
 * Reads a snapshot from a file into memory and verifies all of it.
 *
 * @throws {@link SnapshotFormatError} if the file is not a snapshot, is truncated or is damaged;
 * Error `ERR_NOT_REGULAR_FILE`, `ERR_OUT_OF_MEMORY`; errors of the file system.
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
  /** The first 16 bytes of the SHA-256 of the page; null for a page of zeros. */
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

  readonly #handle: FileHandle;
  /** Bytes of the state of the machine. */
  readonly #stateSize: number;
  readonly #dataOffset: number;
  readonly #records: PageRecords;
  /** The index of the first record of each region, followed by the number of all records. */
  readonly #first: readonly number[];

  /** Use {@link openSnapshot}. @internal */
  constructor(handle: FileHandle, header: Header, layout: FileLayout, tables: Buffer) {
    const { regions, windows } = layout;
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
    this.#stateSize = header.state;
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
      const batch = await this.#readRecords(region, record, Math.min(record + BATCH, to));
      for (const stored of batch) {
        pages.set(stored.bytes, (stored.page - start) * PAGE_SIZE);
      }
    }
    return pages;
  }

  /**
   * Reads and verifies all pages.
   *
   * @throws The errors of {@link SnapshotFile.readPages}.
   */
  async load(): Promise<Snapshot> {
    const regions: RegionContents[] = [];
    for (const [i, { kind, name, gpa, size }] of this.regions.entries()) {
      const pages = await this.#loadPages(i);
      regions.push({ layout: { kind, name, gpa, size }, pages, heat: this.#loadHeat(i) });
    }
    const state = await this.#loadState();
    return makeSnapshot({ regions, windows: this.windows, origins: null, state }, this.generation);
  }

  async #loadState(): Promise<MachineState> {
    const offset = this.size - this.#stateSize;
    const section = await readAt(this.#handle, offset, this.#stateSize);
    return decodeState(section, offset, this.windows.length);
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

  /** Reads and verifies the stored pages of consecutive records with a single read. */
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
