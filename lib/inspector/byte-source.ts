import { PAGE_SIZE } from "../base/page.js";
import type { RegionLayout } from "../snapshot/layout.js";
import type { Direction } from "./find.js";

/** The region of an address, and the offset in it. */
export interface Place {
  /** The index of the region. */
  readonly region: number;
  /** Offset in the region, in bytes. */
  readonly offset: number;
}

/** Regions of bytes, which the inspector reads and searches. */
export interface ByteSource {
  readonly regions: readonly RegionLayout[];
  /**
   * The first page from `from` on that may have a byte other than 0; with `down`, the last page
   * below `from`. Null if there is none.
   */
  nextStored(region: number, from: number, direction: "up" | "down"): number | null;
  /** Reads bytes of one region. */
  read(place: Place, length: number): Promise<Buffer>;
  /** The bytes of a page. */
  page(region: number, page: number): Promise<Uint8Array>;
}

/** Two sources with the same regions. */
export interface Comparison {
  readonly a: ByteSource;
  readonly b: ByteSource;
  /**
   * The numbers of the pages of a region that may differ, ascending from `from`; with `backward`,
   * descending from `from`.
   */
  differing(region: number, from: number, direction: Direction): Iterable<number>;
}

/** The number of pages of a region with bytes, of which the last may be shorter. */
export function pageCount({ kind, size }: RegionLayout): number {
  return kind === "mmio" ? 0 : Math.ceil(Number(size) / PAGE_SIZE);
}

/** The place of an address in the RAM or ROM of some regions; null for any other address. */
export function locate(regions: readonly RegionLayout[], gpa: bigint): Place | null {
  const region = regions.findIndex(
    ({ kind, gpa: base, size }) => kind !== "mmio" && gpa >= base && gpa < base + size,
  );
  return region < 0 ? null : { region, offset: Number(gpa - regions[region]!.gpa) };
}
