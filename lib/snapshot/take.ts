import { typeError } from "../base/errors.js";
import { isInstance } from "../base/arguments.js";
import { takeMarks, rememberContents } from "./known-contents.js";
import { NO_HEAT } from "./page-heat.js";
import { PageStore } from "./page-store.js";
import { NO_PAGES, type Page, type PageTable, samePage } from "./page-table.js";
import { RamPages } from "./ram-pages.js";
import {
  type BackedRegion,
  isBacked,
  type LiveRegion,
  regionsOf,
  type SnapshotSubject,
} from "./subject.js";
import { checkSameLayout, type RegionLayout } from "./layout.js";
import { contentsOf, makeSnapshot, type RegionContents, Snapshot } from "./snapshot.js";

const NOTHING: Omit<RegionContents, "layout"> = { pages: NO_PAGES, heat: NO_HEAT };

/**
 * Takes a snapshot of RAM and ROM.
 *
 * Where the pages of a region are tracked, and the region's last snapshot (taken or restored) still
 * exists, only the pages written since are looked at. Otherwise all are compared: with `parent`, and
 * with zero. Either way the pages that did not change are shared. The bitmaps of tracked regions are
 * drained; one that somebody else drains too is of no use here, and all pages are compared.
 *
 * @param parent - An earlier snapshot of the same regions. The new one becomes the next of its chain,
 * and counts which pages differ from it.
 * @throws TypeError; Error `ERR_SNAPSHOT_MISMATCH` where `parent` is of other regions, and
 * `ERR_DESTROYED` where RAM is gone.
 */
export function takeSnapshot(subject: SnapshotSubject, parent?: Snapshot): Snapshot {
  if (parent !== undefined && !isInstance(parent, Snapshot)) {
    throw typeError("parent must be a Snapshot");
  }
  const regions = regionsOf(subject);
  const before = parent === undefined ? undefined : contentsOf(parent);
  const generation = parent === undefined ? 0 : parent.generation + 1;
  if (parent !== undefined) {
    checkSameLayout(parent.regions, regions, "the memory");
  }
  const ram = regions.map((region) =>
    isBacked(region) ? new RamPages(region.memory, region.name) : null,
  );
  const contents = regions.map((region, i): RegionContents => {
    const layout = layoutOf(region);
    if (!isBacked(region)) {
      return { layout, ...NOTHING };
    }
    const was = before?.[i];
    const pages = readRegion(region, ram[i]!, was?.pages ?? null);
    const heat = was?.heat.after(was.pages.changedPages(pages), generation) ?? NO_HEAT;
    return { layout, pages, heat };
  });
  return makeSnapshot(contents, generation);
}

function layoutOf({ kind, name, gpa, size }: LiveRegion): RegionLayout {
  return { kind, name, gpa, size };
}

function readRegion(region: BackedRegion, ram: RamPages, parent: PageTable | null): PageTable {
  const dirty = region.dirty ?? null;
  if (dirty === null) {
    const base = parent ?? NO_PAGES;
    return readPages(ram, base, ram.candidates(base), ram.count, parent);
  }
  const marks = takeMarks(dirty);
  const base = marks.base ?? parent ?? NO_PAGES;
  const pages =
    marks.base === null
      ? readPages(ram, base, ram.candidates(base), ram.count, parent)
      : readPages(ram, base, marks.pages, marks.pages.length, parent);
  rememberContents(dirty, pages);
  return pages;
}

/**
 * The contents of RAM that holds what `base` has, but maybe for the pages `written`.
 *
 * @param parent - A snapshot to share pages with where they went back to what it has.
 */
function readPages(
  ram: RamPages,
  base: PageTable,
  written: Iterable<number>,
  atMost: number,
  parent: PageTable | null,
): PageTable {
  const edit = base.edit();
  const store = new PageStore(atMost);
  let room: Page | null = null;
  for (const page of written) {
    const before = base.get(page);
    if (ram.holds(page, before)) {
      continue;
    }
    room ??= store.allocate();
    ram.read(page, room);
    const after = [null, parent?.get(page) ?? null].find((known) => samePage(room, known));
    edit.set(page, after === undefined ? room : after);
    if (after === undefined) {
      room = null;
    }
  }
  return edit.finish();
}
