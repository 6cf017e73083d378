import { createHash } from "node:crypto";
import * as zlib from "node:zlib";

/** The kind of the checksums of the pages of a snapshot file. */
export type ChecksumName = "crc32" | "sha256";

/** Bytes of the checksum in a record of the page table. */
export const CHECKSUM_SIZE = 16;

/** A kind of checksums of pages, in the form of the page table, which is never all zero. */
export interface PageChecksum {
  readonly name: ChecksumName;
  /** The number of the kind in the header of a mappable file. */
  readonly id: number;
  /** Writes the checksum of a page to a table. */
  put(page: Uint8Array, table: Buffer, at: number): void;
  /** Whether a table has the checksum of a page. */
  matches(page: Uint8Array, table: Buffer, at: number): boolean;
  /** The checksum in a table, most significant byte first. */
  digest(table: Buffer, at: number): Buffer;
  /** Whether the bytes in a table are a checksum of this kind. */
  isValid(table: DataView, at: number): boolean;
}

/** The second word of a CRC-32 in a table: a page may have the CRC-32 0. */
const PRESENT = 1;

/** The first 16 bytes of the SHA-256 of a page. */
const SHA256: PageChecksum = {
  name: "sha256",
  id: 2,
  put: (page, table, at) => void sha256(page).copy(table, at, 0, CHECKSUM_SIZE),
  matches: (page, table, at) =>
    table.compare(sha256(page), 0, CHECKSUM_SIZE, at, at + CHECKSUM_SIZE) === 0,
  digest: (table, at) => table.subarray(at, at + CHECKSUM_SIZE),
  isValid: () => true,
};

/** The CRC-32 of zlib. */
const CRC32: PageChecksum = {
  name: "crc32",
  id: 1,
  put(page, table, at) {
    table.writeUInt32LE(crc32(page), at);
    table.writeUInt32LE(PRESENT, at + 4);
    table.fill(0, at + 8, at + CHECKSUM_SIZE);
  },
  matches: (page, table, at) => table.readUInt32LE(at) === crc32(page),
  digest: (table, at) => Buffer.from(table.subarray(at, at + 4)).reverse(),
  isValid: (table, at) =>
    table.getUint32(at + 4, true) === PRESENT &&
    (table.getUint32(at + 8) | table.getUint32(at + 12)) === 0,
};

/** The kinds of checksums by name. */
export const CHECKSUMS: Readonly<Record<ChecksumName, PageChecksum>> = {
  crc32: CRC32,
  sha256: SHA256,
};

/** The CRC-32 of bytes by `zlib.gzipSync`, for Node before 20.15, which has no `zlib.crc32`. */
export function crc32OfGzip(bytes: Uint8Array): number {
  const stream = zlib.gzipSync(bytes, { level: 0 });
  // The last 8 bytes of a gzip stream are the CRC-32 and the length of the data.
  return stream.readUInt32LE(stream.length - 8);
}

const crc32 = (zlib as Partial<typeof zlib>).crc32 ?? crc32OfGzip;

export function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
