import { createHash } from "node:crypto";
import { PAGE_SIZE } from "../base/page.js";
import { rangeError } from "../base/errors.js";
import { SnapshotFormatError } from "./errors.js";
import { MAX_U64 } from "../base/gpa.js";
import type { PageHeat } from "./page-heat.js";
import type { Page } from "./page-table.js";
import {
  areMemories,
  misplacedWindow,
  placeMemories,
  plainWindows,
  type RegionKind,
  type RegionLayout,
  type SnapshotWindow,
} from "./layout.js";
import type { RegionContents, SnapshotContents } from "./snapshot.js";

// Encodes and decodes the tables of a snapshot file, which docs/snapshot-format.md specifies.

/** The first bytes of a file. The next byte is the version of the format. */
const MAGIC = Buffer.from("PGMSNP\0", "latin1");
/** The version in which the regions are those of the space. */
const PLAIN = 1;
/** The version with a table of windows. Its regions are whole memories. */
const WINDOWED = 2;
export const HEADER_SIZE = 128;
const REGION_SIZE = 40;
const WINDOW_SIZE = 56;
/** The region of a window of MMIO. */
const NO_REGION = 0xffff_ffff;
/** The alignment of a window's offset, as that of `region.select`. */
const OFFSET_ALIGNMENT = 8n;
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
  windows: 52,
  reserved: 56,
  state: 60,
  tablesDigest: 64,
  headerDigest: 96,
} as const;

/** The decoded header. */
export interface Header {
  readonly regions: number;
  /** Size of the region table and the window table in bytes. */
  readonly regionBytes: number;
  /** Number of page records of all regions. */
  readonly records: number;
  /** Number of pages whose bytes are in the file. */
  readonly stored: number;
  /** Size of the file in bytes. */
  readonly fileSize: number;
  readonly generation: number;
  /** Number of windows; null in version 1, which has no table of them. */
  readonly windows: number | null;
  /** Bytes of the state of the machine, at the end of the file. */
  readonly state: number;
  readonly tablesDigest: Buffer;
}

/** A decoded entry of the region table. */
export interface FileRegion {
  readonly layout: RegionLayout;
  /** Number of page records. */
  readonly records: number;
}

/** The decoded region table and window table. */
export interface FileLayout {
  readonly regions: readonly FileRegion[];
  readonly windows: readonly SnapshotWindow[];
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
  { regions, windows }: Pick<SnapshotContents, "regions" | "windows">,
  generation: number,
  state: number,
): { head: Buffer; pages: () => Iterable<Page> } {
  const isWindowed = areMemories({ regions: regions.map(({ layout }) => layout), windows });
  const pageTables = regions.map(encodePages);
  const regionTable = Buffer.concat([
    ...regions.map(({ layout }, i) => encodeRegion(layout, pageTables[i]!.length / RECORD_SIZE)),
    ...(isWindowed ? windows : []).map(encodeWindow),
  ]);
  const tables = Buffer.concat([regionTable, ...pageTables]);
  if (Math.max(regions.length, windows.length) > MAX_REGIONS || tables.length > MAX_TABLES) {
    throw rangeError("the snapshot has more regions or pages than a file can hold");
  }
  const records = (tables.length - regionTable.length) / RECORD_SIZE;
  const stored = regions.reduce((sum, { pages }) => sum + pages.stored, 0);
  const start = dataOffset({ regionBytes: regionTable.length, records });
  const head = Buffer.alloc(start);
  encodeHeader(head, {
    regions: regions.length,
    regionBytes: regionTable.length,
    records,
    stored,
    fileSize: start + stored * PAGE_SIZE + state,
    generation,
    windows: isWindowed ? windows.length : null,
    state,
    tablesDigest: sha256(tables),
  });
  tables.copy(head, HEADER_SIZE);
  return { head, pages: () => pagesOf(regions) };
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
  head[MAGIC.length] = header.windows === null ? PLAIN : WINDOWED;
  head.writeUInt32LE(PAGE_SIZE, AT.pageSize);
  head.writeUInt32LE(header.regions, AT.regions);
  head.writeBigUInt64LE(BigInt(header.regionBytes), AT.regionBytes);
  head.writeBigUInt64LE(BigInt(header.records), AT.records);
  head.writeBigUInt64LE(BigInt(header.stored), AT.stored);
  head.writeBigUInt64LE(BigInt(header.fileSize), AT.fileSize);
  head.writeUInt32LE(header.generation, AT.generation);
  head.writeUInt32LE(header.windows ?? 0, AT.windows);
  head.writeUInt32LE(header.state, AT.state);
  header.tablesDigest.copy(head, AT.tablesDigest);
  sha256(head.subarray(0, AT.headerDigest)).copy(head, AT.headerDigest);
}

function encodeRegion({ kind, name, gpa, size }: RegionLayout, records: number): Buffer {
  const entry = encodeEntry(REGION_SIZE, { kind, name });
  // The addresses of memories follow from their sizes.
  entry.writeBigUInt64LE(gpa > MAX_U64 ? 0n : gpa, 8);
  entry.writeBigUInt64LE(size, 16);
  entry.writeBigUInt64LE(BigInt(records), 24);
  return entry;
}

