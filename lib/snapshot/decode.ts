import { PAGE_SIZE } from "../base/page.js";
import { MAX_U64 } from "../base/gpa.js";
import { SnapshotFormatError } from "./errors.js";
import {
  AT,
  dataOffset,
  type FileLayout,
  type FileRegion,
  HEADER_SIZE,
  type Header,
  KINDS,
  MAGIC,
  MAPPABLE,
  MAX_NAME,
  MAX_REGIONS,
  MAX_STATE,
  MAX_TABLES,
  NO_REGION,
  placeData,
  PLAIN,
  readCount,
  RECORD_SIZE,
  REGION_SIZE,
  requireZero,
  roundUp,
  WINDOW_SIZE,
  WINDOWED,
} from "./format.js";
import {
  misplacedWindow,
  placeMemories,
  plainWindows,
  type RegionKind,
  type RegionLayout,
  type SnapshotWindow,
} from "./layout.js";
import { CHECKSUMS, type PageChecksum, sha256 } from "./page-checksum.js";

// Decodes and checks the tables of a snapshot file, which docs/snapshot-format.md specifies.

/** The alignment of a window's offset, as that of `region.select`. */
const OFFSET_ALIGNMENT = 8n;

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
  const isMappable = version === MAPPABLE;
  const meaningless = isMappable ? AT.state : version === PLAIN ? AT.windows : AT.checksum;
  requireZero(bytes, meaningless, AT.state, 0);
  const windows = bytes.readUInt32LE(AT.windows);
  const isPlain = version === PLAIN || (isMappable && windows === 0);
  const header: Header = {
    isMappable,
    regions: bytes.readUInt32LE(AT.regions),
    regionBytes: readCount(bytes, AT.regionBytes, 0),
    records: readCount(bytes, AT.records, 0),
    stored: readCount(bytes, AT.stored, 0),
    fileSize: readCount(bytes, AT.fileSize, 0),
    generation: bytes.readUInt32LE(AT.generation),
    windows: isPlain ? null : windows,
    checksum: isMappable ? decodeChecksum(bytes.readUInt32LE(AT.checksum)) : CHECKSUMS.sha256,
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
  if (version !== PLAIN && version !== WINDOWED && version !== MAPPABLE) {
    throw new SnapshotFormatError(
      `it is of version ${version ?? "none"}, not ${PLAIN}, ${WINDOWED} or ${MAPPABLE}`,
      MAGIC.length,
    );
  }
}

function decodeChecksum(id: number): PageChecksum {
  const found = Object.values(CHECKSUMS).find((checksum) => checksum.id === id);
  if (found === undefined) {
    throw new SnapshotFormatError(`its checksums are of the unknown kind ${id}`, AT.checksum);
  }
  return found;
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
  if (header.state > MAX_STATE) {
    throw new SnapshotFormatError("its state has more than 1 GiB", AT.state);
  }
  if (stored > records) {
    throw new SnapshotFormatError("it has more pages than records of pages", AT.stored);
  }
  const pages = header.isMappable ? 0 : stored * PAGE_SIZE;
  const least = dataOffset(header) + pages + header.state;
  // The size of a mappable file also depends on the regions, which are checked later.
  const expected = header.isMappable ? Math.max(header.fileSize, least) : least;
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
    const region = decodeRegion(table, header);
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
  if (header.isMappable) {
    checkData(regions, header);
  }
  return layout;
}

/** Checks the places of the data of each region of a mappable file. */
function checkData(regions: readonly FileRegion[], header: Header): void {
  const { offsets, end } = placeData(
    dataOffset(header),
    regions.map(({ layout }) => layout),
  );
  const expected = end + header.state;
  if (header.fileSize !== expected) {
    throw new SnapshotFormatError(`the file should have ${expected} bytes`, AT.fileSize);
  }
  const misplaced = regions.findIndex(({ data }, i) => data !== offsets[i]);
  if (misplaced >= 0) {
    throw new SnapshotFormatError(
      `the data of region ${misplaced} is not at byte ${offsets[misplaced]}`,
      HEADER_SIZE,
    );
  }
}

function decodeRegion(table: TableReader, { isMappable, windows }: Header): FileRegion {
  const isMemory = windows !== null;
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
  if (!isMappable) {
    requireZero(entry, 32, REGION_SIZE, table.offset);
  }
  const data = isMappable ? readCount(entry, 32, table.offset) : 0;
  return { layout: { kind, name, gpa, size }, records, data };
}

function decodeWindows(
  table: TableReader,
  memories: readonly FileRegion[],
  count: number,
): FileLayout {
  const placed = placeMemories(memories.map(({ layout }) => layout));
  const regions = memories.map((memory, i) => ({ ...memory, layout: placed[i]! }));
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

function decodeName(bytes: Buffer, offset: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw new SnapshotFormatError("the name of a region is no UTF-8", offset);
  }
}
