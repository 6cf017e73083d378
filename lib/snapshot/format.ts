import { createHash } from "node:crypto";
import { PAGE_SIZE } from "../base/page.js";
import { rangeError } from "../base/errors.js";
import { SnapshotFormatError } from "./errors.js";
import { MAX_U64 } from "../base/gpa.js";
import type { PageHeat } from "./page-heat.js";
import type { Page } from "./page-table.js";
import type { RegionKind, RegionLayout } from "./layout.js";
import type { RegionContents } from "./snapshot.js";

// Encodes and decodes the tables of a snapshot file, which docs/snapshot-format.md specifies.

/** The first eight bytes of a file. The last of them is the version of the format. */
const MAGIC = Buffer.from("PGMSNP\0\x01", "latin1");
export const HEADER_SIZE = 128;
const REGION_SIZE = 40;
export const RECORD_SIZE = 32;
const DIGEST_SIZE = 16;
const NO_DIGEST = Buffer.alloc(DIGEST_SIZE);

const MAX_REGIONS = 65_536;
const MAX_NAME = 4096;
/**
 * Maximum bytes of the tables, which are read whole. Enough for 128 GiB without a page of zeros.
 */
const MAX_TABLES = 2 ** 30;

const KINDS: readonly RegionKind[] = ["ram", "rom", "mmio"];

/** The offsets of the fields of the header. */
const AT = {
  pageSize: 8,
  regions: 12,
  regionBytes: 16,
  records: 24,
  stored: 32,
  fileSize: 40,
  generation: 48,
  reserved: 52,
  tablesDigest: 64,
  headerDigest: 96,
} as const;

/** The decoded header. */
export interface Header {
  readonly regions: number;
  /** Size of the region table in bytes. */
  readonly regionBytes: number;
  /** Number of page records of all regions. */
  readonly records: number;
  /** Number of pages whose bytes are in the file. */
  readonly stored: number;
  /** Size of the file in bytes. */
  readonly fileSize: number;
  readonly generation: number;
  readonly tablesDigest: Buffer;
}

/** A decoded entry of the region table. */
export interface FileRegion {
  readonly layout: RegionLayout;
  /** Number of page records. */
  readonly records: number;
}

/** A record of the page table. */
export interface PageRecord {
  readonly page: number;
  readonly heat: PageHeat;
  /** The digest of the page's bytes; null for a page of zeros, which is not stored. */
  readonly digest: Buffer | null;
}

/** The first 16 bytes of the SHA-256 of a page. */
export function pageDigest(page: Uint8Array): Buffer {
  return createHash("sha256").update(page).digest().subarray(0, DIGEST_SIZE);
}

/** The offset in the file of the bytes of the first stored page. */
export function dataOffset({
  regionBytes,
  records,
}: Pick<Header, "regionBytes" | "records">): number {
  return roundUp(HEADER_SIZE + regionBytes + records * RECORD_SIZE, PAGE_SIZE);
}

/** Encodes everything before the stored pages, and lists these pages in the order of the file. */
export function encodeTables(
  contents: readonly RegionContents[],
  generation: number,
): { head: Buffer; pages: () => Iterable<Page> } {
  const pageTables = contents.map(encodePages);
  const regionTable = Buffer.concat(
    contents.map(({ layout }, i) => encodeRegion(layout, pageTables[i]!.length / RECORD_SIZE)),
  );
  const tables = Buffer.concat([regionTable, ...pageTables]);
  if (contents.length > MAX_REGIONS || tables.length > MAX_TABLES) {
    throw rangeError("the snapshot has more regions or pages than a file can hold");
  }
  const records = (tables.length - regionTable.length) / RECORD_SIZE;
  const stored = contents.reduce((sum, { pages }) => sum + pages.stored, 0);
  const start = dataOffset({ regionBytes: regionTable.length, records });
  const head = Buffer.alloc(start);
  encodeHeader(head, {
    regions: contents.length,
    regionBytes: regionTable.length,
    records,
    stored,
    fileSize: start + stored * PAGE_SIZE,
    generation,
    tablesDigest: sha256(tables),
  });
  tables.copy(head, HEADER_SIZE);
  return { head, pages: () => pagesOf(contents) };
}

function* pagesOf(contents: readonly RegionContents[]): Generator<Page> {
  for (const { pages } of contents) {
    for (const [, bytes] of pages.entries()) {
      yield bytes;
    }
  }
}

