import type { DirtyBitmap } from "../dirty-bitmap.js";
import type { PageTable } from "./page-table.js";

/** What RAM held when its bitmap was last drained, but for pages written since. */
interface Known {
  /** Weak: whoever drops a snapshot wants its memory back, not a quicker next snapshot. */
  readonly pages: WeakRef<PageTable>;
  readonly drains: number;
}

const knownOf = new WeakMap<DirtyBitmap, Known>();

/** What a drained bitmap tells. */
export interface Marks {
  /**
   * What RAM held when the bitmap was drained before; null where the marks are not all that was
   * written since then: at the first time, and after somebody else's drain.
   */
  readonly base: PageTable | null;
  /** The pages that were written since, ascending. */
  readonly pages: Uint32Array;
  /** Identifies the drain. */
  readonly drains: number;
}

/** Drains a bitmap, before the pages are read. */
export function takeMarks(dirty: DirtyBitmap): Marks {
  const known = knownOf.get(dirty);
  // Whatever goes wrong between here and rememberContents, the marks are lost.
  knownOf.delete(dirty);
  const pages = dirty.drain();
  const drains = dirty.drains;
  const base =
    known !== undefined && (known.drains + 1) >>> 0 === drains
      ? (known.pages.deref() ?? null)
      : null;
  return { base, pages, drains };
}

/** Notes that RAM held `pages` at one of its bitmap's drains, but for what is marked since. */
export function rememberContents(dirty: DirtyBitmap, pages: PageTable, drains: number): void {
  knownOf.set(dirty, { pages: new WeakRef(pages), drains });
}
