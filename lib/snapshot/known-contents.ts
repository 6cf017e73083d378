import type { DirtyBitmap, DirtyCursor } from "../memory/dirty-bitmap.js";
import type { PageTable } from "./page-table.js";

/** What snapshots know of memory whose pages are tracked. */
interface Known {
  /** Takes marks without taking them from anybody else. */
  readonly cursor: DirtyCursor;
  /**
   * What RAM held when marks were last taken, but for pages written since. Weak: whoever drops a
   * snapshot wants its memory back, not a quicker next snapshot.
   */
  pages: WeakRef<PageTable> | null;
}

const knownOf = new WeakMap<DirtyBitmap, Known>();

/** The marks of a bitmap. */
export interface Marks {
  /**
   * What RAM held when marks were taken before; null where the marks are not all that was written
   * since then: at the first time, and after a drain by another thread.
   */
  readonly base: PageTable | null;
  /** The pages that were written since, ascending. */
  readonly pages: Uint32Array;
}

/** Takes the marks of a bitmap, before the pages are read. */
export function takeMarks(dirty: DirtyBitmap): Marks {
  const known = knownOf.get(dirty) ?? { cursor: dirty.dirtyCursor(), pages: null };
  knownOf.set(dirty, known);
  const base = known.pages?.deref() ?? null;
  // Whatever goes wrong between here and rememberContents, the marks are lost.
  known.pages = null;
  const { pages, whole } = known.cursor.take();
  return { base: whole ? base : null, pages };
}

/** Notes that RAM held `pages` when the marks were last taken, but for what is marked since. */
export function rememberContents(dirty: DirtyBitmap, pages: PageTable): void {
  knownOf.get(dirty)!.pages = new WeakRef(pages);
}

/** As `rememberContents`, when RAM has just been made to hold `pages`, and this has marked pages. */
export function rememberRestored(dirty: DirtyBitmap, pages: PageTable): void {
  // Marks of other threads cannot be told from those of this one.
  if (!dirty.isShared) {
    knownOf.get(dirty)!.cursor.skip();
  }
  rememberContents(dirty, pages);
}
