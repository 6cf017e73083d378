import { constants } from "node:buffer";
import * as zlib from "node:zlib";
import { BadImageError } from "./bad-image.js";
import type { Compression } from "./image.js";

/** Node has a decoder of zstd from 22.15 and 23.8 on, and the types of Node 20 lack it. */
const { zstdDecompressSync } = zlib as {
  readonly zstdDecompressSync?: (bytes: Uint8Array, options: zlib.ZlibOptions) => Buffer;
};

/** The compression of a file; null if it has none. */
export function compressionOf(file: Uint8Array): Compression | null {
  const [a, b, c, d] = file;
  if (a === 0x1f && b === 0x8b && c === 8) {
    return "gzip";
  }
  return a === 0x28 && b === 0xb5 && c === 0x2f && d === 0xfd ? "zstd" : null;
}

/**
 * Decompresses bytes.
 *
 * @param maxSize - The most bytes that may come out.
 * @param offset - The file offset of the bytes, for errors.
 * @throws BadImageError if they are damaged, too many, or if Node has no decoder.
 */
export function decompress(
  bytes: Uint8Array,
  compression: Compression,
  maxSize: number,
  offset = 0,
): Buffer {
  const decoder = compression === "gzip" ? zlib.gunzipSync : zstdDecompressSync;
  if (decoder === undefined) {
    throw new BadImageError(offset, `compressed by ${compression}, which this Node cannot decode`);
  }
  // zlib refuses a bound above the largest buffer, which is 1 GiB in a process of 32 bits.
  const limit = Math.min(maxSize, constants.MAX_LENGTH);
  try {
    return decoder(bytes, { maxOutputLength: limit });
  } catch (error) {
    // zlib throws a RangeError for maxOutputLength, and an Error for damaged data.
    const isTooLarge = error instanceof RangeError;
    throw new BadImageError(
      offset,
      isTooLarge
        ? `decompresses to more than ${limit} bytes (option maxSize)`
        : `damaged ${compression} data: ${(error as Error).message}`,
    );
  }
}
