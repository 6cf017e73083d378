import { mismatchError } from "./errors.js";
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
