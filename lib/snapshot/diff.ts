import { PAGE_SIZE } from "../base/page.js";
import { type Page, type PageTable, ZERO_PAGE } from "./page-table.js";
import { checkSameLayout, type Piece, piecesOf } from "./layout.js";
import { contentsOf, type Snapshot } from "./snapshot.js";

/** A range of adjacent bytes that all differ between two snapshots. */
export interface ChangedRange {
  /** Guest physical address of the first byte. */
  readonly gpa: bigint;
  /** Length in bytes. */
  readonly length: number;
}

/**
 * The bytes that differ between two snapshots of the same regions. Ranges are as long as possible,
 * but never span two regions. Pages that the snapshots share are not compared. The iterable is
 * lazy: it finds the ranges while it is iterated.
 *
 * The ranges are in the order of `regions` and, in each, of its bytes. If the regions of the
 * snapshots are memories, the address of a byte is that in the first window of `b` that shows it.
 * A byte that no window shows has its address in `regions`, 2^64 or above. A bank that shows
 * another part of its memory is no difference: compare `windows` for that.
 *
 * @throws TypeError; Error `ERR_SNAPSHOT_MISMATCH` if the regions of the two snapshots differ.
 */
export function diffSnapshots(a: Snapshot, b: Snapshot): Iterable<ChangedRange> {
  const [before, after] = [contentsOf(a), contentsOf(b)];
  checkSameLayout(a, b);
  return (function* () {
    const pieces = piecesOf(b);
    for (const [i, { pages }] of before.regions.entries()) {
      const runs = joined(changedRuns(pages, after.regions[i]!.pages));
      yield* addressed(runs, pieces[i]!);
    }
  })();
}

/** Cuts runs at the ends of pieces, and gives them addresses. Both are ascending. */
function* addressed(runs: Iterable<Run>, pieces: readonly Piece[]): Generator<ChangedRange> {
  let next = 0;
  for (const { start, length } of runs) {
    for (let at = start; at < start + length;) {
      while (pieces[next]!.start + pieces[next]!.length <= at) {
        next++;
      }
      const piece = pieces[next]!;
      const end = Math.min(start + length, piece.start + piece.length);
      yield { gpa: piece.gpa + BigInt(at - piece.start), length: end - at };
      at = end;
    }
  }
}

interface Run {
  readonly start: number;
  readonly length: number;
}

/** Runs of differing bytes. No run spans two pages. */
function* changedRuns(a: PageTable, b: PageTable): Generator<Run> {
  for (const page of a.changedPages(b)) {
    yield* runsOfPage(a.get(page) ?? ZERO_PAGE, b.get(page) ?? ZERO_PAGE, page * PAGE_SIZE);
  }
}

function* runsOfPage(a: Page, b: Page, base: number): Generator<Run> {
  for (let i = 0; i < PAGE_SIZE; i++) {
    const start = i;
    while (i < PAGE_SIZE && a[i] !== b[i]) {
      i++;
    }
    if (i > start) {
      yield { start: base + start, length: i - start };
    }
  }
}

/** Joins adjacent runs. */
function* joined(runs: Iterable<Run>): Generator<Run> {
  let open: Run | null = null;
  for (const run of runs) {
    if (open !== null && open.start + open.length === run.start) {
      open = { start: open.start, length: open.length + run.length };
      continue;
    }
    if (open !== null) {
      yield open;
    }
    open = run;
  }
  if (open !== null) {
    yield open;
  }
}
