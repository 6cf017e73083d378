import { mismatchError } from "./errors.js";
import { printable } from "../base/printable.js";
import { PAGE_SIZE } from "../base/page.js";
import { MAX_U64 } from "../base/gpa.js";

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

/** A region of the address space of a snapshot: the bytes that it showed, and its priority. */
export interface SnapshotWindow extends RegionLayout {
  /** The index in `regions` of the bytes that the window showed; null for MMIO. */
  readonly region: number | null;
  /** Offset in bytes of the first byte of the window in these bytes. */
  readonly offset: bigint;
  /** Bytes of the window, after which they repeat; 0 for MMIO. */
  readonly period: bigint;
  /** Where windows overlap, the one with the highest priority is visible. */
  readonly priority: number;
}

/** The regions and the windows of a snapshot. */
export interface SnapshotLayout {
  readonly regions: readonly RegionLayout[];
  readonly windows: readonly SnapshotWindow[];
}

/** The windows of a map in which each region shows all its bytes once. */
export function plainWindows(regions: readonly RegionLayout[]): SnapshotWindow[] {
  return regions.map((region, i) => {
    const { kind, name, gpa, size } = region;
    const isBacked = kind !== "mmio";
    return {
      ...{ kind, name, gpa, size, priority: 0, offset: 0n },
      region: isBacked ? i : null,
      period: isBacked ? size : 0n,
    };
  });
}

/**
 * Places whole memories above all guest physical addresses, from 2^64 on, one after the other and
 * aligned to pages, so that each byte has an address even if no window shows it.
 */
export function placeMemories(memories: readonly Omit<RegionLayout, "gpa">[]): RegionLayout[] {
  let gpa = MAX_U64 + 1n;
  return memories.map(({ kind, name, size }) => {
    const placed = { kind, name, gpa, size };
    const pageSize = BigInt(PAGE_SIZE);
    gpa += ((size + pageSize - 1n) / pageSize) * pageSize;
    return placed;
  });
}

/**
 * Whether the regions of a snapshot are whole memories above all guest physical addresses. If not,
 * they are the regions of the space.
 */
export function areMemories({ regions, windows }: SnapshotLayout): boolean {
  return regions.length !== windows.length || regions.some(({ gpa }) => gpa > MAX_U64);
}

/**
 * The index of the first window that breaks the order: windows are sorted by address, and those
 * that overlap have different priorities. -1 if none does.
 */
export function misplacedWindow(
  windows: readonly (Pick<RegionLayout, "gpa" | "size"> & { readonly priority?: number })[],
): number {
  const ends = new Map<number, bigint>();
  let last = 0n;
  return windows.findIndex(({ gpa, size, priority = 0 }) => {
    const misplaced = gpa < last || gpa < (ends.get(priority) ?? 0n);
    last = gpa;
    ends.set(priority, gpa + size);
    return misplaced;
  });
}

/**
 * Checks that two maps have equal windows. Names may differ, and so may the bytes that the windows
 * show, since banks switch them.
 *
 * @throws Error `ERR_SNAPSHOT_MISMATCH`, which describes the first difference.
 */
export function checkSameWindows(
  expected: readonly SnapshotWindow[],
  actual: readonly SnapshotWindow[],
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
    if (there!.period !== here!.period) {
      throw mismatchError(
        `${describeRegion(there)} repeats after ${there!.period} bytes in the snapshot, and after ${here!.period} in ${what}`,
      );
    }
    if (there!.priority !== here!.priority) {
      throw mismatchError(
        `${describeRegion(there)} has priority ${there!.priority} in the snapshot, and ${here!.priority} in ${what}`,
      );
    }
  }
}

/**
 * Checks that two snapshots have equal windows, over regions of equal sizes.
 *
 * @throws Error `ERR_SNAPSHOT_MISMATCH`, which describes the first difference.
 */
