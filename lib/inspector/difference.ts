import { PAGE_SIZE } from "../base/page.js";
import type { SnapshotView } from "./snapshot-view.js";
import type { Comparison } from "./byte-source.js";
import type { Budget, Direction, Found } from "./find.js";
import type { SnapshotReader } from "./snapshot-reader.js";

/** Two differences with fewer equal bytes than this between them count as one. */
const GAP = 8;

/** The numbers of the pages of a region that differ between two snapshots, upwards from `from`. */
export function* differingPages(
  a: SnapshotView,
  b: SnapshotView,
  region: number,
  from = 0,
): Generator<number> {
  yield* merged(a.pagesFrom(region, from), b.pagesFrom(region, from), 1);
}

/** The numbers of the pages below `from` that differ, downwards. */
function* differingPagesBelow(
  a: SnapshotView,
  b: SnapshotView,
  region: number,
  from: number,
): Generator<number> {
  yield* merged(a.pagesBelow(region, from), b.pagesBelow(region, from), -1);
}

interface Digested {
  readonly page: number;
  readonly digest: Buffer | null;
}

/** Merges two lists of pages, ordered by `sign`. A page that a list leaves out holds zeros. */
function* merged(a: Iterator<Digested>, b: Iterator<Digested>, sign: 1 | -1): Generator<number> {
  let [left, right] = [a.next(), b.next()];
  while (left.done !== true || right.done !== true) {
    const leftPage = left.done === true ? Infinity : sign * left.value.page;
    const rightPage = right.done === true ? Infinity : sign * right.value.page;
    const page = Math.min(leftPage, rightPage);
    let mine: Buffer | null = null;
    let theirs: Buffer | null = null;
    if (left.done !== true && leftPage === page) {
      mine = left.value.digest;
      left = a.next();
    }
    if (right.done !== true && rightPage === page) {
      theirs = right.value.digest;
      right = b.next();
    }
    const same = mine === null || theirs === null ? mine === theirs : mine.equals(theirs);
    if (!same) {
      yield sign * page;
    }
  }
}

/** Compares two snapshots by the checksums of their pages. */
export function compareSnapshots(a: SnapshotReader, b: SnapshotReader): Comparison {
  return {
    a,
    b,
    differing: (region, from, direction) =>
      direction === "forward"
        ? differingPages(a.file, b.file, region, from)
        : differingPagesBelow(a.file, b.file, region, from + 1),
  };
}

/**
 * Finds the start of the next difference. Different bytes with fewer than 8 equal bytes between
 * them are one difference. A difference never extends across two pages.
 *
 * @param from - The first address at which it may start; the last one, if `direction` is backward.
 */
export async function findDifference(
  { a, b, differing }: Comparison,
  from: bigint,
  direction: Direction,
  budget: Budget,
): Promise<Found> {
  const { regions } = a;
  const order = [...regions.keys()];
  if (direction === "backward") {
    order.reverse();
  }
  for (const region of order) {
    const { gpa, size } = regions[region]!;
    const offset = from - gpa;
    if (direction === "forward" ? offset >= size : offset < 0n) {
      continue;
    }
    const start = Number(offset < 0n ? 0n : offset >= size ? size - 1n : offset);
    const page = Math.floor(start / PAGE_SIZE);
    for (const candidate of differing(region, page, direction)) {
      if (budget.spend(2)) {
        const edge = candidate * PAGE_SIZE + (direction === "forward" ? 0 : PAGE_SIZE - 1);
        const next = direction === "forward" ? Math.max(edge, start) : Math.min(edge, start);
        return { match: null, next: gpa + BigInt(next) };
      }
      const starts = differenceStarts(
        await a.page(region, candidate),
        await b.page(region, candidate),
      ).map((at) => candidate * PAGE_SIZE + at);
      const match =
        direction === "forward"
          ? starts.find((at) => at >= start)
          : starts.findLast((at) => at <= start);
      if (match !== undefined) {
        return { match: gpa + BigInt(match), next: null };
      }
    }
  }
  return { match: null, next: null };
}

/** The offsets at which the differences of a page start. */
export function differenceStarts(a: Uint8Array, b: Uint8Array): number[] {
  const starts: number[] = [];
  let last = -Infinity;
  for (let i = 0; i < PAGE_SIZE; i++) {
    if (a[i] !== b[i]) {
      if (i - last > GAP) {
        starts.push(i);
      }
      last = i;
    }
  }
  return starts;
}
