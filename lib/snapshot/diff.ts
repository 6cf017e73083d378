import { PAGE_SIZE } from "../base/page.js";
import { type Page, type PageTable, ZERO_PAGE } from "./page-table.js";
import { checkSameLayout } from "./layout.js";
import { contentsOf, type Snapshot } from "./snapshot.js";

/** A run of bytes each of which differs between two snapshots. */
export interface ChangedRange {
  /** Guest physical address of the first byte. */
  readonly gpa: bigint;
  /** Bytes. */
  readonly length: number;
}

/**
 * The bytes that differ between two snapshots of the same regions, by ascending address: every
 * range as long as it can be, none across two regions. Pages that the snapshots share are not looked
 * at. The ranges are found as they are asked for.
 *
 * @throws TypeError; Error `ERR_SNAPSHOT_MISMATCH` where the regions differ.
 */
export function diffSnapshots(a: Snapshot, b: Snapshot): Iterable<ChangedRange> {
  const [before, after] = [contentsOf(a), contentsOf(b)];
  checkSameLayout(a.regions, b.regions, "the other snapshot");
  return (function* () {
    for (const [i, { layout, pages }] of before.entries()) {
      for (const { start, length } of joined(changedRuns(pages, after[i]!.pages))) {
        yield { gpa: layout.gpa + BigInt(start), length };
      }
    }
  })();
}

interface Run {
  readonly start: number;
  readonly length: number;
}

/** Runs of differing bytes, none across two pages. */
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

/** Joins runs that touch. */
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