function encodeWindow(window: SnapshotWindow): Buffer {
  const entry = encodeEntry(WINDOW_SIZE, window);
  entry.writeBigUInt64LE(window.gpa, 8);
  entry.writeBigUInt64LE(window.size, 16);
  entry.writeBigUInt64LE(window.offset, 24);
  entry.writeBigUInt64LE(window.period, 32);
  entry.writeBigInt64LE(BigInt(window.priority), 40);
  entry.writeUInt32LE(window.region ?? NO_REGION, 48);
  return entry;
}

/** Encodes the kind and the name of an entry of a table. */
function encodeEntry(size: number, { kind, name }: Pick<RegionLayout, "kind" | "name">): Buffer {
  const text = Buffer.from(name);
  if (text.length > MAX_NAME) {
    throw rangeError(`the name of a region must have at most ${MAX_NAME} bytes in UTF-8`);
  }
  const entry = Buffer.alloc(roundUp(size + text.length, 8));
  entry.writeUInt32LE(KINDS.indexOf(kind), 0);
  entry.writeUInt32LE(text.length, 4);
  text.copy(entry, size);
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
  const version = bytes[MAGIC.length];
  requireZero(bytes, version === PLAIN ? AT.windows : AT.reserved, AT.state, 0);
  const header: Header = {
    regions: bytes.readUInt32LE(AT.regions),
    regionBytes: readCount(bytes, AT.regionBytes, 0),
    records: readCount(bytes, AT.records, 0),
    stored: readCount(bytes, AT.stored, 0),
    fileSize: readCount(bytes, AT.fileSize, 0),
    generation: bytes.readUInt32LE(AT.generation),
    windows: version === PLAIN ? null : bytes.readUInt32LE(AT.windows),
    state: bytes.readUInt32LE(AT.state),
    tablesDigest: bytes.subarray(AT.tablesDigest, AT.headerDigest),
  };
  checkCounts(header, fileSize);
  return header;
}

function checkMagic(bytes: Buffer): void {
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) {
    throw new SnapshotFormatError("it does not start as a snapshot does", 0);
  }
  const version = bytes[MAGIC.length];
  if (version !== PLAIN && version !== WINDOWED) {
    throw new SnapshotFormatError(
      `it is of version ${version ?? "none"}, not ${PLAIN} or ${WINDOWED}`,
      MAGIC.length,
    );
  }
}

