import type {
  FileInfo,
  MachineInfo,
  MomentInfo,
  SnapshotInfo,
} from "../../lib/inspector/protocol.js";
import { addressDigits, hasBytes, type Region, toRegion } from "./addresses.mjs";

/** What the page is about: one snapshot, two that it compares, or a running machine. */
export interface Subject {
  /**
   * The snapshot, called A in a comparison, and B if there are two. Of a running machine: now, and
   * the snapshot to compare with.
   */
  files: readonly FileInfo[];
  readonly regions: readonly Region[];
  /** Hexadecimal digits in a column of addresses. */
  readonly digits: number;
  /** Whether there are two snapshots. */
  compares: boolean;
  /** The first snapshot's generation: the number of snapshots before it in its chain. */
  readonly generation: number;
  /** Whether it is a running machine. */
  readonly isLive: boolean;
  /** Null if the page cannot control the machine. */
  readonly machine: MachineInfo | null;
}

/** Converts the server's description. */
export function toSubject(info: SnapshotInfo): Subject {
  const { files, live } = info;
  const regions = info.regions.map(toRegion);
  return {
    files,
    regions,
    digits: addressDigits(regions),
    compares: files.length === 2,
    generation: files[0]!.generation,
    isLive: live !== null,
    machine: live?.machine ?? null,
  };
}

/** Compares a running machine with one of its snapshots, or with none. */
export function compareWith(subject: Subject, moment: MomentInfo | null): void {
  const now = subject.files[0]!;
  subject.compares = moment !== null;
  subject.files = moment === null ? [now] : [now, { ...now, name: nameOf(moment) }];
}

/** Names a snapshot of a running machine. */
export function nameOf({ number, seconds }: MomentInfo): string {
  return `#${number} at ${seconds.toFixed(1)} s`;
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
export function firstRegion({ regions, isLive }: Subject): Region {
  const shown = regions.filter(hasBytes);
  const first = isLive
    ? shown.find(({ kind }) => kind === "ram")
    : shown.find(({ storedPages }) => storedPages > 0);
  const region = first ?? shown[0];
  if (region === undefined) {
    throw new Error("there is no RAM and no ROM");
  }
  return region;
}
