import { pageOf, type PageRange } from "../base/page.js";
import type { Watchpoint } from "./watchpoint.js";

/** The most pages whose watchpoints an index keeps: a watched range may have millions. */
const MAX_FOUND = 4096;

/** An index of the watchpoints for one kind of access. Immutable, apart from its caches. */
export class WatchIndex {
  readonly #watchpoints: readonly Watchpoint[];
  /** The watched pages, merged into ranges that neither touch nor overlap. */
  readonly #starts: Float64Array;
  readonly #ends: Float64Array;
  readonly #ranges: number;
  #tree: Tree | null = null;
  // The last gap that `covers` found: all pages between these two, exclusive, are not watched.
  #gapStart = -Infinity;
  #gapEnd = -Infinity;
  /** The watchpoints that touch each page, as far as `atPage` was asked for them. */
  readonly #found = new Map<number, readonly Watchpoint[]>();
  // The last page that `atPage` looked up, and the watchpoints that touch it.
  #lastPage = -1;
  #lastFound: readonly Watchpoint[] = [];

  /** @param watchpoints - Sorted by first page. */
  constructor(watchpoints: readonly Watchpoint[]) {
    this.#watchpoints = watchpoints;
    const starts = new Float64Array(watchpoints.length);
    const ends = new Float64Array(watchpoints.length);
    let ranges = 0;
    for (const { pages } of watchpoints) {
      if (ranges > 0 && pages.first <= ends[ranges - 1]! + 1) {
        ends[ranges - 1] = Math.max(ends[ranges - 1]!, pages.last);
      } else {
        starts[ranges] = pages.first;
        ends[ranges] = pages.last;
        ranges++;
      }
    }
    this.#starts = starts;
    this.#ends = ends;
    this.#ranges = ranges;
  }

  /** Whether a page is watched. */
  covers(page: number): boolean {
    if (page === this.#lastPage) {
      return true;
    }
    if (page > this.#gapStart && page < this.#gapEnd) {
      return false;
    }
    const after = upperBound(this.#starts, this.#ranges, page);
    if (after > 0 && this.#ends[after - 1]! >= page) {
      return true;
    }
    this.#gapStart = after > 0 ? this.#ends[after - 1]! : -Infinity;
    this.#gapEnd = after < this.#ranges ? this.#starts[after]! : Infinity;
    return false;
  }

  /**
   * The range of adjacent pages without watchpoints that contains a page; null if it is watched.
   */
  gapAt(page: number): PageRange | null {
    return this.covers(page) ? null : { first: this.#gapStart + 1, last: this.#gapEnd - 1 };
  }

  /** The watchpoints that touch a watched page, in the order they were added. */
  atPage(page: number): readonly Watchpoint[] {
    if (page !== this.#lastPage) {
      const known = this.#found.get(page);
      const found = known ?? this.#overlapping(page, page);
      if (known === undefined) {
        if (this.#found.size === MAX_FOUND) {
          this.#found.clear();
        }
        this.#found.set(page, found);
      }
      this.#lastFound = found;
      this.#lastPage = page;
    }
    return this.#lastFound;
  }

  /** The watchpoints that touch a range of bytes, in the order they were added. */
  touching(gpa: bigint, length: number): readonly Watchpoint[] {
    const last = pageOf(gpa + BigInt(length) - 1n);
    return this.#overlapping(pageOf(gpa), last).filter((watchpoint) =>
      watchpoint.touches(gpa, length),
    );
  }

  /** The watchpoints that touch a range of pages, in the order they were added. */
  #overlapping(first: number, last: number): Watchpoint[] {
    const tree = (this.#tree ??= makeTree(this.#watchpoints));
    const count = upperBound(tree.firsts, tree.firsts.length, last);
    const found: Watchpoint[] = [];
    const visit = (node: number, from: number, width: number): void => {
      if (from >= count || tree.maxima[node]! < first) {
        return;
      }
      if (width > 1) {
        visit(2 * node, from, width / 2);
        visit(2 * node + 1, from + width / 2, width / 2);
        return;
      }
      found.push(this.#watchpoints[from]!);
    };
    visit(1, 0, tree.leaves);
    return found.sort((a, b) => a.serial - b.serial);
  }
}

/** A segment tree over watchpoints sorted by first page, which finds those that overlap a range. */
interface Tree {
  /** The first page of each watchpoint. */
  readonly firsts: Float64Array;
  /** A power of two, at least the number of watchpoints. */
  readonly leaves: number;
  /** The highest last page in each subtree. The children of node `i` are `2 i` and `2 i + 1`. */
  readonly maxima: Float64Array;
}

function makeTree(watchpoints: readonly Watchpoint[]): Tree {
  const firsts = Float64Array.from(watchpoints, ({ pages }) => pages.first);
  const leaves = 2 ** Math.ceil(Math.log2(Math.max(watchpoints.length, 1)));
  const maxima = new Float64Array(2 * leaves).fill(-1);
  watchpoints.forEach(({ pages }, i) => (maxima[leaves + i] = pages.last));
  for (let node = leaves - 1; node > 0; node--) {
    maxima[node] = Math.max(maxima[2 * node]!, maxima[2 * node + 1]!);
  }
  return { firsts, leaves, maxima };
}

/** The number of values at most `value` among the first `count`, which are sorted. */
function upperBound(sorted: Float64Array, count: number, value: number): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]! <= value) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
