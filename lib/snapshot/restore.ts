import { mismatchError } from "./errors.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import { rememberRestored, takeMarks } from "./known-contents.js";
import type { PageTable } from "./page-table.js";
import { RamPages } from "./ram-pages.js";
import { type BackedRegion, isBacked, regionsOf, type SnapshotSubject } from "./subject.js";
import { checkSameLayout, describeRegion } from "./layout.js";
import { contentsOf, type Snapshot } from "./snapshot.js";

interface Restoring {
  readonly region: BackedRegion;
  readonly ram: RamPages;
  readonly pages: PageTable;
}

/**
 * Makes RAM hold again what it held when the snapshot was taken. All is checked before the first
 * byte changes. Pages that hold the right bytes already are left alone.
 *
 * The pages that are written are marked where they are tracked, as by any other write. Where they are,
 * and the region's last snapshot still exists, only pages that can differ are looked at, so going back to
 * the same snapshot again and again is cheap.
 *
 * @returns How many pages were written.
 * @throws TypeError; Error `ERR_SNAPSHOT_MISMATCH` where the regions differ from the snapshot's in
 * kind, address or size, a ROM in its bytes, or where the snapshot has different bytes for two regions
 * over the same memory; Error `ERR_DESTROYED` where RAM is gone.
 */
export function restoreSnapshot(subject: SnapshotSubject, snapshot: Snapshot): number {
  const contents = contentsOf(snapshot);
  const regions = regionsOf(subject);
  checkSameLayout(snapshot.regions, regions, "the memory");
  const plan = regions.flatMap((region, i): Restoring[] => {
    const { pages } = contents[i]!;
    return isBacked(region)
      ? [{ region, ram: new RamPages(region.memory, region.name), pages }]
      : [];
  });
  const writable = new Map<GuestMemory, Restoring>();
  for (const restoring of plan.filter(({ region }) => region.kind === "ram")) {
    const { memory } = restoring.region;
    writable.set(memory, writable.get(memory) ?? restoring);
  }
  for (const restoring of plan) {
    const original = writable.get(restoring.region.memory);
    if (original === undefined) {
      checkRom(restoring);
    } else {
      checkMirror(restoring, original);
    }
  }
  let written = 0;
  for (const restoring of writable.values()) {
    written += restoreRegion(restoring);
  }
  return written;
}

/** Makes sure that two regions over the same memory are to hold the same. */
function checkMirror({ region, pages }: Restoring, original: Restoring): void {
  for (const page of pages.changedPages(original.pages)) {
    const [mirror, other] = [region, original.region].map(describeRegion);
    throw mismatchError(
      `${mirror} and ${other} are the same memory, and hold different bytes in the snapshot at page ${page}`,
    );
  }
}

function checkRom({ region, ram, pages }: Restoring): void {
  for (const page of ram.candidates(pages)) {
    if (!ram.holds(page, pages.get(page))) {
      throw mismatchError(`${describeRegion(region)} holds other bytes in the snapshot`);
    }
  }
}

function restoreRegion({ region, ram, pages }: Restoring): number {
  const dirty = region.dirty ?? null;
  if (dirty === null) {
    return writePages(ram, pages, ram.candidates(pages));
  }
  const { base, pages: marked } = takeMarks(dirty);
  const written =
    base === null
      ? writePages(ram, pages, ram.candidates(pages))
      : writePages(ram, pages, marked) + writePages(ram, pages, base.changedPages(pages));
  rememberRestored(dirty, pages);
  return written;
}

function writePages(ram: RamPages, pages: PageTable, candidates: Iterable<number>): number {
  let written = 0;
  for (const page of candidates) {
    const bytes = pages.get(page);
    if (!ram.holds(page, bytes)) {
      ram.write(page, bytes);
      written++;
    }
  }
  return written;
}
