import { mismatchError } from "./errors.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import { rememberRestored, takeMarks } from "./known-contents.js";
import type { PageTable } from "./page-table.js";
import { RamPages } from "./ram-pages.js";
import { loadDevices, NO_STATE, planLoads } from "./state.js";
import { type LiveRegion, type SnapshotSubject, surveyOf } from "./subject.js";
import {
  checkSameWindows,
  describeRegion,
  type RegionLayout,
  type SnapshotWindow,
} from "./layout.js";
import { contentsOf, type Origin, type Snapshot } from "./snapshot.js";

/** The bytes of a region of the snapshot, and the memory that they are for. */
interface Restoring {
  readonly layout: RegionLayout;
  readonly memory: GuestMemory;
  readonly ram: RamPages;
  readonly pages: PageTable;
}

/** A live region that shows other bytes than in the snapshot. */
interface Switch {
  readonly region: LiveRegion;
  readonly offset: bigint;
  readonly memory: GuestMemory;
}

/**
 * Restores the RAM of the subject from a snapshot, and the bytes that each region shows. Everything
 * is checked before the first byte changes. Pages that already have the right bytes are not
 * written.
 *
 * A region that the snapshot was taken of gets back the memory that it showed then, even if it
 * shows another one now. For other regions (those of another space, or of a snapshot from a file),
 * the memory is the one that the region shows now; the regions that showed one memory in the
 * snapshot must show one memory.
 *
 * In tracked RAM, each page that is written is marked, as by any other write. If RAM is tracked and
 * the last snapshot taken of it or restored to it still exists, only the pages that can differ are
 * compared. Restoring the same snapshot repeatedly is therefore cheap.
 *
 * Afterwards, `load` of each device is called with the state that its `save` returned. If one
 * throws, memory and the devices before it are restored, and the others are not.
 *
 * @returns The number of pages written.
 * @throws TypeError; Error `ERR_SNAPSHOT_MISMATCH` if the regions differ from those of the snapshot
 * in kind, address, size, mirrors or priority, if a memory of the snapshot is not there any more or
 * has another size, if a ROM has other bytes, if other devices have state, or if the snapshot has
 * different bytes for two regions that map the same memory; Error `ERR_DESTROYED` if memory was
 * destroyed or detached; what `load` of a device throws.
 */
export function restoreSnapshot(subject: SnapshotSubject, snapshot: Snapshot): number {
  const { regions, windows, origins, state = NO_STATE } = contentsOf(snapshot);
  const { live, windows: now } = surveyOf(subject);
  checkSameWindows(windows, now, "the memory");
  const plan = new Map<number, Restoring>();
  const writable = new Map<GuestMemory, Restoring>();
  const switches: Switch[] = [];
  windows.forEach((window, i) => {
    if (window.region === null) {
      return;
    }
    const { layout, pages } = regions[window.region]!;
    const region = live[i]!;
    const memory = memoryOf(window, region, origins?.[i] ?? null);
    const known = plan.get(window.region);
    checkMemory(layout, memory, known?.memory ?? memory);
    const ram = known?.ram ?? new RamPages(memory, window.name);
    const restoring = known ?? { layout, memory, ram, pages };
    plan.set(window.region, restoring);
    if (window.kind === "ram" && !writable.has(memory)) {
      writable.set(memory, restoring);
    }
    const { offset } = window;
    if (region.memory !== memory || (region.offset ?? 0n) !== offset) {
      switches.push(checkSwitch({ region, offset, memory }));
    }
  });
  for (const restoring of plan.values()) {
    const original = writable.get(restoring.memory);
    if (original === undefined) {
      checkRom(restoring);
    } else {
      checkMirror(restoring, original);
    }
  }
  const loads = planLoads(live, state);
  let written = 0;
  for (const restoring of writable.values()) {
    written += restoreRegion(restoring);
  }
  for (const { region, offset, memory } of switches) {
    region.select!(offset, memory);
  }
  loadDevices(loads);
  return written;
}

/** Restores the state of the devices only, after memory was restored by other means. */
export function restoreDevices(subject: SnapshotSubject, snapshot: Snapshot): void {
  loadDevices(planLoads(surveyOf(subject).live, contentsOf(snapshot).state ?? NO_STATE));
}

/** The memory that a region showed in the snapshot. */
function memoryOf(window: SnapshotWindow, region: LiveRegion, origin: Origin | null): GuestMemory {
  if (origin === null || origin.region.deref() !== region) {
    return region.memory!;
  }
  const memory = origin.memory.deref();
  if (memory === undefined) {
    throw mismatchError(`the memory that ${describeRegion(window)} showed is not there any more`);
  }
  return memory;
}

/**
 * Checks the memory for a region of the snapshot.
 *
 * @param other - The memory of the same region of the snapshot in another window.
 */
function checkMemory(layout: RegionLayout, memory: GuestMemory, other: GuestMemory): void {
  if (memory.size !== layout.size) {
    throw mismatchError(
      `the snapshot has ${describeRegion(layout)} where the memory has ${memory.size} bytes`,
    );
  }
  if (memory !== other) {
    throw mismatchError(
      `the regions that show ${describeRegion(layout)} in the snapshot show several memories now`,
    );
  }
}

function checkSwitch(change: Switch): Switch {
  if (typeof change.region.select !== "function") {
    throw mismatchError(
      `${describeRegion(change.region)} shows other bytes than in the snapshot, and has no select`,
    );
  }
  return change;
}

/** Checks that the snapshot has the same bytes for two regions that map the same memory. */
function checkMirror({ layout, pages }: Restoring, original: Restoring): void {
  for (const page of pages.changedPages(original.pages)) {
    const [mirror, other] = [layout, original.layout].map(describeRegion);
    throw mismatchError(
      `${mirror} and ${other} are the same memory, and hold different bytes in the snapshot at page ${page}`,
    );
  }
}

function checkRom({ layout, ram, pages }: Restoring): void {
  for (const page of ram.candidates(pages)) {
    if (!ram.holds(page, pages.get(page))) {
      throw mismatchError(`${describeRegion(layout)} holds other bytes in the snapshot`);
    }
  }
}

function restoreRegion({ memory, ram, pages }: Restoring): number {
  const { dirty } = memory;
  if (dirty === null) {
    return writePages(ram, pages, ram.candidates(pages));
  }
  const { base, pages: marked } = takeMarks(memory, dirty);
  const written =
    base === null
      ? writePages(ram, pages, ram.candidates(pages))
      : writePages(ram, pages, marked) + writePages(ram, pages, base.changedPages(pages));
  rememberRestored(memory, pages);
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
