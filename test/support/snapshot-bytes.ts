import { createHash } from "node:crypto";

/*
 * The layout of a snapshot file, written after docs/snapshot-format.md and not after the code.
 */

export const HEADER = 128;
const TABLES_DIGEST = 64;
const HEADER_DIGEST = 96;

export function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}

/** The size of both tables in bytes, according to the header. */
export function tablesSize(file: Buffer): number {
  return Number(file.readBigUInt64LE(16)) + 32 * Number(file.readBigUInt64LE(24));
}

/** Corrects the checksums of the header and the tables after a change. */
export function reseal(file: Buffer): Buffer {
  const end = HEADER + tablesSize(file);
  sha256(file.subarray(HEADER, Number.isSafeInteger(end) ? end : HEADER)).copy(file, TABLES_DIGEST);
  sha256(file.subarray(0, HEADER_DIGEST)).copy(file, HEADER_DIGEST);
  return file;
}
