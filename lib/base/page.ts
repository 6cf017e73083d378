import type { Gpa } from "./gpa.js";

/** Bytes of a page, the unit of dirty marks and of snapshots. */
export const PAGE_SIZE = 4096;

/** An inclusive range of page numbers. */
export interface PageRange {
  readonly first: number;
  readonly last: number;
}

/** The page number of an address. It is exact, because a page number has at most 52 bits. */
export function pageOf(gpa: bigint): number {
  return Number(gpa / BigInt(PAGE_SIZE));
}

/** As `pageOf`, for addresses of both types. */
export function pageAt(gpa: Gpa): number {
  if (typeof gpa === "bigint") {
    return pageOf(gpa);
  }
  // Integers of 32 bits where possible, which are faster than a division.
  const low = gpa >>> 0;
  return low === gpa ? low >>> 12 : Math.floor(gpa / PAGE_SIZE);
}

/** The offset of an address in its page. */
export function inPageOf(gpa: Gpa): number {
  return typeof gpa === "number" ? gpa % PAGE_SIZE : Number(gpa % BigInt(PAGE_SIZE));
}

/** Whether an access touches two pages, each of which has watchpoints of its own. */
export function crossesPage(gpa: Gpa, bytes: number): boolean {
  return inPageOf(gpa) + bytes > PAGE_SIZE;
}
