import { rangeError } from "../base/errors.js";
import { MAX_U64 } from "../base/gpa.js";
import { printable } from "../base/printable.js";
import type { Reach } from "./reach.js";
import type { Region } from "./regions.js";

const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER);

/** A range of guest physical addresses in which one region is visible. */
export class Segment {
  /** `gpa` as a number; Infinity if it exceeds 2^53 - 1. */
  readonly start: number;
  /** Bytes. */
  readonly length: number;
  /** Bytes from the start of the region to the start of the segment. */
  readonly offset: number;
  /** `start` as a signed 32-bit integer, which is exact if `near` is not 0. */
  readonly low: number;
  /** The bytes below 4 GiB, at most 2^31 - 1: an integer of 32 bits. */
  readonly near: number;
  // The reach of the last access of each kind, valid while the bus has this version.
  version = -1;
  readReach: Reach | null = null;
  writeReach: Reach | null = null;

  /**
   * @param gpa - The first address.
   * @param end - The address after the last one.
   */
  constructor(
    readonly region: Region,
    readonly gpa: bigint,
    readonly end: bigint,
  ) {
    this.start = gpa > MAX_SAFE ? Infinity : Number(gpa);
    this.length = Number(end - gpa);
    this.offset = Number(gpa - region.gpa);
    this.low = this.start | 0;
    this.near = Math.max(0, Math.min(this.length, 2 ** 32 - this.start, 2 ** 31 - 1));
  }
}

/**
 * The regions of an address space, and the segments in which they are visible: at each address the
 * mapped region with the highest priority. Regions of equal priority do not overlap.
 *
 * A change computes the segments of the changed range only. Most regions overlap no other; the few
 * that do are in a set of their own, which a change searches.
 */
export class RegionMap {
  /** All regions, sorted by address and then by priority. */
  readonly #regions: Region[] = [];
  /** Sorted by address, disjoint. */
  readonly #segments: Segment[] = [];
  /** The first address of each segment; Infinity if it exceeds 2^53 - 1. */
  readonly #starts: number[] = [];
  /** The regions that overlapped another when they were added, or were overlapped since. */
  readonly #layered = new Set<Region>();

  get regions(): readonly Region[] {
    return this.#regions;
  }

  get segments(): readonly Segment[] {
    return this.#segments;
  }

  has(region: Region): boolean {
    return this.#regions[this.#placeOf(region)] === region;
  }

  /**
   * Checks that a region can be added.
   *
   * @throws RangeError if it overlaps a region of the same priority.
   */
  checkAdd(region: Region): void {
    for (const other of this.#overlapping(region.gpa, region.gpa + region.size)) {
      if (other.priority === region.priority) {
        throw rangeError(
          `${printable(region.name)} overlaps ${printable(other.name)}, which has the same priority`,
        );
      }
    }
  }

  /** Adds a region that `checkAdd` has accepted. */
  add(region: Region): void {
    const [gpa, end] = [region.gpa, region.gpa + region.size];
    const below = this.#overlapping(gpa, end);
    this.#regions.splice(this.#placeOf(region), 0, region);
    if (below.length === 0) {
      this.#replace(this.#countFrom(gpa), 0, [new Segment(region, gpa, end)]);
      return;
    }
    this.#layered.add(region);
    below.forEach((other) => this.#layered.add(other));
    this.#paint(gpa, end, [...below, region]);
  }

  /** Removes a region, which must be in the map. */
  remove(region: Region): void {
    const [gpa, end] = [region.gpa, region.gpa + region.size];
    this.#regions.splice(this.#placeOf(region), 1);
    if (!this.#layered.delete(region)) {
      // It has one segment.
      this.#replace(this.#countFrom(gpa) - 1, 1, []);
      return;
    }
    this.#paint(
      gpa,
      end,
      this.#overlapping(gpa, end).filter((other) => other !== region),
    );
  }

