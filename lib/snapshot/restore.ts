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
 * Restores the RAM of the subject from a snapshot. Everything is checked before the first byte
 * changes. Pages that already have the right bytes are not written.
 *
 * In tracked RAM, each page that is written is marked, as by any other write. If RAM is tracked and
 * the last snapshot taken of it or restored to it still exists, only the pages that can differ are
 * compared. Restoring the same snapshot repeatedly is therefore cheap.
 *
 * @returns The number of pages written.
 * @throws TypeError; Error `ERR_SNAPSHOT_MISMATCH` if the regions differ from those of the snapshot
 * in kind, address or size, if a ROM has other bytes, or if the snapshot has different bytes for
 * two regions that map the same memory; Error `ERR_DESTROYED` if memory was destroyed or detached.
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

/** Checks that the snapshot has the same bytes for two regions that map the same memory. */
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
  const { dirty } = region.memory;
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
