import type { Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { inPageOf, PAGE_SIZE, pageAt } from "../base/page.js";
import { WINDOW_SIZE } from "../memory/windows.js";
import { hasAddon } from "../native/addon.js";
import type { Backed } from "./backed.js";
import type { RegionLookup } from "./lookup.js";
import type { PageHome } from "./page-home.js";
import type { SpacePolicy } from "./policy.js";
import type { Reach } from "./reach.js";
import type { Segment } from "./region-map.js";
import type { RegisterCall } from "./register-call.js";
import type { MmioRegion } from "./regions.js";
import type { WatchTable } from "./watch-table.js";
import type { WatchedMemory } from "./watched-memory.js";
import type { Watchpoint } from "./watchpoint.js";

/**
 * Registers of a device below 4 GiB, for accesses of one kind and width: either in pages without
 * watchpoints, or in one page that has some.
 */
export interface Registers extends RegisterCall {
  /** Guest physical address of the first byte, as a signed 32-bit integer. */
  readonly low: number;
  /** The number of addresses at which an access may start, less than 2^31. */
  readonly starts: number;
  /** Bytes from the start of the region to the first byte. `offset + starts` is less than 2^31. */
  readonly offset: number;
  readonly region: MmioRegion;
  /** The watchpoints of the page; null if there are none. */
  readonly watchpoints: readonly Watchpoint[] | null;
}

/** Finds the bytes around an address which accesses of one kind reach without a further check. */
export class Reaches {
  /** Incremented when the reach of accesses changes. */
  #version = 0;

  constructor(
    private readonly lookup: RegionLookup,
    private readonly watches: WatchTable,
    private readonly policy: SpacePolicy,
    private readonly watched: WatchedMemory,
    private readonly home: PageHome,
  ) {}

  /** Invalidates all reaches. */
  clear(): void {
    this.#version++;
    this.watched.clear();
  }

  /**
   * The reach of accesses of a kind around the address that `find` has just looked up. It is null
   * if the page is watched, if the address exceeds 2^53 - 1, or if the memory has ended. Also opens
   * the page table for the pages around the address, if their bytes lie in the home buffer.
   *
   * @param region - The return value of `find`, whose access right the caller has checked.
   */
  of(region: Backed, kind: Operation): Reach | null {
    const segment = this.lookup.hit!;
    const { address } = this.lookup;
    if (this.watches.active && this.watches.index(kind).covers(pageAt(address))) {
      const { memory, internals } = region;
      const reach = this.#find(segment, region, kind, address, true);
      const native = this.policy.accessOf(hasAddon, memory);
      this.watched.cache(kind, reach && { reach, region, memory, internals, native });
      return null;
    }
    const cached = kind === "read" ? segment.readReach : segment.writeReach;
    if (cached !== null && segment.version === this.#version && cached.bytes.length > 0) {
      if (address >= cached.base && address - cached.base < cached.length) {
        this.home.open(kind, address, cached, region.internals.marks);
        return cached;
      }
    }
    const reach = this.#find(segment, region, kind, address, false);
    if (segment.version !== this.#version) {
      segment.readReach = null;
      segment.writeReach = null;
      segment.version = this.#version;
    }
    if (kind === "read") {
      segment.readReach = reach;
    } else {
      segment.writeReach = reach;
    }
    if (reach !== null) {
      this.home.open(kind, address, reach, region.internals.marks);
    }
    return reach;
  }

  /**
   * Opens the page table for instruction fetches of native cores around the address that `find` has
   * just looked up.
   *
   * @param region - The return value of `find`, whose access right the caller has checked.
   */
  openFetches(region: Backed): void {
    const { address, hit } = this.lookup;
    const reach = this.#find(hit!, region, "read", address, false);
    if (reach !== null) {
      this.home.open("fetch", address, reach, region.internals.marks);
    }
  }

  /**
   * The registers around the address that `find` has just looked up, in a device; null if there is
   * no handler, or if they lie above 4 GiB or too far from the start of the device.
   *
   * @param log2 - The binary logarithm of the width.
   */
  registers(region: MmioRegion, kind: Operation, log2: number): Registers | null {
    const call = (kind === "read" ? region.reads : region.writes)[log2]!;
    const { address, hit } = this.lookup;
    const { start, near, offset } = hit!;
    // Infinity minus Infinity is not a number.
    if (call === null || !(address - start < near)) {
      return null;
    }
    const page = pageAt(address);
    const watchpoints = this.watches.atPage(page, kind);
    const [low, high] =
      watchpoints === null
        ? this.#withoutWatches(kind, address, start, start + near)
        : [Math.max(start, page * PAGE_SIZE), Math.min(start + near, (page + 1) * PAGE_SIZE)];
    const first = offset + (low - start);
    if (first + (high - low) >= 2 ** 31) {
      return null;
    }
    const starts = Math.max(0, high - low - (2 ** log2 - 1));
    return { ...call, low: low | 0, starts, offset: first, region, watchpoints };
  }

  /**
   * How many bytes before and after an address of RAM or ROM lie in the same window without a
   * watchpoint. Null if the page has one.
   *
   * @param gpa - The address that `find` has just looked up.
   */
  unwatchedAround(gpa: Gpa, kind: Operation): { before: number; after: number } | null {
    const { before, room: after } = this.lookup;
    if (!this.watches.active) {
      return { before, after };
    }
    const page = pageAt(gpa);
    const gap = this.watches.index(kind).gapAt(page);
    const inPage = inPageOf(gpa);
    return gap === null
      ? null
      : {
          before: Math.min(before, (page - gap.first) * PAGE_SIZE + inPage),
          after: Math.min(after, (gap.last + 1 - page) * PAGE_SIZE - inPage),
        };
  }

  #find(
    segment: Segment,
    region: Backed,
    kind: Operation,
    address: number,
    throughWatched: boolean,
  ): Reach | null {
    const { offset } = this.lookup;
    const number = Math.floor(offset / WINDOW_SIZE);
    const window = region.internals.windowAt(offset);
    if (address === Infinity) {
      return null;
    }
    // From here on, `low` and `high` are the ends of the reach.
    const first = address - (offset - region.from);
    const start = address - (offset - number * WINDOW_SIZE);
    let low = Math.max(segment.start, first, start);
    let high = Math.min(
      segment.start + segment.length,
      first + region.period,
      start + window.u8.length,
      Number.MAX_SAFE_INTEGER,
    );
    const { guards } = region.internals.marks;
    if (guards !== null && kind === "write") {
      const gap = guards.gapAt(offset);
      if (gap === null) {
        return null;
      }
      low = Math.max(low, address - (offset - gap.low));
      high = Math.min(high, address + (gap.high - offset));
    }
    if (!throughWatched) {
      [low, high] = this.#withoutWatches(kind, address, low, high);
    }
    return high <= address
      ? null
      : {
          base: low,
          length: high - low,
          bytes: window.u8,
          view: window.data,
          from: low - start,
          offset: offset - (address - low),
        };
  }

  /**
   * The part of a range around an address without watched pages: its first address, and the address
   * after its last one. It is empty if the page of the address is watched.
   */
  #withoutWatches(
    kind: Operation,
    address: number,
    low: number,
    high: number,
  ): readonly [number, number] {
    if (!this.watches.active) {
      return [low, high];
    }
    const gap = this.watches.index(kind).gapAt(Math.floor(address / PAGE_SIZE));
    return gap === null
      ? [address, address]
      : [Math.max(low, gap.first * PAGE_SIZE), Math.min(high, (gap.last + 1) * PAGE_SIZE)];
  }
}
