import { mismatchError } from "./errors.js";
import { printable } from "../base/printable.js";

/** The kind of a region of guest physical addresses. */
export type RegionKind = "ram" | "rom" | "mmio";

/** The position of a region in guest physical memory, and its kind. */
export interface RegionLayout {
  readonly kind: RegionKind;
  /** A label for messages. Names need not be unique. */
  readonly name: string;
  /** Guest physical address of the first byte. */
  readonly gpa: bigint;
  /** Size in bytes. */
  readonly size: bigint;
}

/**
 * Checks that two lists of regions are equal, apart from the names.
 *
 * @throws Error `ERR_SNAPSHOT_MISMATCH`, which describes the first difference.
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

/** Describes a region in an error message. */
export function describeRegion(region: RegionLayout | undefined): string {
  if (region === undefined) {
    return "no further region";
  }
  const { kind, name, gpa, size } = region;
  return `${kind} "${printable(name)}" of ${size} bytes at gpa 0x${gpa.toString(16)}`;
}