function encodeHeader(head: Buffer, header: Header): void {
  MAGIC.copy(head);
  head.writeUInt32LE(PAGE_SIZE, AT.pageSize);
  head.writeUInt32LE(header.regions, AT.regions);
  head.writeBigUInt64LE(BigInt(header.regionBytes), AT.regionBytes);
  head.writeBigUInt64LE(BigInt(header.records), AT.records);
  head.writeBigUInt64LE(BigInt(header.stored), AT.stored);
  head.writeBigUInt64LE(BigInt(header.fileSize), AT.fileSize);
  head.writeUInt32LE(header.generation, AT.generation);
  header.tablesDigest.copy(head, AT.tablesDigest);
  sha256(head.subarray(0, AT.headerDigest)).copy(head, AT.headerDigest);
}

function encodeRegion({ kind, name, gpa, size }: RegionLayout, records: number): Buffer {
  const text = Buffer.from(name);
  if (text.length > MAX_NAME) {
    throw rangeError(`the name of a region must have at most ${MAX_NAME} bytes in UTF-8`);
  }
  const entry = Buffer.alloc(roundUp(REGION_SIZE + text.length, 8));
  entry.writeUInt32LE(KINDS.indexOf(kind), 0);
  entry.writeUInt32LE(text.length, 4);
  entry.writeBigUInt64LE(gpa, 8);
  entry.writeBigUInt64LE(size, 16);
  entry.writeBigUInt64LE(BigInt(records), 24);
  text.copy(entry, REGION_SIZE);
  return entry;
}

/**
 * Encodes records for the stored pages of a region and for the pages that changed back to zeros.
 */
function encodePages({ pages, heat }: RegionContents): Buffer {
  let zeroed = 0;
  for (const [page] of heat.entries()) {
    zeroed += Number(pages.get(page) === null);
  }
  const table = Buffer.alloc((pages.stored + zeroed) * RECORD_SIZE);
  let at = 0;
  const put = (page: number, digest: Buffer, { changes, changedIn }: PageHeat): void => {
    table.writeBigUInt64LE(BigInt(page), at);
    table.writeUInt32LE(changes, at + 8);
    table.writeUInt32LE(changedIn, at + 12);
    digest.copy(table, at + 16);
    at += RECORD_SIZE;
  };
  const changed = heat.entries();
  let next = changed.next();
  const putZeroedBefore = (end: number): void => {
    for (; next.done !== true && next.value[0] < end; next = changed.next()) {
      const [page, pageHeat] = next.value;
      if (pages.get(page) === null) {
        put(page, NO_DIGEST, pageHeat);
      }
    }
  };
  for (const [page, bytes] of pages.entries()) {
    putZeroedBefore(page);
    put(page, pageDigest(bytes), heat.get(page));
  }
  putZeroedBefore(Infinity);
  return table;
}

/**
 * Decodes and checks a header.
 *
 * @param bytes - The first {@link HEADER_SIZE} bytes of the file, or the whole file if it is
 * shorter.
 * @param fileSize - Size of the file in bytes.
 * @throws {@link SnapshotFormatError}
 */
export function decodeHeader(bytes: Buffer, fileSize: number): Header {
  checkMagic(bytes);
  if (bytes.length < HEADER_SIZE) {
    throw new SnapshotFormatError("the file ends in the middle of its header", bytes.length);
  }
  const digest = sha256(bytes.subarray(0, AT.headerDigest));
  if (!digest.equals(bytes.subarray(AT.headerDigest, HEADER_SIZE))) {
    throw new SnapshotFormatError("the header's checksum is wrong", AT.headerDigest);
  }
  if (bytes.readUInt32LE(AT.pageSize) !== PAGE_SIZE) {
    throw new SnapshotFormatError(`the page size is not ${PAGE_SIZE}`, AT.pageSize);
  }
  requireZero(bytes, AT.reserved, AT.tablesDigest, 0);
  const header: Header = {
    regions: bytes.readUInt32LE(AT.regions),
    regionBytes: readCount(bytes, AT.regionBytes, 0),
    records: readCount(bytes, AT.records, 0),
    stored: readCount(bytes, AT.stored, 0),
    fileSize: readCount(bytes, AT.fileSize, 0),
    generation: bytes.readUInt32LE(AT.generation),
    tablesDigest: bytes.subarray(AT.tablesDigest, AT.headerDigest),
  };
  checkCounts(header, fileSize);
  return header;
}

