import { gzipSync } from "node:zlib";

/** A block of a UF2 test file. */
export interface BlockSpec {
  readonly gpa: number;
  readonly bytes: Uint8Array;
  readonly number: number;
  readonly count: number;
  readonly family?: number;
  readonly flags?: number;
  /** Bytes after the data: extension tags. */
  readonly tags?: Uint8Array;
}

/** Makes a UF2 file. */
export function makeUf2(blocks: readonly BlockSpec[]): Buffer {
  return Buffer.concat(
    blocks.map(({ gpa, bytes, number, count, family, flags = 0, tags }) => {
      const block = Buffer.alloc(512);
      [
        0x0a324655,
        0x9e5d5157,
        flags | (family === undefined ? 0 : 0x2000) | (tags === undefined ? 0 : 0x8000),
        gpa,
        bytes.length,
        number,
        count,
        family ?? 0,
      ].forEach((value, i) => block.writeUInt32LE(value, 4 * i));
      block.set(bytes, 32);
      block.set(tags ?? [], 32 + Math.ceil(bytes.length / 4) * 4);
      block.writeUInt32LE(0x0ab16f30, 508);
      return block;
    }),
  );
}

/** The fields of a uImage test file. */
export interface UimageSpec {
  readonly load: number;
  readonly entry: number;
  readonly data: Uint8Array;
  readonly type?: number;
  readonly compression?: number;
}

/** Makes a uImage with the name `test`. */
export function makeUimage({ load, entry, data, type = 2, compression = 0 }: UimageSpec): Buffer {
  const file = Buffer.concat([Buffer.alloc(64), data]);
  file.writeUInt32BE(load, 16);
  file.writeUInt32BE(entry, 20);
  file[30] = type;
  file[31] = compression;
  file.write("test", 32);
  return signUimage(file);
}

/** Writes the magic number, the size and the checksums of a uImage, in place. */
export function signUimage(file: Buffer): Buffer {
  if (file.length >= 64) {
    file.writeUInt32BE(0x27051956, 0);
    file.writeUInt32BE(file.length - 64, 12);
    file.writeUInt32BE(crc32(file.subarray(64)), 24);
    file.writeUInt32BE(0, 4);
    file.writeUInt32BE(crc32(file.subarray(0, 64)), 4);
  }
  return file;
}

/** The CRC-32 of `bytes`, from the end of a gzip file. Early versions of Node 20 lack `crc32`. */
function crc32(bytes: Uint8Array): number {
  const file = gzipSync(bytes);
  return file.readUInt32LE(file.length - 8);
}

/** Makes a Linux `Image`. */
export function makeLinux(
  machine: "arm64" | "riscv",
  textOffset: bigint,
  imageSize: bigint,
  length: number,
): Buffer {
  const file = Buffer.alloc(length, 0x11);
  file.fill(0, 0, 64);
  file.writeBigUInt64LE(textOffset, 8);
  file.writeBigUInt64LE(imageSize, 16);
  if (machine === "riscv") {
    file.write("RISCV", 48, "latin1");
  }
  file.write(machine === "arm64" ? "ARM\x64" : "RSC\x05", 56, "latin1");
  return file;
}

/** The example of the manual page of S-records. */
export const SREC_EXAMPLE: readonly string[] = [
  "S00F000068656C6C6F202020202000003C",
  "S11F00007C0802A6900100049421FFF07C6C1B787C8C23783C6000003863000026",
  "S11F001C4BFFFFE5398000007D83637880010014382100107C0803A64E800020E9",
  "S111003848656C6C6F20776F726C642E0A0042",
  "S5030003F9",
  "S9030000FC",
];
