import { PAGE_SIZE } from "../base/page.js";

/** The bytes of a page, all {@link PAGE_SIZE} of them, which nobody writes to any more. */
export type Page = Uint8Array;

/** What a page that is not stored holds. */
export const ZERO_PAGE: Page = new Uint8Array(PAGE_SIZE);

/** Pages of a leaf: 2 MiB of RAM. */
export const LEAF_PAGES = 512;

/** Stored pages above which a leaf is an array of all its pages. */
const MAX_SPARSE = 32;

/**
 * The stored pages of a leaf: never none. Where they are few, only they are listed, lest a table of
 * pages far apart takes more memory for its leaves than for its pages.
 */
interface Leaf {
  /** The numbers in the leaf of `pages`, ascending; {@link ALL} where those are all of its pages. */
  readonly slots: readonly number[];
  readonly pages: readonly (Page | null)[];
}

const ALL: readonly number[] = Array.from({ length: LEAF_PAGES }, (_, i) => i);

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
    return pageOf(this.#leaves.get(Math.floor(page / LEAF_PAGES)), page % LEAF_PAGES);
  }

  /** Whether any of the pages of the `leaf`th 2 MiB is stored. */
  hasLeaf(leaf: number): boolean {
    return this.#leaves.has(leaf);
  }

  /** The stored pages, by ascending number. */
  *entries(): Generator<readonly [page: number, bytes: Page]> {
    for (const leaf of sorted(this.#leaves.keys())) {
      const { slots, pages } = this.#leaves.get(leaf)!;
      for (const [i, slot] of slots.entries()) {
        const bytes = pages[i];
        if (bytes != null) {
          yield [leaf * LEAF_PAGES + slot, bytes];
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
      for (const slot of slotsOf(mine, theirs)) {
        if (!samePage(pageOf(mine, slot), pageOf(theirs, slot))) {
          yield leaf * LEAF_PAGES + slot;
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

/** Collects changes of a {@link PageTable}: cheapest by ascending page. */
export class PageTableEditor {
  readonly #base: PageTable;
  readonly #baseLeaves: ReadonlyMap<number, Leaf>;
  /** Made for the first change: most edits of a large table make none. */
  #leaves: Map<number, Leaf> | null = null;
  #stored: number;
  /** All pages of the leaf that is being changed. */
  #open: (Page | null)[] | null = null;
  #openLeaf = -1;

  constructor(base: PageTable, baseLeaves: ReadonlyMap<number, Leaf>) {
    this.#base = base;
    this.#baseLeaves = baseLeaves;
    this.#stored = base.stored;
  }

  /** Gives a page other bytes, or none for a page of zeros. */
  set(page: number, bytes: Page | null): void {
    const pages = this.#openAt(Math.floor(page / LEAF_PAGES));
    const slot = page % LEAF_PAGES;
    this.#stored += Number(bytes !== null) - Number(pages[slot] !== null);
    pages[slot] = bytes;
  }

  /** Ends the editing: the table with all changes made; the base itself where there are none. */
  finish(): PageTable {
    this.#close();
    return this.#leaves === null ? this.#base : new PageTable(this.#leaves, this.#stored);
  }

  #openAt(leaf: number): (Page | null)[] {
    if (this.#open === null || this.#openLeaf !== leaf) {
      this.#close();
      this.#leaves ??= new Map(this.#baseLeaves);
      this.#open = allPages(this.#leaves.get(leaf));
      this.#openLeaf = leaf;
    }
    return this.#open;
  }

  #close(): void {
    const leaf = this.#open === null ? null : makeLeaf(this.#open);
    if (leaf === null) {
      this.#leaves?.delete(this.#openLeaf);
    } else {
      this.#leaves?.set(this.#openLeaf, leaf);
    }
    this.#open = null;
  }
}

/** A leaf of these pages, which nobody changes any more; null where none is stored. */
function makeLeaf(pages: readonly (Page | null)[]): Leaf | null {
  const slots = ALL.filter((slot) => pages[slot] !== null);
  if (slots.length > MAX_SPARSE) {
    return { slots: ALL, pages };
  }
  return slots.length === 0 ? null : { slots, pages: slots.map((slot) => pages[slot]!) };
}

function allPages(leaf: Leaf | undefined): (Page | null)[] {
  if (leaf?.slots === ALL) {
    return [...leaf.pages];
  }
  const pages = new Array<Page | null>(LEAF_PAGES).fill(null);
  leaf?.slots.forEach((slot, i) => (pages[slot] = leaf.pages[i]!));
  return pages;
}

/** A page of a leaf; null where it is all zero. */
function pageOf(leaf: Leaf | undefined, slot: number): Page | null {
  if (leaf === undefined) {
    return null;
  }
  const { slots, pages } = leaf;
  return pages[slots === ALL ? slot : slots.indexOf(slot)] ?? null;
}

/** The numbers of all pages that either of two leaves stores, ascending. */
function slotsOf(a: Leaf | undefined, b: Leaf | undefined): readonly number[] {
  if (a === undefined || b === undefined) {
    return (a ?? b)?.slots ?? [];
  }
  return a.slots === ALL || b.slots === ALL ? ALL : sorted(new Set([...a.slots, ...b.slots]));
}

/** Whether two pages hold the same bytes; null is a page of zeros. */
export function samePage(a: Page | null, b: Page | null): boolean {
  return a === b || Buffer.compare(a ?? ZERO_PAGE, b ?? ZERO_PAGE) === 0;
}

function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}