export function checkSameLayout(expected: SnapshotLayout, actual: SnapshotLayout): void {
  const what = "the other snapshot";
  checkSameWindows(expected.windows, actual.windows, what);
  const count = Math.max(expected.regions.length, actual.regions.length);
  for (let i = 0; i < count; i++) {
    const [there, here] = [expected.regions[i], actual.regions[i]];
    if (there?.kind !== here?.kind || there?.gpa !== here?.gpa || there?.size !== here?.size) {
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
  const what = `${kind} "${printable(name)}" of ${size} bytes`;
  return gpa > MAX_U64 ? `the memory of ${what}` : `${what} at gpa 0x${gpa.toString(16)}`;
}

/** Adjacent bytes of a region, and their address. */
export interface Piece {
  /** Offset in the region. */
  readonly start: number;
  readonly length: number;
  /** The address of the first of the bytes. */
  readonly gpa: bigint;
  /** The window that shows the bytes; null if none does. */
  readonly window: SnapshotWindow | null;
}

/**
 * Divides each region into pieces, ascending and without gaps, by the address of their bytes: that
 * in the first window that shows them, or that in the region if no window does.
 */
export function piecesOf(layout: SnapshotLayout): Piece[][] {
  const { regions, windows } = layout;
  if (!areMemories(layout)) {
    return regions.map(({ gpa, size }, i) => [
      { start: 0, length: Number(size), gpa, window: windows[i]! },
    ]);
  }
  const shown: Piece[][] = regions.map(() => []);
  for (const { window, from, to } of visibleParts(windows)) {
    const { region, gpa, offset, period } = window;
    if (region === null) {
      continue;
    }
    // The part of one copy, and the next copy, show all bytes that the mirrors show.
    const first = (from - gpa) / period;
    const last = (to - 1n - gpa) / period;
    for (let copy = first; copy <= last && copy <= first + 1n; copy++) {
      const base = gpa + copy * period;
      const start = from > base ? from : base;
      const end = to < base + period ? to : base + period;
      shown[region]!.push({
        start: Number(offset + start - base),
        length: Number(end - start),
        gpa: start,
        window,
      });
    }
  }
  return shown.map((pieces, i) => partition(regions[i]!, pieces));
}

/** A part of a window that no other window covers. */
export interface VisiblePart {
  readonly window: SnapshotWindow;
  readonly from: bigint;
  readonly to: bigint;
}

/** The visible parts of windows, by ascending address. */
export function visibleParts(windows: readonly SnapshotWindow[]): VisiblePart[] {
  const spans = windows.map((window) => {
    const { gpa, size, priority } = window;
    return { window, from: gpa, to: gpa + size, rank: priority };
  });
  return topmost(spans).map(({ span, from, to }) => ({ window: span.window, from, to }));
}

/** Divides a region into pieces with an address, of which the earlier ones win, and the rest. */
function partition({ gpa, size }: RegionLayout, shown: readonly Piece[]): Piece[] {
  const hidden: Piece = { start: 0, length: Number(size), gpa, window: null };
  const spans = [...shown, hidden].map((piece, i) => {
    return { piece, from: BigInt(piece.start), to: BigInt(piece.start + piece.length), rank: -i };
  });
  spans.sort((a, b) => (a.from < b.from ? -1 : Number(a.from > b.from)));
  const pieces: Piece[] = [];
  for (const { span, from, to } of topmost(spans)) {
    const address = span.piece.gpa + from - span.from;
    const length = Number(to - from);
    const { window } = span.piece;
    const before = pieces.at(-1);
    if (before?.window === window && before.gpa + BigInt(before.length) === address) {
      pieces[pieces.length - 1] = { ...before, length: before.length + length };
    } else {
      pieces.push({ start: Number(from), length, gpa: address, window });
    }
  }
  return pieces;
}

interface Span {
  readonly from: bigint;
  readonly to: bigint;
  readonly rank: number;
}

/**
 * The parts of spans that no span of higher rank covers, in order. Takes little more than linear
 * time, since the windows of a file may be hostile.
 *
 * @param spans - Sorted by `from`.
 */
function topmost<T extends Span>(
  spans: readonly T[],
): { readonly span: T; readonly from: bigint; readonly to: bigint }[] {
  const edges = [...new Set(spans.flatMap(({ from, to }) => [from, to]))];
  edges.sort((a, b) => (a < b ? -1 : Number(a > b)));
  const parts: { span: T; from: bigint; to: bigint }[] = [];
  /** The spans that have started, by rank. One that has ended goes when it is the last. */
  const open: T[] = [];
  let next = 0;
  for (const [i, from] of edges.entries()) {
    for (; next < spans.length && spans[next]!.from === from; next++) {
      open.splice(rankIn(open, spans[next]!.rank), 0, spans[next]!);
    }
    while (open.length > 0 && open.at(-1)!.to <= from) {
      open.pop();
    }
    const span = open.at(-1);
    const to = edges[i + 1];
    const last = parts.at(-1);
    if (span === undefined || to === undefined) {
      continue;
    }
    if (last?.span === span) {
      last.to = to;
    } else {
      parts.push({ span, from, to });
    }
  }
  return parts;
}

/** The index at which a span goes into a list sorted by rank. */
function rankIn(spans: readonly Span[], rank: number): number {
  let [low, high] = [0, spans.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (spans[middle]!.rank <= rank) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
