import { toAddress } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";
import type { PageHome } from "./page-home.js";
import type { RegionMap, Segment } from "./region-map.js";
import type { Region } from "./regions.js";

/**
 * Finds the visible region at an address. It tries the two segments that it found last first,
 * because accesses often alternate between two regions.
 *
 * Device handlers and listeners may change the fields. An access therefore copies `offset` and
 * `room` to local variables before it calls one.
 */
export class RegionLookup {
  /** The segment that `find` found last. */
  hit: Segment | null = null;
  /** The segment found before `hit`. */
  #previous: Segment | null = null;
  /**
   * The place of the address that `find` looked up last: the offset in the memory of the region, or
   * from the start of a device.
   */
  offset = 0;
  /** The bytes from that address to the end of the adjacent bytes of the region. */
  room = 0;
  /** The bytes from the start of the adjacent bytes of the region to that address. */
  before = 0;
  /** The address that `find` looked up last; Infinity if it exceeds 2^53 - 1. */
  address = 0;

  constructor(
    readonly map: RegionMap,
    private readonly home: PageHome,
  ) {}

  /** Call it before the map changes. */
  clear(): void {
    this.hit = null;
    this.#previous = null;
  }

  /**
   * The visible region at an address; null if the address is not mapped. Also sets `offset` and
   * `room`.
   *
   * @throws TypeError, RangeError if `gpa` is not an address.
   */
  find(gpa: Gpa): Region | null {
    const { hit } = this;
    if (hit !== null && typeof gpa === "number") {
      // Integers of 32 bits: a difference of floating-point numbers would make every offset one.
      const low = gpa >>> 0;
      const at = (low - hit.low) >>> 0;
      if (low === gpa && at < hit.near) {
        return this.#found(hit, low, hit.offset + at);
      }
    }
    const address = toAddress(gpa);
    if (hit !== null && address >= hit.start && address - hit.start < hit.length) {
      return this.#found(hit, address, address - hit.region.start);
    }
    const previous = this.#previous;
    if (
      previous !== null &&
      address >= previous.start &&
      address - previous.start < previous.length
    ) {
      this.#previous = this.hit;
      this.hit = previous;
      return this.#found(previous, address, address - previous.region.start);
    }
    // The fast paths throw an error, and catch it, at each access until there is a table.
    if (!this.home.hasTable) {
      this.home.makeTable();
    }
    const far = address === Infinity;
    const segment = far ? this.map.far(BigInt(gpa)) : this.map.near(address);
    if (segment === null) {
      return null;
    }
    this.#previous = this.hit;
    this.hit = segment;
    const { region } = segment;
    // The number is exact, unless the region is larger than any memory.
    return this.#found(
      segment,
      address,
      far ? Number(BigInt(gpa) - region.gpa) : address - region.start,
    );
  }

  /**
   * The number of bytes from an address on, at least 1, that belong to the same region, or to none.
   *
   * @param gpa - At most 2^64 - 1.
   */
  extent(gpa: Gpa): number {
    return this.find(gpa) === null ? this.map.gapAt(BigInt(gpa)) : this.room;
  }

  #found(segment: Segment, address: number, offset: number): Region {
    const { region } = segment;
    this.address = address;
    const room = segment.offset + segment.length - offset;
    if (region.kind === "mmio") {
      this.offset = toSmall(offset);
      this.room = room;
      return region;
    }
    const inPeriod = offset < region.period ? offset : offset % region.period;
    this.before = Math.min(offset - segment.offset, inPeriod);
    this.offset = region.from + inPeriod;
    this.room = Math.min(room, region.period - inPeriod);
    return region;
  }
}

/**
 * The same number, which V8 represents as a small integer if possible. One floating-point number in
 * a field makes V8 convert all values of the field.
 */
function toSmall(offset: number): number {
  const small = offset | 0;
  return small === offset ? small : offset;
}
