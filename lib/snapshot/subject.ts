import { rangeError, typeError } from "../base/errors.js";
import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { type GuestMemory, isGuestMemory } from "../memory/guest-memory.js";
import type { RegionLayout } from "./layout.js";

/** A region as it lives in an address space. */
export interface LiveRegion extends RegionLayout {
  /** The bytes of RAM and ROM. */
  readonly memory?: GuestMemory;
  /** Which pages were written, where that is tracked. */
  readonly dirty?: DirtyBitmap | null;
}

/** What snapshots are taken of: RAM alone, at guest physical address 0, or an address space. */
export type SnapshotSubject = GuestMemory | { readonly regions: readonly LiveRegion[] };

/** A region whose bytes a snapshot holds. */
export interface BackedRegion extends LiveRegion {
  readonly kind: "ram" | "rom";
  readonly memory: GuestMemory;
}

/** The name of the only region of RAM that is in no address space. */
const FLAT_NAME = "ram";

/**
 * The regions to take a snapshot of, sorted by address.
 *
 * @throws TypeError where `subject` is neither RAM nor an address space; RangeError where its regions
 * are not sorted.
 */
export function regionsOf(subject: SnapshotSubject): readonly LiveRegion[] {
  if (isGuestMemory(subject)) {
    return [
      { kind: "ram", name: FLAT_NAME, gpa: 0n, size: subject.size, memory: subject, dirty: null },
    ];
  }
  const regions: unknown = subject?.regions;
  if (!Array.isArray(regions)) {
    throw typeError("a snapshot is taken of a GuestMemory or an AddressSpace");
  }
  regions.forEach(checkRegion);
  return regions as readonly LiveRegion[];
}

/** Makes sure of what anything but an AddressSpace may get wrong. */
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

/** Whether a snapshot holds the bytes of a region. */
export function isBacked(region: LiveRegion): region is BackedRegion {
  return region.kind !== "mmio";
}
