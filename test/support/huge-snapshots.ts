import { closeSync, openSync, truncateSync, writeSync } from "node:fs";
import { HEADER, reseal, sha256 } from "./snapshot-bytes.js";

/** The records of pages in the file of a snapshot of one region. */
interface Pages {
  readonly count: number;
  /** The distance, in pages, of two pages that have a record. */
  readonly stride: number;
  /** Whether the file contains their bytes, which are zero. */
  readonly stored: boolean;
}

/** Writes the file of a snapshot of zeros with many records. Its pages are a hole in the file. */
export function writeHugeSnapshot(path: string, { count, stride, stored }: Pages): void {
  const tables = 40 + 32 * count;
  const start = Math.ceil((HEADER + tables) / 4096) * 4096;
  const size = start + (stored ? 4096 * count : 0);
  const head = Buffer.alloc(start);
  head.write("PGMSNP\0\x01", "latin1");
  head.writeUInt32LE(4096, 8);
  head.writeUInt32LE(1, 12);
  head.writeBigUInt64LE(40n, 16);
  head.writeBigUInt64LE(BigInt(count), 24);
  head.writeBigUInt64LE(BigInt(stored ? count : 0), 32);
  head.writeBigUInt64LE(BigInt(size), 40);
  head.writeUInt32LE(1, 48);
  head.writeBigUInt64LE(4096n * BigInt(count) * BigInt(stride), HEADER + 16);
  head.writeBigUInt64LE(BigInt(count), HEADER + 24);
  const digest = sha256(Buffer.alloc(4096)).subarray(0, 16);
  for (let i = 0; i < count; i++) {
    const at = HEADER + 40 + 32 * i;
    head.writeBigUInt64LE(BigInt(i * stride), at);
    head.writeUInt32LE(1, at + 8);
    head.writeUInt32LE(1, at + 12);
    if (stored) {
      digest.copy(head, at + 16);
    }
  }
  const file = openSync(path, "w");
  writeSync(file, reseal(head));
  closeSync(file);
  truncateSync(path, size);
}
