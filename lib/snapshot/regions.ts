import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import { mismatchError, rangeError, typeError } from "../base/errors.js";
import { type GuestMemory, isGuestMemory } from "../memory/guest-memory.js";
import { printable } from "../base/printable.js";

/** What lies in a range of guest physical addresses. */
export type RegionKind = "ram" | "rom" | "mmio";

/** A range of guest physical addresses of one kind. */
export interface RegionLayout {
  readonly kind: RegionKind;
  /** A label, for people. */
  readonly name: string;
  /** Guest physical address of the first byte. */
  readonly gpa: bigint;
  /** Bytes. */
  readonly size: bigint;
}

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

/**
 * Makes sure that two lists of regions differ in names at most.
 *
 * @throws Error `ERR_SNAPSHOT_MISMATCH` that tells the first difference.
 */
export function checkSameLayout(
  expected: readonly RegionLayout[],
  actual: readonly RegionLayout[],
  what: string,
): void {
  const count = Math.max(expected.length, actual.length);
  for (let i = 0; i < count; i++) {
    const [there, here] = [expected[i], actual[i]];
    const same =
      there?.kind === here?.kind && there?.gpa === here?.gpa && there?.size === here?.size;
    if (!same) {
      throw mismatchError(
        `the snapshot has ${describeRegion(there)} where ${what} has ${describeRegion(here)}`,
      );
    }
  }
}

/** A region in a message. */
export function describeRegion(region: RegionLayout | undefined): string {
  if (region === undefined) {
    return "no further region";
  }
  const { kind, name, gpa, size } = region;
  return `${kind} "${printable(name)}" of ${size} bytes at gpa 0x${gpa.toString(16)}`;
}
