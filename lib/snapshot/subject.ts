import { rangeError, typeError } from "../base/errors.js";
import { PAGE_SIZE } from "../base/page.js";
import { type GuestMemory, isGuestMemory } from "../memory/guest-memory.js";
import type { StatefulDevice } from "./stateful-device.js";
import {
  misplacedWindow,
  placeMemories,
  plainWindows,
  type RegionLayout,
  type SnapshotWindow,
} from "./layout.js";

/** A region of a live address space. */
export interface LiveRegion extends RegionLayout {
  /** The memory of a RAM or ROM region. */
  readonly memory?: GuestMemory;
  /** The device of a region of MMIO. Snapshots contain its state if it has `save` and `load`. */
  readonly device?: StatefulDevice;
  /**
   * Offset in bytes of the first byte of the region in its memory: a multiple of 8. A region with
   * neither `offset` nor `period` is a whole memory.
   */
  readonly offset?: bigint;
  /** Bytes of the memory in the region, after which they repeat; by default those of the region. */
  readonly period?: number;
  /** Where regions overlap, the one with the highest priority is visible; 0 by default. */
  readonly priority?: number;
  /** Makes the region show other bytes. Without it, the region always shows the same. */
  select?(offset: bigint, memory: GuestMemory): void;
}

/**
 * The subject of a snapshot: an address space, or a GuestMemory alone, which counts as one region
 * of RAM at guest physical address 0.
 */
export type SnapshotSubject = GuestMemory | { readonly regions: readonly LiveRegion[] };

/** A region with memory. */
export interface BackedRegion extends LiveRegion {
  readonly kind: "ram" | "rom";
  readonly memory: GuestMemory;
}

/** The layout of a subject, and the objects that it consists of. */
export interface Survey {
  /** As {@link Snapshot.regions}. */
  readonly regions: readonly RegionLayout[];
  /** The memory of each region; null for MMIO. */
  readonly memories: readonly (GuestMemory | null)[];
  readonly windows: readonly SnapshotWindow[];
  /** The live region of each window. */
  readonly live: readonly LiveRegion[];
}

/** The name of the region of a GuestMemory alone. */
const FLAT_NAME = "ram";

/**
 * Surveys a subject.
 *
 * @throws TypeError if `subject` is neither a GuestMemory nor an address space; RangeError if its
 * regions are not sorted, or overlap with equal priority.
 */
export function surveyOf(subject: SnapshotSubject): Survey {
  const live = regionsOf(subject);
  return isPlain(live) ? surveyPlain(live) : surveyWindows(live);
}

function regionsOf(subject: SnapshotSubject): readonly LiveRegion[] {
  if (isGuestMemory(subject)) {
    return [{ kind: "ram", name: FLAT_NAME, gpa: 0n, size: subject.size, memory: subject }];
  }
  const regions: unknown = subject?.regions;
  if (!Array.isArray(regions)) {
    throw typeError("a snapshot is taken of a GuestMemory or an AddressSpace");
  }
  for (const region of regions) {
    checkRegion(region as LiveRegion);
  }
  const live = regions as readonly LiveRegion[];
  if (misplacedWindow(live) >= 0) {
    throw rangeError("regions must be sorted by address, and overlap only with other priority");
  }
  return live;
}

/** Checks a region of a subject, which need not be an AddressSpace. */
function checkRegion(region: LiveRegion): void {
  const { kind, name, gpa, size, priority = 0 } = Object(region) as Partial<LiveRegion>;
  const isPlaced =
    typeof gpa === "bigint" &&
    typeof size === "bigint" &&
    typeof name === "string" &&
    Number.isSafeInteger(priority);
  const isBytes = isPlaced && (kind === "ram" || kind === "rom") && isPartOfMemory(region);
  if (!isPlaced || !(isBytes || kind === "mmio")) {
    throw typeError(
      "a region must have a kind, a name, a gpa, a size and, unless it is MMIO, memory that holds its bytes",
    );
  }
}

function isPartOfMemory({ size, memory, offset, period }: LiveRegion): boolean {
  if (!isGuestMemory(memory)) {
    return false;
  }
  if (offset === undefined && period === undefined) {
    return memory.size === size;
  }
  const isNumeric =
    (offset === undefined || typeof offset === "bigint") &&
    (period === undefined || Number.isSafeInteger(period));
  if (!isNumeric) {
    return false;
  }
  const [from, length] = [offset ?? 0n, BigInt(period ?? size)];
  return (
    from >= 0n &&
    from % 8n === 0n &&
    from + length <= memory.size &&
    (length === size || (length > 0n && size % length === 0n))
  );
}

/** Whether all regions are whole memories that lie apart, aligned to pages. */
function isPlain(regions: readonly LiveRegion[]): boolean {
  const memories = new Set<GuestMemory>();
  let end = 0n;
  return regions.every((region) => {
    const { gpa, size } = region;
    const isApart = gpa >= end;
    end = gpa + size;
    if (!isBacked(region)) {
      return isApart;
    }
    const { memory, period = size } = region;
    const isShown = memories.has(memory);
    memories.add(memory);
    // The mirrors of a part may be as long as the memory.
    const isWhole = memory.size === size && BigInt(period) === size;
    return isApart && !isShown && isWhole && gpa % BigInt(PAGE_SIZE) === 0n;
  });
}

function surveyPlain(live: readonly LiveRegion[]): Survey {
  const regions = live.map(({ kind, name, gpa, size }) => ({ kind, name, gpa, size }));
  const memories = live.map((region) => (isBacked(region) ? region.memory : null));
  return { regions, memories, windows: plainWindows(regions), live };
}

function surveyWindows(live: readonly LiveRegion[]): Survey {
  const indexes = new Map<GuestMemory, number>();
  const memories: GuestMemory[] = [];
  const owners: Omit<RegionLayout, "gpa">[] = [];
  const windows = live.map((region): SnapshotWindow => {
    const { kind, name, gpa, size, priority = 0 } = region;
    const layout = { kind, name, gpa, size, priority };
    if (!isBacked(region)) {
      return { ...layout, region: null, offset: 0n, period: 0n };
    }
    const { memory, offset = 0n, period = size } = region;
    const index = indexes.get(memory) ?? memories.length;
    if (index === memories.length) {
      indexes.set(memory, index);
      memories.push(memory);
      owners.push({ kind, name, size: memory.size });
    } else if (kind === "ram") {
      owners[index] = { ...owners[index]!, kind };
    }
    return { ...layout, region: index, offset, period: BigInt(period) };
  });
  return { regions: placeMemories(owners), memories, windows, live };
}

/** Whether a region has memory. */
function isBacked(region: LiveRegion): region is BackedRegion {
  return region.kind !== "mmio";
}
