import type { DirtyBitmap, DirtyCursor } from "../memory/dirty-bitmap.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import type { PageTable } from "./page-table.js";

/** What is known of tracked memory since its last snapshot. */
interface Known {
  readonly dirty: DirtyBitmap;
  /** Takes marks without taking them from other consumers of the bitmap. */
  readonly cursor: DirtyCursor;
  /**
   * The contents of RAM when marks were last taken. A weak reference: a snapshot that the program
   * drops should be freed, even though the next snapshot then has to compare all pages.
   */
  pages: WeakRef<PageTable> | null;
}

// By memory and not by bitmap: several memories of one size may have the same bitmap.
const knownOf = new WeakMap<GuestMemory, Known>();

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

/**
 * Takes the marks of a memory from its bitmap. Call it before reading the pages, so that no write
 * is lost.
 */
export function takeMarks(memory: GuestMemory, dirty: DirtyBitmap): Marks {
  let known = knownOf.get(memory);
  if (known?.dirty !== dirty) {
    known = { dirty, cursor: dirty.dirtyCursor(), pages: null };
    knownOf.set(memory, known);
  }
  const base = known.pages?.deref() ?? null;
  // If the caller fails before it calls rememberContents, the marks are lost, so `pages` is
  // invalid.
  known.pages = null;
  const pages = known.cursor.drain();
  return { base: known.cursor.complete ? base : null, pages };
}

/** Records the contents that RAM had when the marks were last taken. */
export function rememberContents(memory: GuestMemory, pages: PageTable): void {
  knownOf.get(memory)!.pages = new WeakRef(pages);
}

/** As `rememberContents`, after `pages` were restored to RAM, which marked the restored pages. */
export function rememberRestored(memory: GuestMemory, pages: PageTable): void {
  const { cursor, dirty } = knownOf.get(memory)!;
  // The marks since takeMarks may also be those of writers on other threads, if the bitmap is
  // shared or the operating system tracks the memory.
  if (!dirty.isShared && memory.tracking !== "os") {
    cursor.skip();
  }
  rememberContents(memory, pages);
}
