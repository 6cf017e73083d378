import type { SnapshotView } from "./snapshot-view.js";
import { differingPages } from "./difference.js";
import type { HeatInfo } from "./protocol.js";

/** A range of pages of a region, and the number of buckets to divide it into. */
export interface HeatRange {
  readonly region: number;
  /** The first page. */
  readonly from: number;
  readonly pages: number;
  readonly buckets: number;
}

/** The heat of a range before anything is counted. */
export function emptyHeat({ pages, buckets }: HeatRange) {
  const bucketPages = Math.max(1, Math.ceil(pages / buckets));
  const zeros = (): number[] => new Array<number>(Math.ceil(pages / bucketPages)).fill(0);
  return {
    bucketPages,
    stored: zeros(),
    changes: zeros(),
    changedIn: zeros(),
    differing: zeros(),
  } satisfies Omit<HeatInfo, "now">;
}

/** Sums up the pages of a range by buckets. */
export function heatOf(
  file: SnapshotView,
  other: SnapshotView | null,
  range: HeatRange,
): Omit<HeatInfo, "now"> {
  const { region, from, pages } = range;
  const info = emptyHeat(range);
  const { bucketPages } = info;
  for (const { page, heat, stored } of file.pagesFrom(region, from)) {
    if (page >= from + pages) {
      break;
    }
    const bucket = Math.floor((page - from) / bucketPages);
    info.stored[bucket]! += Number(stored);
    info.changes[bucket] = Math.max(info.changes[bucket]!, heat.changes);
    info.changedIn[bucket] = Math.max(info.changedIn[bucket]!, heat.changedIn);
  }
  for (const page of other === null ? [] : differingPages(file, other, region, from)) {
    if (page >= from + pages) {
      break;
    }
    info.differing[Math.floor((page - from) / bucketPages)]!++;
  }
  return info;
}
