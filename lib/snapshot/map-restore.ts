import { PAGE_SIZE } from "../base/page.js";
import type { GuestMemory, MapOptions } from "../memory/guest-memory.js";
import { mismatchError } from "./errors.js";
import {
  checkSameWindows,
  describeRegion,
  type RegionLayout,
  type SnapshotWindow,
} from "./layout.js";
import type { ProgressOptions } from "./progress.js";
import { loadDevices, type MachineState, planLoads } from "./state.js";
import { type LiveRegion, type SnapshotSubject, surveyOf } from "./subject.js";

/** Bytes that are compared at once. */
const STEP = 256 * PAGE_SIZE;

/** A snapshot file. */
export interface MappedSource {
  readonly regions: readonly RegionLayout[];
  readonly windows: readonly SnapshotWindow[];
  mapMemory(region: number, options: MapOptions & ProgressOptions): Promise<GuestMemory>;
  readMemory(region: number): Promise<GuestMemory>;
  readState(): Promise<MachineState>;
}

/**
 * Makes the regions of a space show memories that map a snapshot file, and restores the devices.
 * Nothing changes before everything is checked, but for the checksums that are verified later.
 */
export async function restoreMapped(
  file: MappedSource,
  subject: SnapshotSubject,
  options: MapOptions & ProgressOptions,
): Promise<void> {
  const { regions, windows } = file;
  const before = checkWindows(windows, subject);
  const mapped = new Map<number, GuestMemory>();
  try {
    for (const [i, layout] of regions.entries()) {
      const live = before.find((_, window) => windows[window]!.region === i);
      if (layout.kind === "ram") {
        mapped.set(i, await file.mapMemory(i, options));
      } else if (layout.kind === "rom" && live !== undefined) {
        await checkRom(file, i, live);
      }
    }
    const state = await file.readState();
    // The space may have changed in the meantime.
    const live = checkWindows(windows, subject);
    const loads = planLoads(live, state);
    for (const [i, memory] of mapped) {
      const shown = live.find((_, window) => windows[window]!.region === i);
      if (shown?.memory?.tracking != null) {
        memory.startTracking("auto");
      }
    }
    windows.forEach(({ region, offset }, i) => {
      const memory = region === null ? undefined : mapped.get(region);
      if (memory !== undefined) {
        live[i]!.select!(offset, memory);
      }
    });
    loadDevices(loads);
  } catch (error) {
    const used = new Set(surveyOf(subject).memories);
    for (const memory of mapped.values()) {
      if (!used.has(memory)) {
        memory.destroy();
      }
    }
    throw error;
  }
}

/** The live regions, which must be those of the snapshot and able to show other memory. */
function checkWindows(
  windows: readonly SnapshotWindow[],
  subject: SnapshotSubject,
): readonly LiveRegion[] {
  const { live, windows: now } = surveyOf(subject);
  checkSameWindows(windows, now, "the memory");
  for (const region of live) {
    if (region.kind !== "mmio" && typeof region.select !== "function") {
      throw mismatchError(`${describeRegion(region)} cannot show other memory: it has no select`);
    }
  }
  return live;
}

async function checkRom(file: MappedSource, region: number, { memory }: LiveRegion): Promise<void> {
  const saved = await file.readMemory(region);
  const size = Number(saved.size);
  let isSame = memory!.size === saved.size;
  for (let at = 0; isSame && at < size; at += STEP) {
    isSame = memory!.compare(at, saved.read(at, Math.min(STEP, size - at))) === 0;
  }
  saved.destroy();
  if (!isSame) {
    throw mismatchError(
      `${describeRegion(file.regions[region])} holds other bytes in the snapshot`,
    );
  }
}
