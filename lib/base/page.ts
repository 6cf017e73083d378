/** Bytes of a page: what a dirty bit stands for, and what a snapshot shares or stores as one. */
export const PAGE_SIZE = 4096;

/** Pages of guest physical addresses, by number; the last one is included. */
export interface PageRange {
  readonly first: number;
  readonly last: number;
}

/** The page of an address. Exact, since no page number has more than 52 bits. */
export function pageOf(gpa: bigint): number {
  return Number(gpa / BigInt(PAGE_SIZE));
}
