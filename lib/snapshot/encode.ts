import { PAGE_SIZE } from "../base/page.js";
import { rangeError } from "../base/errors.js";
import { MAX_U64 } from "../base/gpa.js";
import {
  AT,
  dataOffset,
  HEADER_SIZE,
  KINDS,
  MAGIC,
  MAPPABLE,
  MAX_NAME,
  MAX_REGIONS,
  MAX_TABLES,
  NO_REGION,
  placeData,
  PLAIN,
  recordsOffset,
  RECORD_SIZE,
  REGION_SIZE,
  roundUp,
  WINDOW_SIZE,
  WINDOWED,
} from "./format.js";
import { areMemories, type RegionLayout, type SnapshotWindow } from "./layout.js";
import { type PageChecksum, sha256 } from "./page-checksum.js";
import { countRecords, encodeRecords } from "./page-records.js";
import type { Page } from "./page-table.js";
import type { RegionContents, SnapshotContents } from "./snapshot.js";

/** A page, and where the file stores it. */
export interface StoredPage {
  readonly bytes: Page;
  /** The offset in the file. */
  readonly offset: number;
}

/** How a snapshot is encoded. */
export interface Encoding {
  readonly isMappable: boolean;
  readonly checksum: PageChecksum;
  /** Bytes of the state of the machine, which follows the pages. */
  readonly state: number;
}

/**
 * The encoding of a snapshot as a file. The pages come first, because the tables have their
 * checksums.
 */
export class SnapshotEncoder {
  /** Size of the file in bytes. */
  readonly fileSize: number;
  /** Number of stored pages. */
  readonly stored: number;
  readonly #regions: readonly RegionContents[];
  readonly #generation: number;
  readonly #windows: number | null;
  readonly #encoding: Encoding;
  readonly #regionBytes: number;
  readonly #records: readonly number[];
  /** Everything before the first page. */
  readonly #head: Buffer;
  /** The offset of the data of each region; null if the pages are packed. */
  readonly #areas: readonly number[] | null;

  /** @throws RangeError if the snapshot exceeds the limits of the format. */
  constructor(
    { regions, windows }: Pick<SnapshotContents, "regions" | "windows">,
    generation: number,
    encoding: Encoding,
  ) {
    const { isMappable, state } = encoding;
    const layouts = regions.map(({ layout }) => layout);
    const isWindowed = areMemories({ regions: layouts, windows });
    const records = regions.map(countRecords);
    const entries = [
      ...layouts.map((layout, i) => encodeRegion(layout, records[i]!)),
      ...(isWindowed ? windows : []).map(encodeWindow),
    ];
    const regionBytes = entries.reduce((sum, { length }) => sum + length, 0);
    const count = records.reduce((sum, number) => sum + number, 0);
    const tableBytes = regionBytes + count * RECORD_SIZE;
    if (Math.max(regions.length, windows.length) > MAX_REGIONS || tableBytes > MAX_TABLES) {
      throw rangeError("the snapshot has more regions or pages than a file can hold");
    }
    const start = dataOffset({ regionBytes, records: count, isMappable });
    const areas = placeData(start, layouts);
    this.stored = regions.reduce((sum, { pages }) => sum + pages.stored, 0);
    this.fileSize = (isMappable ? areas.end : start + this.stored * PAGE_SIZE) + state;
    if (!Number.isSafeInteger(this.fileSize)) {
      throw rangeError("the memory has more bytes than a mappable file can hold");
    }
    if (isMappable) {
      entries.slice(0, regions.length).forEach((entry, i) => {
        entry.writeBigUInt64LE(BigInt(areas.offsets[i]!), 32);
      });
    }
    this.#regions = regions;
    this.#generation = generation;
    this.#windows = isWindowed ? windows.length : null;
    this.#encoding = encoding;
    this.#regionBytes = regionBytes;
    this.#records = records;
    this.#areas = isMappable ? areas.offsets : null;
    this.#head = Buffer.alloc(start);
    Buffer.concat(entries).copy(this.#head, HEADER_SIZE);
  }

  /** The stored pages, by ascending offset. Puts the checksum of each in the tables. */
  *pages(): Generator<StoredPage> {
    const head = this.#head;
    const { checksum } = this.#encoding;
    let record = recordsOffset({ regionBytes: this.#regionBytes });
    let packed = head.length;
    for (const [i, region] of this.#regions.entries()) {
      for (const { page, bytes, checksumAt } of encodeRecords(region, head, record)) {
        checksum.put(bytes, head, checksumAt);
        const offset = this.#areas === null ? packed : this.#areas[i]! + page * PAGE_SIZE;
        packed += PAGE_SIZE;
        yield { bytes, offset };
      }
      record += this.#records[i]! * RECORD_SIZE;
    }
  }

  /** The bytes before the first page. Call it after `pages` has ended. */
  head(): Buffer {
    const head = this.#head;
    const { isMappable, checksum, state } = this.#encoding;
    const records = this.#records.reduce((sum, number) => sum + number, 0);
    const tables = head.subarray(
      HEADER_SIZE,
      HEADER_SIZE + this.#regionBytes + records * RECORD_SIZE,
    );
    MAGIC.copy(head);
    head[MAGIC.length] = isMappable ? MAPPABLE : this.#windows === null ? PLAIN : WINDOWED;
    head.writeUInt32LE(PAGE_SIZE, AT.pageSize);
    head.writeUInt32LE(this.#regions.length, AT.regions);
    head.writeBigUInt64LE(BigInt(this.#regionBytes), AT.regionBytes);
    head.writeBigUInt64LE(BigInt(records), AT.records);
    head.writeBigUInt64LE(BigInt(this.stored), AT.stored);
    head.writeBigUInt64LE(BigInt(this.fileSize), AT.fileSize);
    head.writeUInt32LE(this.#generation, AT.generation);
    head.writeUInt32LE(this.#windows ?? 0, AT.windows);
    head.writeUInt32LE(isMappable ? checksum.id : 0, AT.checksum);
    head.writeUInt32LE(state, AT.state);
    sha256(tables).copy(head, AT.tablesDigest);
    sha256(head.subarray(0, AT.headerDigest)).copy(head, AT.headerDigest);
    return head;
  }
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