/** Checks the counts against the size of the file, so that a forged count cannot exhaust memory. */
function checkCounts(header: Header, fileSize: number): void {
  const { regions, regionBytes, records, stored } = header;
  if (regions > MAX_REGIONS) {
    throw new SnapshotFormatError(`it has more than ${MAX_REGIONS} regions`, AT.regions);
  }
  if ((header.windows ?? 0) > MAX_REGIONS) {
    throw new SnapshotFormatError(`it has more than ${MAX_REGIONS} windows`, AT.windows);
  }
  if (regionBytes + records * RECORD_SIZE > MAX_TABLES) {
    throw new SnapshotFormatError("its tables have more than 1 GiB", AT.regionBytes);
  }
  if (header.state > MAX_TABLES) {
    throw new SnapshotFormatError("its state has more than 1 GiB", AT.state);
  }
  if (stored > records) {
    throw new SnapshotFormatError("it has more pages than records of pages", AT.stored);
  }
  const expected = dataOffset(header) + stored * PAGE_SIZE + header.state;
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
 * Decodes and checks the region table and the window table.
 *
 * @param tables - All bytes between the header and the first stored page.
 * @throws {@link SnapshotFormatError}
 */
export function decodeLayout(tables: Buffer, header: Header): FileLayout {
  const end = header.regionBytes + header.records * RECORD_SIZE;
  if (!sha256(tables.subarray(0, end)).equals(header.tablesDigest)) {
    throw new SnapshotFormatError("the checksum of the tables is wrong", AT.tablesDigest);
  }
  requireZero(tables, end, tables.length, HEADER_SIZE);
  const table = new TableReader(tables.subarray(0, header.regionBytes));
  const regions: FileRegion[] = [];
  for (let i = 0; i < header.regions; i++) {
    const region = decodeRegion(table, header.windows !== null);
    const before = regions.at(-1)?.layout;
    if (
      header.windows === null &&
      before !== undefined &&
      region.layout.gpa < before.gpa + before.size
    ) {
      throw table.error(`region ${i} does not start behind the one before it`, 8);
    }
    regions.push(region);
  }
  const layout =
    header.windows === null
      ? { regions, windows: plainWindows(regions.map((region) => region.layout)) }
      : decodeWindows(table, regions, header.windows);
  table.requireEnd();
  if (regions.reduce((sum, { records }) => sum + records, 0) !== header.records) {
    throw new SnapshotFormatError(
      "the regions have another number of page records than the file",
      AT.records,
    );
  }
  return layout;
}

function decodeRegion(table: TableReader, isMemory: boolean): FileRegion {
  const { kind, name, entry } = table.next(REGION_SIZE, "region");
  const gpa = entry.readBigUInt64LE(8);
  const size = entry.readBigUInt64LE(16);
  if (isMemory && (kind === "mmio" || gpa !== 0n)) {
    throw table.error("a memory has an address, or is MMIO", 0);
  }
  if (gpa + size > MAX_U64 + 1n) {
    throw table.error("a region ends above 2^64", 16);
  }
  if (kind !== "mmio" && (gpa % BigInt(PAGE_SIZE) !== 0n || size > Number.MAX_SAFE_INTEGER)) {
    throw table.error("RAM or ROM is not aligned to pages, or has 2^53 bytes or more", 8);
  }
  const records = readCount(entry, 24, table.offset);
  if (kind === "mmio" && records !== 0) {
    throw table.error("a region of MMIO has pages", 24);
  }
  requireZero(entry, 32, REGION_SIZE, table.offset);
  return { layout: { kind, name, gpa, size }, records };
}

function decodeWindows(
  table: TableReader,
  memories: readonly FileRegion[],
  count: number,
): FileLayout {
  const placed = placeMemories(memories.map(({ layout }) => layout));
  const regions = memories.map(({ records }, i) => ({ layout: placed[i]!, records }));
  const windows: SnapshotWindow[] = [];
  let known = 0;
  for (let i = 0; i < count; i++) {
    const window = decodeWindow(table, placed);
    if (window.region !== null && window.region > known) {
      throw table.error("memories are not in the order of their windows", 48);
    }
    known += Number(window.region === known);
    windows.push(window);
  }
  const misplaced = misplacedWindow(windows);
  if (misplaced >= 0) {
    throw table.error(`window ${misplaced} is not in order, or overlaps one of its priority`, 0);
  }
  if (known !== memories.length) {
    throw table.error("a memory has no window", 0);
  }
  return { regions, windows };
}

function decodeWindow(table: TableReader, regions: readonly RegionLayout[]): SnapshotWindow {
  const { kind, name, entry } = table.next(WINDOW_SIZE, "window");
  const [gpa, size] = [entry.readBigUInt64LE(8), entry.readBigUInt64LE(16)];
  const [offset, period] = [entry.readBigUInt64LE(24), entry.readBigUInt64LE(32)];
  const priority = Number(entry.readBigInt64LE(40));
  const index = entry.readUInt32LE(48);
  const region = index === NO_REGION ? null : index;
  if (gpa + size > MAX_U64 + 1n) {
    throw table.error("a window ends above 2^64", 16);
  }
  if (!Number.isSafeInteger(priority)) {
    throw table.error("a priority of 2^53 or more", 40);
  }
  if ((kind === "mmio") !== (region === null)) {
    throw table.error("a window of RAM or ROM has no memory, or one of MMIO has one", 48);
  }
  const memory = region === null ? { kind, size: 0n } : regions[region];
  const isWhole = period === 0n ? region === null || size === 0n : size % period === 0n;
  if (
    memory === undefined ||
    (kind === "ram" && memory.kind !== "ram") ||
    offset + period > memory.size ||
    offset % OFFSET_ALIGNMENT !== 0n ||
    !isWhole
  ) {
    throw table.error("a window shows bytes that are not in its memory", 24);
  }
  requireZero(entry, 52, WINDOW_SIZE, table.offset);
  return { kind, name, gpa, size, priority, region, offset, period };
}

/** Reads the entries of the region table and the window table, one after the other. */
class TableReader {
  /** The offset of the current entry in the file. */
  offset = HEADER_SIZE;
  #at = 0;

  constructor(private readonly table: Buffer) {}

  /** Reads the next entry, of `size` bytes and a name. */
  next(size: number, what: string): { kind: RegionKind; name: string; entry: Buffer } {
    const { table } = this;
    const at = this.#at;
    this.offset = HEADER_SIZE + at;
    if (at + size > table.length) {
      throw this.error(`the ${what} table ends in the middle of a ${what}`, 0);
    }
    const kind = KINDS[table.readUInt32LE(at)];
    if (kind === undefined) {
      throw this.error(`a ${what} is of unknown kind`, 0);
    }
    const nameLength = table.readUInt32LE(at + 4);
    const next = at + roundUp(size + nameLength, 8);
    if (nameLength > MAX_NAME || next > table.length) {
      throw this.error(`the name of a ${what} is too long`, 4);
    }
    const nameEnd = at + size + nameLength;
    requireZero(table, nameEnd, next, HEADER_SIZE);
    const name = decodeName(table.subarray(at + size, nameEnd), this.offset + size);
    this.#at = next;
    return { kind, name, entry: table.subarray(at, at + size) };
  }

  /** @throws {@link SnapshotFormatError} if there are bytes behind the last entry. */
  requireEnd(): void {
    if (this.#at !== this.table.length) {
      const end = HEADER_SIZE + this.#at;
      throw new SnapshotFormatError("the region table goes on after its end", end);
    }
  }

  /** An error at an offset in the current entry. */
  error(reason: string, offset: number): SnapshotFormatError {
    return new SnapshotFormatError(reason, this.offset + offset);
  }
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
