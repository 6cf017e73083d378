import { PAGE_SIZE } from "../dirty-bitmap.js";

/** The bytes of a page, all {@link PAGE_SIZE} of them, which nobody writes to any more. */
export type Page = Uint8Array;

/** What a page that is not stored holds. */
export const ZERO_PAGE: Page = new Uint8Array(PAGE_SIZE);

/** Pages of a leaf: 2 MiB of RAM. */
export const LEAF_PAGES = 512;

type Leaf = readonly (Page | null)[];

/**
 * The pages of a region that are not all zero, by number. Immutable: an edited table shares every
 * leaf, and every page, that the edit leaves alone.
 */
export class PageTable {
  readonly #leaves: ReadonlyMap<number, Leaf>;
  /** How many pages are stored. */
  readonly stored: number;

  /** Use {@link PageTable.edit} instead. */
  constructor(leaves: ReadonlyMap<number, Leaf>, stored: number) {
    this.#leaves = leaves;
    this.stored = stored;
  }

  /** A page, or null where it is all zero. */
  get(page: number): Page | null {
    return this.#leaves.get(Math.floor(page / LEAF_PAGES))?.[page % LEAF_PAGES] ?? null;
  }

  /** Whether any of the pages of the `leaf`th 2 MiB is stored. */
  hasLeaf(leaf: number): boolean {
    return this.#leaves.has(leaf);
  }

  /** The stored pages, by ascending number. */
  *entries(): Generator<readonly [page: number, bytes: Page]> {
    for (const leaf of sorted(this.#leaves.keys())) {
      const pages = this.#leaves.get(leaf)!;
      for (let i = 0; i < LEAF_PAGES; i++) {
        const bytes = pages[i];
        if (bytes != null) {
          yield [leaf * LEAF_PAGES + i, bytes];
        }
      }
    }
  }

  /** The numbers of the pages that hold other bytes in `other`, ascending. */
  *changedPages(other: PageTable): Generator<number> {
    for (const leaf of sorted(new Set([...this.#leaves.keys(), ...other.#leaves.keys()]))) {
      const mine = this.#leaves.get(leaf);
      const theirs = other.#leaves.get(leaf);
      if (mine === theirs) {
        continue;
      }
      for (let i = 0; i < LEAF_PAGES; i++) {
        if (!samePage(mine?.[i] ?? null, theirs?.[i] ?? null)) {
          yield leaf * LEAF_PAGES + i;
        }
      }
    }
  }

  /** Starts the making of a table that differs from this one in a few pages. */
  edit(): PageTableEditor {
    return new PageTableEditor(this, this.#leaves);
  }
}

/** Of a region of zeros. */
export const NO_PAGES = new PageTable(new Map(), 0);

/** Collects changes of a {@link PageTable}. */
export class PageTableEditor {
  readonly #base: PageTable;
  readonly #baseLeaves: ReadonlyMap<number, Leaf>;
  readonly #edited = new Map<number, (Page | null)[]>();
  #stored: number;

  constructor(base: PageTable, baseLeaves: ReadonlyMap<number, Leaf>) {
    this.#base = base;
    this.#baseLeaves = baseLeaves;
    this.#stored = base.stored;
  }

  /** Gives a page other bytes, or none for a page of zeros. */
  set(page: number, bytes: Page | null): void {
    const number = Math.floor(page / LEAF_PAGES);
    let leaf = this.#edited.get(number);
    if (leaf === undefined) {
      const base = this.#baseLeaves.get(number);
      leaf = base === undefined ? new Array<Page | null>(LEAF_PAGES).fill(null) : [...base];
      this.#edited.set(number, leaf);
    }
    const before = leaf[page % LEAF_PAGES] ?? null;
    this.#stored += Number(bytes !== null) - Number(before !== null);
    leaf[page % LEAF_PAGES] = bytes;
  }

  /** The table with all changes made; the base itself where there are none. */
  finish(): PageTable {
    if (this.#edited.size === 0) {
      return this.#base;
    }
    const leaves = new Map(this.#baseLeaves);
    for (const [number, leaf] of this.#edited) {
      if (leaf.some((page) => page !== null)) {
        leaves.set(number, leaf);
      } else {
        leaves.delete(number);
      }
    }
    return new PageTable(leaves, this.#stored);
  }
}

/** Whether two pages hold the same bytes; null is a page of zeros. */
export function samePage(a: Page | null, b: Page | null): boolean {
  return a === b || Buffer.compare(a ?? ZERO_PAGE, b ?? ZERO_PAGE) === 0;
}

function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}