function checkMagic(bytes: Buffer): void {
  const name = MAGIC.length - 1;
  if (!bytes.subarray(0, name).equals(MAGIC.subarray(0, name))) {
    throw new SnapshotFormatError("it does not start as a snapshot does", 0);
  }
  if (bytes[name] !== MAGIC[name]) {
    throw new SnapshotFormatError(`it is of version ${bytes[name] ?? "none"}, not 1`, name);
  }
}

/** Checks the counts against the size of the file, so that a forged count cannot exhaust memory. */
function checkCounts(header: Header, fileSize: number): void {
  const { regions, regionBytes, records, stored } = header;
  if (regions > MAX_REGIONS) {
    throw new SnapshotFormatError(`it has more than ${MAX_REGIONS} regions`, AT.regions);
  }
  if (regionBytes + records * RECORD_SIZE > MAX_TABLES) {
    throw new SnapshotFormatError("its tables have more than 1 GiB", AT.regionBytes);
  }
  if (stored > records) {
    throw new SnapshotFormatError("it has more pages than records of pages", AT.stored);
  }
  const expected = dataOffset(header) + stored * PAGE_SIZE;
  if (header.fileSize !== expected) {
    throw new SnapshotFormatError(`the file should have ${expected} bytes`, AT.fileSize);
  }
  if (fileSize !== expected) {
    const what = fileSize < expected ? "is cut off" : "goes on after its end";
    throw new SnapshotFormatError(
      `the file ${what}: it has ${fileSize} bytes instead of ${expected}`,
      Math.min(fileSize, expected),
    );
  }
}

/**
 * Decodes and checks the region table.
 *
 * @param tables - All bytes between the header and the first stored page.
 * @throws {@link SnapshotFormatError}
 */
export function decodeRegions(tables: Buffer, header: Header): FileRegion[] {
  const end = header.regionBytes + header.records * RECORD_SIZE;
  if (!sha256(tables.subarray(0, end)).equals(header.tablesDigest)) {
    throw new SnapshotFormatError("the checksum of the tables is wrong", AT.tablesDigest);
  }
  requireZero(tables, end, tables.length, HEADER_SIZE);
  const regions: FileRegion[] = [];
  const table = tables.subarray(0, header.regionBytes);
  let at = 0;
  for (let i = 0; i < header.regions; i++) {
    const { region, next } = decodeRegion(table, at);
    const before = regions.at(-1)?.layout;
    if (before !== undefined && region.layout.gpa < before.gpa + before.size) {
      throw new SnapshotFormatError(
        `region ${i} does not start behind the one before it`,
        HEADER_SIZE + at + 8,
      );
    }
    regions.push(region);
    at = next;
  }
  if (at !== table.length) {
    throw new SnapshotFormatError("the region table goes on after its end", HEADER_SIZE + at);
  }
  if (regions.reduce((sum, { records }) => sum + records, 0) !== header.records) {
    throw new SnapshotFormatError(
      "the regions have another number of page records than the file",
      AT.records,
    );
  }
  return regions;
}

function decodeRegion(table: Buffer, at: number): { region: FileRegion; next: number } {
  const fail = (reason: string, offset: number): SnapshotFormatError =>
    new SnapshotFormatError(reason, HEADER_SIZE + at + offset);
  if (at + REGION_SIZE > table.length) {
    throw fail("the region table ends in the middle of a region", 0);
  }
  const kind = KINDS[table.readUInt32LE(at)];
  if (kind === undefined) {
    throw fail("a region is of unknown kind", 0);
  }
  const nameLength = table.readUInt32LE(at + 4);
  const next = at + roundUp(REGION_SIZE + nameLength, 8);
  if (nameLength > MAX_NAME || next > table.length) {
    throw fail("the name of a region is too long", 4);
  }
  const gpa = table.readBigUInt64LE(at + 8);
  const size = table.readBigUInt64LE(at + 16);
  if (gpa + size > MAX_U64 + 1n) {
    throw fail("a region ends above 2^64", 16);
  }
  if (kind !== "mmio" && (gpa % BigInt(PAGE_SIZE) !== 0n || size > Number.MAX_SAFE_INTEGER)) {
    throw fail("RAM or ROM is not aligned to pages, or has 2^53 bytes or more", 8);
  }
  const records = readCount(table, at + 24, HEADER_SIZE);
  if (kind === "mmio" && records !== 0) {
    throw fail("a region of MMIO has pages", 24);
  }
  const nameEnd = at + REGION_SIZE + nameLength;
  requireZero(table, at + 32, at + REGION_SIZE, HEADER_SIZE);
  requireZero(table, nameEnd, next, HEADER_SIZE);
  const name = decodeName(
    table.subarray(at + REGION_SIZE, nameEnd),
    HEADER_SIZE + at + REGION_SIZE,
  );
  return { region: { layout: { kind, name, gpa, size }, records }, next };
}

