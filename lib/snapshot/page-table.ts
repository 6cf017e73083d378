import { compareBytes } from "../base/bytes.js";
import { PAGE_SIZE } from "../base/page.js";

/** The {@link PAGE_SIZE} bytes of a page. Immutable once it is in a table. */
export type Page = Uint8Array;

/** The content of a page that is not stored. */
export const ZERO_PAGE: Page = new Uint8Array(PAGE_SIZE);

/** Pages per leaf: a leaf covers 2 MiB of RAM. */
export const LEAF_PAGES = 512;

/** Maximum stored pages of a sparse leaf. */
const MAX_SPARSE = 32;

/**
 * The pages of a leaf, at least one of which is stored. A dense leaf has an element for each of its
 * pages. A sparse leaf lists only the stored pages: otherwise the leaves of a table of scattered
 * pages would take more memory than its pages.
 */
interface Leaf {
  /** The slot of each element of `pages`, ascending. {@link ALL} in a dense leaf. */
  readonly slots: readonly number[];
  readonly pages: readonly (Page | null)[];
}

const ALL: readonly number[] = Array.from({ length: LEAF_PAGES }, (_, i) => i);

/**
 * The stored pages of a region, which are those that are not all zero, by page number. Immutable:
 * an edited table shares all unchanged leaves and pages with the original.
 */
export class PageTable {
  readonly #leaves: ReadonlyMap<number, Leaf>;
  /** The number of stored pages. */
  readonly stored: number;

  /** Use {@link PageTable.edit} instead. */
  constructor(leaves: ReadonlyMap<number, Leaf>, stored: number) {
    this.#leaves = leaves;
    this.stored = stored;
  }

  /** The bytes of a page; null if they are all zero. */
  get(page: number): Page | null {
    return pageOf(this.#leaves.get(Math.floor(page / LEAF_PAGES)), page % LEAF_PAGES);
  }

  /** Whether the leaf with this index stores a page. */
  hasLeaf(leaf: number): boolean {
    return this.#leaves.has(leaf);
  }

  /** The stored pages, sorted by page number. */
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

  /** The numbers of the pages whose bytes differ in `other`, ascending. */
  *changedPages(other: PageTable): Generator<number> {
    for (const leaf of sorted(new Set([...this.#leaves.keys(), ...other.#leaves.keys()]))) {
      const mine = this.#leaves.get(leaf);
      const theirs = other.#leaves.get(leaf);
      if (mine === theirs) {
        continue;
      }
      if (mine?.slots === ALL || theirs?.slots === ALL) {
        const [a, b] = [allPages(mine), allPages(theirs)];
        for (let slot = 0; slot < LEAF_PAGES; slot++) {
          if (a[slot] !== b[slot] && !samePage(a[slot]!, b[slot]!)) {
            yield leaf * LEAF_PAGES + slot;
          }
        }
        continue;
      }
      for (const slot of sorted(new Set([...slotsIn(mine), ...slotsIn(theirs)]))) {
        if (!samePage(pageOf(mine, slot), pageOf(theirs, slot))) {
          yield leaf * LEAF_PAGES + slot;
        }
      }
    }
  }

  /** Starts an edit, which makes a changed copy of this table. */
  edit(): PageTableEditor {
    return new PageTableEditor(this, this.#leaves);
  }
}

/** The table of a region of zeros. */
export const NO_PAGES = new PageTable(new Map(), 0);

/** Collects changes of a {@link PageTable}. Changes sorted by page number are the cheapest. */
export class PageTableEditor {
  readonly #base: PageTable;
  readonly #baseLeaves: ReadonlyMap<number, Leaf>;
  /** A copy of the leaves, made by the first change: many edits of a large table change nothing. */
  #leaves: Map<number, Leaf> | null = null;
  #stored: number;
  /** All pages of the leaf that is being edited; null if none is. */
  #open: (Page | null)[] | null = null;
  #openLeaf = -1;

  constructor(base: PageTable, baseLeaves: ReadonlyMap<number, Leaf>) {
    this.#base = base;
    this.#baseLeaves = baseLeaves;
    this.#stored = base.stored;
  }

  /** Replaces a page. Null is a page of zeros. */
  set(page: number, bytes: Page | null): void {
    const pages = this.#openAt(Math.floor(page / LEAF_PAGES));
    const slot = page % LEAF_PAGES;
    this.#stored += Number(bytes !== null) - Number(pages[slot] !== null);
    pages[slot] = bytes;
  }

  /** Ends the edit and returns the changed table, or the original if nothing was set. */
  finish(): PageTable {
    this.#close();
    return this.#leaves === null ? this.#base : new PageTable(this.#leaves, this.#stored);
  }

  #openAt(leaf: number): (Page | null)[] {
    if (this.#open === null || this.#openLeaf !== leaf) {
      this.#close();
      this.#leaves ??= new Map(this.#baseLeaves);
      this.#open = allPages(this.#leaves.get(leaf)).slice();
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

/** Makes a leaf of its pages, and takes ownership of the array; null if no page is stored. */
function makeLeaf(pages: readonly (Page | null)[]): Leaf | null {
  const slots: number[] = [];
  for (let slot = 0; slot < LEAF_PAGES; slot++) {
    if (pages[slot] !== null) {
      slots.push(slot);
      if (slots.length > MAX_SPARSE) {
        return { slots: ALL, pages };
      }
    }
  }
  return slots.length === 0 ? null : { slots, pages: slots.map((slot) => pages[slot]!) };
}

/** An element for each page of a leaf. It may be the array of the leaf. */
function allPages(leaf: Leaf | undefined): readonly (Page | null)[] {
  if (leaf?.slots === ALL) {
    return leaf.pages;
  }
  const pages = new Array<Page | null>(LEAF_PAGES).fill(null);
  leaf?.slots.forEach((slot, i) => (pages[slot] = leaf.pages[i]!));
  return pages;
}

/** A page of a leaf; null if it is all zero. */
function pageOf(leaf: Leaf | undefined, slot: number): Page | null {
  if (leaf === undefined) {
    return null;
  }
  const { slots, pages } = leaf;
  return pages[slots === ALL ? slot : slots.indexOf(slot)] ?? null;
}

/** The slots that a leaf stores, ascending; all slots of a dense leaf. */
function slotsIn(leaf: Leaf | undefined): readonly number[] {
  return leaf?.slots ?? [];
}

/** Whether two pages have the same bytes. Null is a page of zeros. */
export function samePage(a: Page | null, b: Page | null): boolean {
  return a === b || compareBytes(a ?? ZERO_PAGE, b ?? ZERO_PAGE) === 0;
}

function sorted(numbers: Iterable<number>): number[] {
  return [...numbers].sort((a, b) => a - b);
}
