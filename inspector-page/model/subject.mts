import type { FileInfo, SnapshotInfo } from "../../lib/inspector/protocol.js";
import { addressDigits, hasBytes, type Region, toRegion } from "./addresses.mjs";

/** What the page is about: one snapshot, or two snapshots that it compares. It never changes. */
export interface Subject {
  /** The snapshot, called A in a comparison, and B if there are two. */
  readonly files: readonly FileInfo[];
  readonly regions: readonly Region[];
  /** Hexadecimal digits in a column of addresses. */
  readonly digits: number;
  /** Whether there are two snapshots. */
  readonly compares: boolean;
  /** The first snapshot's generation: the number of snapshots before it in its chain. */
  readonly generation: number;
}

/** Converts the server's description of the snapshots. */
export function toSubject(info: SnapshotInfo): Subject {
  const { files } = info;
  const regions = info.regions.map(toRegion);
  return {
    files,
    regions,
    digits: addressDigits(regions),
    compares: files.length === 2,
    generation: files[0]!.generation,
  };
}

/** Names the sides of a comparison. The side of a snapshot alone has an empty name. */
export function sideNames({ compares }: Subject): readonly string[] {
  return compares ? ["A", "B"] : [""];
}

/**
 * Finds the region that the page opens at: the first that is not all zero.
 *
 * @throws Error if no region has bytes.
 */
export function firstRegion({ regions }: Subject): Region {
  const shown = regions.filter(hasBytes);
  const first = shown.find(({ storedPages }) => storedPages > 0) ?? shown[0];
  if (first === undefined) {
    throw new Error("the snapshot has no RAM and no ROM");
  }
  return first;
}