/**
 * The page table of a file. It is searched in its encoded form: it can have millions of records.
 */
export class PageRecords {
  readonly #bytes: Buffer;
  /** The number of stored pages before each record. */
  readonly #rank: Uint32Array;

  /**
   * @param bytes - The page table.
   * @param offset - The offset of the page table in the file, for errors.
   * @throws {@link SnapshotFormatError}
   */
  constructor(bytes: Buffer, offset: number, regions: readonly FileRegion[], header: Header) {
    this.#bytes = bytes;
    this.#rank = new Uint32Array(header.records + 1);
    let record = 0;
    for (const { layout, records } of regions) {
      const limit = Math.ceil(Number(layout.size) / PAGE_SIZE);
      let least = 0;
      for (const end = record + records; record < end; record++) {
        const at = offset + record * RECORD_SIZE;
        const page = readCount(bytes, record * RECORD_SIZE, offset);
        if (page < least || page >= limit) {
          throw new SnapshotFormatError("pages are not in order, or lie outside the region", at);
        }
        least = page + 1;
        const heat = this.heat(record);
        const valid = heat.changes === 0 ? heat.changedIn === 0 : heat.changedIn !== 0;
        if (!valid || heat.changes > header.generation || heat.changedIn > header.generation) {
          throw new SnapshotFormatError("a page has changed in no snapshot of the chain", at + 8);
        }
        const isStored = this.#hasDigest(record);
        if (!isStored && heat.changes === 0) {
          throw new SnapshotFormatError("a page of zeros that never changed has a record", at);
        }
        this.#rank[record + 1] = this.#rank[record]! + Number(isStored);
      }
    }
    if (this.#rank[record] !== header.stored) {
      throw new SnapshotFormatError("another number of pages is stored", AT.stored);
    }
  }

  /** The page number of a record. */
  page(record: number): number {
    const at = record * RECORD_SIZE;
    return this.#bytes.readUInt32LE(at) + this.#bytes.readUInt32LE(at + 4) * 2 ** 32;
  }

  heat(record: number): PageHeat {
    const at = record * RECORD_SIZE;
    return {
      changes: this.#bytes.readUInt32LE(at + 8),
      changedIn: this.#bytes.readUInt32LE(at + 12),
    };
  }

  /** The digest of the page's bytes; null for a page of zeros. */
  digest(record: number): Buffer | null {
    const at = record * RECORD_SIZE + 16;
    return this.#hasDigest(record) ? this.#bytes.subarray(at, at + DIGEST_SIZE) : null;
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

  #hasDigest(record: number): boolean {
    const at = record * RECORD_SIZE + 16;
    return this.#bytes.compare(NO_DIGEST, 0, DIGEST_SIZE, at, at + DIGEST_SIZE) !== 0;
  }
}

/** Reads a 64-bit count, which must be below 2^53. */
function readCount(bytes: Buffer, at: number, base: number): number {
  const high = bytes.readUInt32LE(at + 4);
  if (high >= 2 ** 21) {
    throw new SnapshotFormatError("a count of 2^53 or more", base + at);
  }
  return bytes.readUInt32LE(at) + high * 2 ** 32;
}

function requireZero(bytes: Buffer, from: number, to: number, base: number): void {
  const at = bytes.subarray(from, to).findIndex((byte) => byte !== 0);
  if (at >= 0) {
    throw new SnapshotFormatError("a byte that should be zero is not", base + from + at);
  }
}

function decodeName(bytes: Buffer, offset: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SnapshotFormatError("the name of a region is no UTF-8", offset);
  }
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
