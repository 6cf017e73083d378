import type { DirtyBitmap, DirtyCursor } from "../memory/dirty-bitmap.js";
import type { PageTable } from "./page-table.js";

/** What is known of tracked memory since its last snapshot. */
interface Known {
  /** Takes marks without taking them from other consumers of the bitmap. */
  readonly cursor: DirtyCursor;
  /**
   * The contents of RAM when marks were last taken. A weak reference: a snapshot that the program
   * drops should be freed, even though the next snapshot then has to compare all pages.
   */
  pages: WeakRef<PageTable> | null;
}

const knownOf = new WeakMap<DirtyBitmap, Known>();

/** The marks of a bitmap. */
export interface Marks {
  /**
   * The contents of RAM when marks were taken before. Null if that never happened, and if `pages`
   * may be incomplete: after a drain by another thread, and if tracking stopped in between.
   */
  readonly base: PageTable | null;
  /** The pages written since then, ascending. */
  readonly pages: Uint32Array;
}

/** Takes the marks of a bitmap. Call it before reading the pages, so that no write is lost. */
export function takeMarks(dirty: DirtyBitmap): Marks {
  const known = knownOf.get(dirty) ?? { cursor: dirty.dirtyCursor(), pages: null };
  knownOf.set(dirty, known);
  const base = known.pages?.deref() ?? null;
  // If the caller fails before it calls rememberContents, the marks are lost, so `pages` is
  // invalid.
  known.pages = null;
  const pages = known.cursor.drain();
  return { base: known.cursor.complete ? base : null, pages };
}

/** Records the contents that RAM had when the marks were last taken. */
export function rememberContents(dirty: DirtyBitmap, pages: PageTable): void {
  knownOf.get(dirty)!.pages = new WeakRef(pages);
}

/** As `rememberContents`, after `pages` were restored to RAM, which marked the restored pages. */
export function rememberRestored(dirty: DirtyBitmap, pages: PageTable): void {
  // In a shared bitmap, the marks since takeMarks may also be those of another thread.
  if (!dirty.isShared) {
    knownOf.get(dirty)!.cursor.skip();
  }
  rememberContents(dirty, pages);
}
