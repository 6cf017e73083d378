import * as zlib from "node:zlib";
import { BadImageError } from "./bad-image.js";
import { decompress } from "./compression.js";
import type { Compression, Contents } from "./image.js";

/*
 * Images that start with a header of their own: Linux's `Image` for arm64 and riscv
 * (Documentation/arch/arm64/booting.rst, Documentation/arch/riscv/boot-image-header.rst), and
 * U-Boot's legacy uImage (include/image.h).
 */

const LINUX_HEADER = 64;
/** Where the base of a Linux `Image` may be: at multiples of 2 MiB. */
const LINUX_ALIGNMENT = 0x20_0000n;

/** The machine of a Linux `Image`; null if the file is none. */
export function linuxMachine(file: Uint8Array): "arm64" | "riscv" | null {
  if (file.length < LINUX_HEADER) {
    return null;
  }
  const magic = Buffer.from(file.buffer, file.byteOffset + 48, 16).toString("latin1");
  return magic.startsWith("ARM\x64", 8) ? "arm64" : magic.startsWith("RSC\x05", 8) ? "riscv" : null;
}

/**
 * Reads the header of a Linux `Image`.
 *
 * @param base - The start of RAM, to which the header is relative.
 */
export function parseLinux(file: Uint8Array, base: bigint | undefined): Contents {
  const machine = linuxMachine(file);
  if (machine === null) {
    throw new BadImageError(0, "not a Linux Image of arm64 or riscv");
  }
  if (base === undefined) {
    throw new BadImageError(8, "a Linux Image names no address: the option gpa must");
  }
  if (base % LINUX_ALIGNMENT !== 0n) {
    const below = base - (base % LINUX_ALIGNMENT);
    throw new BadImageError(
      8,
      `the gpa ${hex(base)} is no multiple of ${hex(LINUX_ALIGNMENT)}: ` +
        `the nearest are ${hex(below)} and ${hex(below + LINUX_ALIGNMENT)}`,
    );
  }
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const imageSize = view.getBigUint64(16, true);
  // Kernels for arm64 before 3.17 have no size, and an offset in the byte order of the kernel.
  const isOld = machine === "arm64" && imageSize === 0n;
  const gpa = base + (isOld ? 0x8_0000n : view.getBigUint64(8, true));
  const length = BigInt(file.length);
  // The kernel clears the rest, its .bss, itself.
  const size = imageSize > length ? imageSize : length;
  return { entry: gpa, segments: [{ gpa, size, bytes: file }] };
}

const UIMAGE_MAGIC = 0x27051956;
const UIMAGE_HEADER = 64;
const IH_TYPE_STANDALONE = 1;
const IH_TYPE_KERNEL = 2;
const IH_TYPE_MULTI = 4;
const IH_TYPE_KERNEL_NOLOAD = 14;
const COMPRESSIONS = ["none", "gzip", "bzip2", "lzma", "lzo", "lz4", "zstd"] as const;

/** Whether a file starts as a uImage. */
export function isUimage(file: Uint8Array): boolean {
  return (
    file.length >= 4 &&
    new DataView(file.buffer, file.byteOffset).getUint32(0, false) === UIMAGE_MAGIC
  );
}

/**
 * Reads a uImage: checks its checksums and decompresses its data.
 *
 * @param gpa - The address to use instead of that in the header.
 */
export function parseUimage(
  file: Uint8Array,
  gpa: bigint | undefined,
  maxSize: number,
): Contents & { readonly compression: Compression | null } {
  if (file.length < UIMAGE_HEADER) {
    throw new BadImageError(file.length, `the file ends within its ${UIMAGE_HEADER}-byte header`);
  }
  const header = Buffer.from(file.subarray(0, UIMAGE_HEADER));
  const u32 = (offset: number): number => header.readUInt32BE(offset);
  if (u32(0) !== UIMAGE_MAGIC) {
    throw new BadImageError(0, "not a uImage");
  }
  const [stated, size, load, start, dataSum] = [4, 12, 16, 20, 24].map(u32) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const name = header.toString("latin1", 32, 64).replace(/\0[^]*$/, "") || null;
  const [type, method] = [header[30]!, header[31]!];
  header.writeUInt32BE(0, 4);
  checkSum(4, stated, crc32(header), "header");
  if (size > file.length - UIMAGE_HEADER) {
    throw new BadImageError(12, "the data reach past the end of the file");
  }
  const data = file.subarray(UIMAGE_HEADER, UIMAGE_HEADER + size);
  checkSum(24, dataSum, crc32(data), "data");
  if (type === IH_TYPE_MULTI) {
    throw new BadImageError(30, "several files in one image");
  }
  const compression = COMPRESSIONS[method] ?? `method ${method}`;
  if (compression !== "none" && compression !== "gzip" && compression !== "zstd") {
    throw new BadImageError(31, `compressed by ${compression}, which is not supported`);
  }
  const bytes =
    compression === "none" ? data : decompress(data, compression, maxSize, UIMAGE_HEADER);
  if (type === IH_TYPE_KERNEL_NOLOAD && gpa === undefined) {
    throw new BadImageError(16, "a kernel that runs at any address: the option gpa must name one");
  }
  const to = gpa ?? BigInt(load);
  const isProgram = type === IH_TYPE_KERNEL || type === IH_TYPE_STANDALONE;
  // A file that is moved keeps the place of its entry point.
  const entry = isProgram ? BigInt(start) - BigInt(load) + to : null;
  return {
    name,
    entry: entry !== null && entry < 0n ? null : entry,
    segments: [{ gpa: to, size: BigInt(bytes.length), bytes }],
    compression: compression === "none" ? null : compression,
  };
}

function checkSum(offset: number, stated: number, found: number, what: string): void {
  if (stated !== found) {
    throw new BadImageError(
      offset,
      `the checksum of the ${what} is ${hex(BigInt(stated))}, and should be ${hex(BigInt(found))}`,
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

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
