import { rangeError, typeError } from "../base/errors.js";
import { type GuestMemory, isGuestMemory } from "../memory/guest-memory.js";
import type { RegionLayout } from "./layout.js";

/** A region of a live address space. */
export interface LiveRegion extends RegionLayout {
  /** The memory of a RAM or ROM region. */
  readonly memory?: GuestMemory;
}

/**
 * The subject of a snapshot: an address space, or a GuestMemory alone, which counts as one region
 * of RAM at guest physical address 0.
 */
export type SnapshotSubject = GuestMemory | { readonly regions: readonly LiveRegion[] };

/** A region with memory, whose bytes a snapshot contains. */
export interface BackedRegion extends LiveRegion {
  readonly kind: "ram" | "rom";
  readonly memory: GuestMemory;
}

/** The name of the region of a GuestMemory alone. */
const FLAT_NAME = "ram";

/**
 * The regions of a subject, sorted by address.
 *
 * @throws TypeError if `subject` is neither a GuestMemory nor an address space; RangeError if its
 * regions are not sorted or overlap.
 */
export function regionsOf(subject: SnapshotSubject): readonly LiveRegion[] {
  if (isGuestMemory(subject)) {
    return [{ kind: "ram", name: FLAT_NAME, gpa: 0n, size: subject.size, memory: subject }];
  }
  const regions: unknown = subject?.regions;
  if (!Array.isArray(regions)) {
    throw typeError("a snapshot is taken of a GuestMemory or an AddressSpace");
  }
  regions.forEach(checkRegion);
  return regions as readonly LiveRegion[];
}

/** Checks a region of a subject, which need not be an AddressSpace. */
function checkRegion(region: LiveRegion, i: number, all: readonly LiveRegion[]): void {
  const { kind, name, gpa, size, memory } = Object(region) as Partial<LiveRegion>;
  const isMemory = isGuestMemory(memory) && memory.size === size;
  const isBytes = (kind === "ram" || kind === "rom") && isMemory;
  const isPlaced = typeof gpa === "bigint" && typeof size === "bigint" && typeof name === "string";
  if (!isPlaced || !(isBytes || kind === "mmio")) {
    throw typeError(
      "a region must have a kind, a name, a gpa, a size and, unless it is MMIO, memory of that size",
    );
  }
  const before = all[i - 1];
  if (before !== undefined && before.gpa + before.size > gpa) {
    throw rangeError("regions must be sorted by address, and not overlap");
  }
}

/** Whether a region has memory. */
export function isBacked(region: LiveRegion): region is BackedRegion {
  return region.kind !== "mmio";
}
