import { LEAF_PAGES } from "./page-table.js";

/** How often and how lately the snapshots of a chain found a page changed. */
export interface PageHeat {
  /** How many snapshots of the chain found other bytes than their parent has. */
  readonly changes: number;
  /** The generation of the last of them; 0 where there is none. */
  readonly changedIn: number;
}

const COLD: PageHeat = { changes: 0, changedIn: 0 };
const MAX_U32 = 0xffff_ffff;

/** The {@link PageHeat} of a region's pages. Immutable, and shares what an update leaves alone. */
export class HeatTable {
  /** Two numbers for each page of a leaf. */
  readonly #leaves: ReadonlyMap<number, Uint32Array>;

  /** Use {@link HeatTable.after} or {@link HeatTable.with} on {@link NO_HEAT} instead. */
  constructor(leaves: ReadonlyMap<number, Uint32Array>) {
    this.#leaves = leaves;
  }

  get(page: number): PageHeat {
    const leaf = this.#leaves.get(Math.floor(page / LEAF_PAGES));
    return leaf === undefined ? COLD : heatAt(leaf, page % LEAF_PAGES);
  }

  /** The pages that ever changed, by ascending number. */
  *entries(): Generator<readonly [page: number, heat: PageHeat]> {
    for (const number of [...this.#leaves.keys()].sort((a, b) => a - b)) {
      const leaf = this.#leaves.get(number)!;
      for (let i = 0; i < LEAF_PAGES; i++) {
        const heat = heatAt(leaf, i);
        if (heat.changes !== 0) {
          yield [number * LEAF_PAGES + i, heat];
        }
      }
    }
  }

  /** The table after a snapshot of `generation` found `pages` changed. */
  after(pages: Iterable<number>, generation: number): HeatTable {
    return this.#edit(function* (get) {
      for (const page of pages) {
        const changes = Math.min(get(page).changes + 1, MAX_U32);
        yield [page, { changes, changedIn: generation }];
      }
    });
  }

  /** The table with the heat of some pages replaced. */
  with(entries: Iterable<readonly [page: number, heat: PageHeat]>): HeatTable {
    return this.#edit(() => entries);
  }

  #edit(
    changes: (get: (page: number) => PageHeat) => Iterable<readonly [number, PageHeat]>,
  ): HeatTable {
    const leaves = new Map(this.#leaves);
    const fresh = new Set<number>();
    for (const [page, heat] of changes((page) => this.get(page))) {
      const number = Math.floor(page / LEAF_PAGES);
      if (!fresh.has(number)) {
        fresh.add(number);
        leaves.set(number, leaves.get(number)?.slice() ?? new Uint32Array(2 * LEAF_PAGES));
      }
      leaves.get(number)!.set([heat.changes, heat.changedIn], 2 * (page % LEAF_PAGES));
    }
    return fresh.size === 0 ? this : new HeatTable(leaves);
  }
}

/** Of pages that never changed. */
export const NO_HEAT = new HeatTable(new Map());

function heatAt(leaf: Uint32Array, page: number): PageHeat {
  return { changes: leaf[2 * page]!, changedIn: leaf[2 * page + 1]! };
}
