import * as zlib from "node:zlib";
import { hex } from "../base/printable.js";
import { BadImageError } from "./bad-image.js";
import { decompress } from "./compression.js";
import { type Compression, type Contents, segmentsOf } from "./image.js";

/* U-Boot's legacy uImage (include/image.h), which mkimage makes. */

const MAGIC = 0x27051956;
const HEADER_SIZE = 64;
const STANDALONE = 1;
const KERNEL = 2;
const MULTI = 4;
const KERNEL_NOLOAD = 14;
const COMPRESSIONS = ["none", "gzip", "bzip2", "lzma", "lzo", "lz4", "zstd"] as const;

/** Whether a file starts as a uImage. */
export function isUimage(file: Uint8Array): boolean {
  return (
    file.length >= 4 && new DataView(file.buffer, file.byteOffset).getUint32(0, false) === MAGIC
  );
}

/**
 * Reads a uImage: checks its checksums and decompresses its data. Of an image of several files, the
 * first is the kernel, and the others have no address.
 *
 * @param gpa - The address to use instead of that in the header.
 */
export function parseUimage(
  file: Uint8Array,
  gpa: bigint | undefined,
  maxSize: number,
): Contents & { readonly compression: Compression | null } {
  const { type, method, load, start, name, data } = readHeader(file);
  const parts = type === MULTI ? partsOf(data) : [];
  const compression = COMPRESSIONS[method] ?? `method ${method}`;
  if (compression !== "none" && compression !== "gzip" && compression !== "zstd") {
    throw new BadImageError(31, `compressed by ${compression}, which is not supported`);
  }
  const packed = parts[0] ?? data;
  const bytes =
    compression === "none"
      ? packed
      : decompress(packed, compression, maxSize, packed.byteOffset - file.byteOffset);
  if (type === KERNEL_NOLOAD && gpa === undefined) {
    throw new BadImageError(16, "a kernel that runs at any address: the option gpa must name one");
  }
  const to = gpa ?? BigInt(load);
  return {
    name,
    entry: entryOf(type, BigInt(start), BigInt(load), to),
    segments: segmentsOf(to, bytes),
    parts,
    compression: compression === "none" ? null : compression,
  };
}

/** The fields of a header, after both checksums were checked. */
interface Header {
  readonly type: number;
  /** The number of the method of compression. */
  readonly method: number;
  readonly load: number;
  readonly start: number;
  readonly name: string | null;
  readonly data: Uint8Array;
}

function readHeader(file: Uint8Array): Header {
  if (file.length < HEADER_SIZE) {
    throw new BadImageError(file.length, `the file ends within its ${HEADER_SIZE}-byte header`);
  }
  const header = Buffer.from(file.subarray(0, HEADER_SIZE));
  if (header.readUInt32BE(0) !== MAGIC) {
    throw new BadImageError(0, "not a uImage");
  }
  const stated = header.readUInt32BE(4);
  header.writeUInt32BE(0, 4);
  checkSum(4, stated, crc32(header), "header");
  const size = header.readUInt32BE(12);
  if (size > file.length - HEADER_SIZE) {
    throw new BadImageError(12, "the data reach past the end of the file");
  }
  const data = file.subarray(HEADER_SIZE, HEADER_SIZE + size);
  checkSum(24, header.readUInt32BE(24), crc32(data), "data");
  return {
    type: header[30]!,
    method: header[31]!,
    load: header.readUInt32BE(16),
    start: header.readUInt32BE(20),
    name: header.toString("latin1", 32, HEADER_SIZE).replace(/\0[^]*$/, "") || null,
    data,
  };
}

/**
 * The files of an image of several: a list of their sizes, which ends with 0, comes before them.
 */
function partsOf(data: Uint8Array): Uint8Array[] {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const sizes: number[] = [];
  for (let at = 0; ; at += 4) {
    if (at + 4 > data.length) {
      throw new BadImageError(HEADER_SIZE, "the list of files has no end");
    }
    const size = view.getUint32(at, false);
    if (size === 0) {
      break;
    }
    sizes.push(size);
  }
  if (sizes.length === 0) {
    throw new BadImageError(HEADER_SIZE, "an image of several files that has none");
  }
  let start = 4 * (sizes.length + 1);
  return sizes.map((size, i) => {
    const part = data.subarray(start, start + size);
    if (part.length < size) {
      throw new BadImageError(HEADER_SIZE + 4 * i, `file ${i} reaches past the end of the data`);
    }
    start += Math.ceil(size / 4) * 4;
    return part;
  });
}

function entryOf(type: number, start: bigint, load: bigint, to: bigint): bigint | null {
  if (type === KERNEL_NOLOAD) {
    // Its entry point is an offset.
    return to + start;
  }
  if (type !== KERNEL && type !== STANDALONE && type !== MULTI) {
    return null;
  }
  // A file that is moved keeps the place of its entry point.
  const entry = start - load + to;
  return entry < 0n ? null : entry;
}

function checkSum(offset: number, stated: number, found: number, what: string): void {
  if (stated !== found) {
    throw new BadImageError(
      offset,
      `the checksum of the ${what} is ${hex(stated)}, and should be ${hex(found)}`,
    );
  }
}

/** CRC-32, which `node:zlib` has from Node 20.15 on. */
function crc32(bytes: Uint8Array): number {
  if (typeof zlib.crc32 === "function") {
    return zlib.crc32(bytes);
  }
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) {
      crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1));
    }
  }
  return ~crc >>> 0;
}