  /** The segment that contains an address up to 2^53 - 1, or null. */
  near(address: number): Segment | null {
    const starts = this.#starts;
    let low = 0;
    let high = starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= address) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    const segment = this.#segments[low - 1];
    return segment !== undefined && address - segment.start < segment.length ? segment : null;
  }

  /** As `near`, for any address. */
  far(gpa: bigint): Segment | null {
    const segment = this.#segments[this.#countFrom(gpa) - 1];
    return segment !== undefined && gpa < segment.end ? segment : null;
  }

  /** The segments that touch a range of addresses, in order. */
  segmentsIn(gpa: bigint, end: bigint): Segment[] {
    const found: Segment[] = [];
    let i = this.#countFrom(gpa);
    if (i > 0 && this.#segments[i - 1]!.end > gpa) {
      i--;
    }
    for (; i < this.#segments.length && this.#segments[i]!.gpa < end; i++) {
      found.push(this.#segments[i]!);
    }
    return found;
  }

  /** The bytes from an unmapped address to the next segment, or to 2^64. */
  gapAt(gpa: bigint): number {
    return Number((this.#segments[this.#countFrom(gpa)]?.gpa ?? MAX_U64 + 1n) - gpa);
  }

  /** The number of segments that start at or below an address. */
  #countFrom(gpa: bigint): number {
    let low = 0;
    let high = this.#segments.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#segments[middle]!.gpa <= gpa) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** The index of a region in the sorted list, or the index to insert it at. */
  #placeOf(region: Region): number {
    let low = 0;
    let high = this.#regions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#regions[middle]!;
      const before =
        other.gpa === region.gpa ? other.priority < region.priority : other.gpa < region.gpa;
      if (before) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  /** All regions that overlap a range, visible there or not. */
  #overlapping(gpa: bigint, end: bigint): Region[] {
    const before = this.#segments[this.#countFrom(gpa) - 1];
    const after = this.#segments[this.#countFrom(gpa)];
    if (
      this.#layered.size === 0 &&
      (before === undefined || before.end <= gpa) &&
      (after === undefined || after.gpa >= end)
    ) {
      return [];
    }
    const found = new Set(this.segmentsIn(gpa, end).map(({ region }) => region));
    for (const region of this.#layered) {
      if (region.gpa < end && gpa < region.gpa + region.size) {
        found.add(region);
      }
    }
    return [...found];
  }

  /** Computes the segments of a range again, from the regions that overlap it. */
  #paint(gpa: bigint, end: bigint, regions: readonly Region[]): void {
    let first = this.#countFrom(gpa);
    if (first > 0 && this.#segments[first - 1]!.end > gpa) {
      first--;
    }
    let last = first;
    while (last < this.#segments.length && this.#segments[last]!.gpa < end) {
      last++;
    }
    const painted = visibleIn(gpa, end, regions);
    const before = this.#segments[first];
    const after = this.#segments[last - 1];
    // The parts of the old segments outside the range stay.
    if (before !== undefined && first < last && before.gpa < gpa) {
      painted.unshift(new Segment(before.region, before.gpa, gpa));
    }
    if (after !== undefined && first < last && after.end > end) {
      painted.push(new Segment(after.region, end, after.end));
    }
    const previous = this.#segments[first - 1];
    if (previous !== undefined && previous.end === painted[0]?.gpa) {
      painted.unshift(previous);
      first--;
    }
    const next = this.#segments[last];
    if (next !== undefined && painted.at(-1)?.end === next.gpa) {
      painted.push(next);
      last++;
    }
    this.#replace(first, last - first, merge(painted));
  }

  #replace(first: number, count: number, segments: readonly Segment[]): void {
    this.#segments.splice(first, count, ...segments);
    this.#starts.splice(first, count, ...segments.map(({ start }) => start));
  }
}

/** The segments of a range that several regions overlap. */
function visibleIn(gpa: bigint, end: bigint, regions: readonly Region[]): Segment[] {
  const edges = new Set([gpa, end]);
  for (const region of regions) {
    for (const edge of [region.gpa, region.gpa + region.size]) {
      if (edge > gpa && edge < end) {
        edges.add(edge);
      }
    }
  }
  const sorted = [...edges].sort((a, b) => (a < b ? -1 : 1));
  const segments: Segment[] = [];
  sorted.slice(1).forEach((to, i) => {
    const from = sorted[i]!;
    let visible: Region | null = null;
    for (const region of regions) {
      const covers = region.gpa <= from && region.gpa + region.size >= to;
      if (covers && (visible === null || region.priority > visible.priority)) {
        visible = region;
      }
    }
    if (visible !== null) {
      segments.push(new Segment(visible, from, to));
    }
  });
  return segments;
}

/** Joins adjacent segments of the same region. */
function merge(segments: readonly Segment[]): Segment[] {
  const merged: Segment[] = [];
  for (const segment of segments) {
    const last = merged.at(-1);
    if (last !== undefined && last.region === segment.region && last.end === segment.gpa) {
      merged[merged.length - 1] = new Segment(last.region, last.gpa, segment.end);
    } else {
      merged.push(segment);
    }
  }
  return merged;
}
