import { PAGE_SIZE } from "../base/page.js";
import { SnapshotFormatError } from "./errors.js";
import { AT, type FileRegion, type Header, RECORD_SIZE, recordsOffset } from "./format.js";
import type { PageChecksum } from "./page-checksum.js";
import type { PageHeat } from "./page-heat.js";
import type { Page } from "./page-table.js";
import type { RegionContents } from "./snapshot.js";

/** The offset of the checksum in a record. */
const CHECKSUM = 16;

/** Number of records of a region: for its stored pages, and for those that changed to zeros. */
export function countRecords({ pages, heat }: RegionContents): number {
  let zeroed = 0;
  for (const [page] of heat.entries()) {
    zeroed += Number(pages.get(page) === null);
  }
  return pages.stored + zeroed;
}

/** A stored page, and the offset in the table of its checksum. */
export interface EncodedPage {
  readonly page: number;
  readonly bytes: Page;
  readonly checksumAt: number;
}

/**
 * Writes the records of a region to a table, without the checksums, as the stored pages are
 * iterated.
 *
 * @param start - The offset in the table of the first record.
 */
export function* encodeRecords(
  { pages, heat }: RegionContents,
  table: Buffer,
  start: number,
): Generator<EncodedPage> {
  let at = start;
  const put = (page: number, { changes, changedIn }: PageHeat): void => {
    table.writeBigUInt64LE(BigInt(page), at);
    table.writeUInt32LE(changes, at + 8);
    table.writeUInt32LE(changedIn, at + 12);
    at += RECORD_SIZE;
  };
  const changed = heat.entries();
  let next = changed.next();
  const putZeroedBefore = (end: number): void => {
    for (; next.done !== true && next.value[0] < end; next = changed.next()) {
      const [page, pageHeat] = next.value;
      if (pages.get(page) === null) {
        put(page, pageHeat);
      }
    }
  };
  for (const [page, bytes] of pages.entries()) {
    putZeroedBefore(page);
    put(page, heat.get(page));
    yield { page, bytes, checksumAt: at - RECORD_SIZE + CHECKSUM };
  }
  putZeroedBefore(Infinity);
}

/**
 * The page table of a file. It is searched in its encoded form: it can have millions of records.
 */
export class PageRecords {
  readonly #bytes: Buffer;
  /** The same bytes, which V8 reads several times faster. */
  readonly #view: DataView;
  readonly #checksum: PageChecksum;
  /** The number of stored pages before each record. */
  readonly #rank: Uint32Array;

  /**
   * @param bytes - The page table.
   * @throws {@link SnapshotFormatError}
   */
  constructor(bytes: Buffer, regions: readonly FileRegion[], header: Header) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#checksum = header.checksum;
    this.#rank = new Uint32Array(header.records + 1);
    let record = 0;
    for (const { layout, records } of regions) {
      const limit = Math.ceil(Number(layout.size) / PAGE_SIZE);
      this.#check(record, record + records, limit, header);
      record += records;
    }
    if (this.#rank[record] !== header.stored) {
      throw new SnapshotFormatError("another number of pages is stored", AT.stored);
    }
  }

  /**
   * Checks the records of a region, and counts the stored pages. Opening a file takes most of its
   * time here, so the loop has its state in variables and makes no objects.
   *
   * @param limit - The number of pages of the region.
   */
  #check(first: number, end: number, limit: number, header: Header): void {
    const { generation, checksum } = header;
    const view = this.#view;
    const rank = this.#rank;
    const fail = (message: string, at: number): never => {
      throw new SnapshotFormatError(message, recordsOffset(header) + at);
    };
    let least = 0;
    let stored = rank[first]!;
    for (let record = first; record < end; record++) {
      const at = record * RECORD_SIZE;
      const page = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
      if (page < least || page >= limit) {
        fail("pages are not in order, or lie outside the region", at);
      }
      least = page + 1;
      const changes = view.getUint32(at + 8, true);
      const changedIn = view.getUint32(at + 12, true);
      const isCold = changes === 0;
      if (isCold !== (changedIn === 0) || changes > generation || changedIn > generation) {
        fail("a page has changed in no snapshot of the chain", at + 8);
      }
      if (hasChecksum(view, at + CHECKSUM)) {
        if (!checksum.isValid(view, at + CHECKSUM)) {
          fail("a checksum has another form", at + CHECKSUM);
        }
        stored++;
      } else if (isCold) {
        fail("a page of zeros that never changed has a record", at);
      }
      rank[record + 1] = stored;
    }
  }

  /** The page number of a record. */
  page(record: number): number {
    const at = record * RECORD_SIZE;
    return this.#view.getUint32(at, true) + this.#view.getUint32(at + 4, true) * 2 ** 32;
  }

  heat(record: number): PageHeat {
    const at = record * RECORD_SIZE;
    return {
      changes: this.#view.getUint32(at + 8, true),
      changedIn: this.#view.getUint32(at + 12, true),
    };
  }

  /** The checksum of a page, most significant byte first; null for a page of zeros. */
  digest(record: number): Buffer | null {
    return this.isStored(record)
      ? this.#checksum.digest(this.#bytes, record * RECORD_SIZE + CHECKSUM)
      : null;
  }

  /** Whether a stored page has the checksum of a record. */
  matches(record: number, page: Uint8Array): boolean {
    return this.#checksum.matches(page, this.#bytes, record * RECORD_SIZE + CHECKSUM);
  }

  /** The number of stored pages before a record. */
  rank(record: number): number {
    return this.#rank[record]!;
  }

  /** The record of the stored page that has `rank` stored pages before it. */
  ofRank(rank: number): number {
    let [low, high] = [0, this.#rank.length - 1];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.rank(middle + 1) <= rank) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** The first record in `[first, end)` whose page number is at least `page`; `end` if none is. */
  lowerBound(page: number, first: number, end: number): number {
    let [low, high] = [first, end];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.page(middle) < page) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** Whether the file has the bytes of the page. The others are zero. */
  isStored(record: number): boolean {
    return hasChecksum(this.#view, record * RECORD_SIZE + CHECKSUM);
  }
}

/** Whether a record has a checksum, as those of stored pages have. */
function hasChecksum(table: DataView, at: number): boolean {
  return (
    (table.getUint32(at) |
      table.getUint32(at + 4) |
      table.getUint32(at + 8) |
      table.getUint32(at + 12)) !==
    0
  );
}
