import { PAGE_SIZE } from "../base/page.js";
import { SnapshotFormatError } from "./errors.js";
import type { RegionKind, RegionLayout, SnapshotWindow } from "./layout.js";
import type { PageChecksum } from "./page-checksum.js";

// The numbers of a snapshot file, which docs/snapshot-format.md specifies.

/** The first bytes of a file. The next byte is the version of the format. */
export const MAGIC = Buffer.from("PGMSNP\0", "latin1");
/** The version in which the regions are those of the space. */
export const PLAIN = 1;
/** The version with a table of windows. Its regions are whole memories. */
export const WINDOWED = 2;
/** The version in which each page has a fixed offset in the file. */
export const MAPPABLE = 3;

export const HEADER_SIZE = 128;
export const REGION_SIZE = 40;
export const WINDOW_SIZE = 56;
/** The region of a window of MMIO. */
export const NO_REGION = 0xffff_ffff;

export const MAX_REGIONS = 65_536;
export const MAX_NAME = 4096;
/**
 * Maximum bytes of the tables, which are read whole. Enough for 128 GiB without a page of zeros.
 */
export const MAX_TABLES = 2 ** 30;
/** Maximum bytes of the state of the machine, which is read whole. */
export const MAX_STATE = 2 ** 30;

/**
 * The alignment of the data of a region in a mappable file: the largest page size of the supported
 * systems, and the granularity of mappings on Windows.
 */
export const DATA_ALIGNMENT = 65_536;

export const KINDS: readonly RegionKind[] = ["ram", "rom", "mmio"];

/** The offsets of the fields of the header. */
export const AT = {
  pageSize: 8,
  regions: 12,
  regionBytes: 16,
  records: 24,
  stored: 32,
  fileSize: 40,
  generation: 48,
  windows: 52,
  checksum: 56,
  state: 60,
  tablesDigest: 64,
  headerDigest: 96,
} as const;

/** The decoded header. */
export interface Header {
  /** Whether each page has a fixed offset in the file. If not, stored pages are packed. */
  readonly isMappable: boolean;
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
  /** Number of windows; null if the regions are those of the space. */
  readonly windows: number | null;
  /** The kind of the checksums of pages. */
  readonly checksum: PageChecksum;
  /** Bytes of the state of the machine, at the end of the file. */
  readonly state: number;
  readonly tablesDigest: Buffer;
}

/** A decoded entry of the region table. */
export interface FileRegion {
  readonly layout: RegionLayout;
  /** Number of page records. */
  readonly records: number;
  /** The offset of the data in a mappable file; 0 for MMIO and in other files. */
  readonly data: number;
}

/** The decoded region table and window table. */
export interface FileLayout {
  readonly regions: readonly FileRegion[];
  readonly windows: readonly SnapshotWindow[];
}

/** The offset of the page table in the file. */
export function recordsOffset({ regionBytes }: Pick<Header, "regionBytes">): number {
  return HEADER_SIZE + regionBytes;
}

/** The offset in the file of the first page, behind all tables. */
export function dataOffset(header: Pick<Header, "regionBytes" | "records" | "isMappable">): number {
  const tables = recordsOffset(header) + header.records * RECORD_SIZE;
  return roundUp(tables, header.isMappable ? DATA_ALIGNMENT : PAGE_SIZE);
}

/** The offsets of the data of each region in a mappable file. Those of MMIO are 0. */
export interface DataAreas {
  readonly offsets: readonly number[];
  /** The end of the data in the file: at least 2^53 if that is not exact. */
  readonly end: number;
}

/** Places the data of the regions of a mappable file, from `start` on. */
export function placeData(start: number, regions: readonly RegionLayout[]): DataAreas {
  let end = start;
  const offsets = regions.map(({ kind, size }) => {
    if (kind === "mmio") {
      return 0;
    }
    const offset = end;
    end += roundUp(Number(size), DATA_ALIGNMENT);
    return offset;
  });
  return { offsets, end };
}

/** Bytes of a record of the page table. */
export const RECORD_SIZE = 32;

/** Reads a 64-bit count, which must be below 2^53. */
export function readCount(bytes: Buffer, at: number, base: number): number {
  const high = bytes.readUInt32LE(at + 4);
  if (high >= 2 ** 21) {
    throw new SnapshotFormatError("a count of 2^53 or more", base + at);
  }
  return bytes.readUInt32LE(at) + high * 2 ** 32;
}

export function requireZero(bytes: Buffer, from: number, to: number, base: number): void {
  const at = bytes.subarray(from, to).findIndex((byte) => byte !== 0);
  if (at >= 0) {
    throw new SnapshotFormatError("a byte that should be zero is not", base + from + at);
  }
}

export function roundUp(value: number, multiple: number): number {
  return Math.ceil(value / multiple) * multiple;
}
