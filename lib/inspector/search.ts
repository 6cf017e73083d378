import { PAGE_SIZE } from "../base/page.js";
import type { Budget, Direction, Found } from "./find.js";
import type { ByteSource } from "./byte-source.js";

/** The longest pattern in bytes. */
export const MAX_PATTERN = 256;

/** Pages that are read and searched at a time. */
const STRIDE = 64;

/**
 * Searches the bytes of RAM and ROM, one region after the other. A match lies in one region.
 *
 * @param from - The first address at which a match may start; the last one, if `direction` is
 *   backward.
 */
export async function searchBytes(
  reader: ByteSource,
  pattern: Buffer,
  from: bigint,
  direction: Direction,
  budget: Budget,
): Promise<Found> {
  const { regions } = reader;
  const order = [...regions.keys()];
  if (direction === "backward") {
    order.reverse();
  }
  for (const region of order) {
    const { kind, gpa, size } = regions[region]!;
    const last = size - BigInt(pattern.length);
    if (kind === "mmio" || last < 0n) {
      continue;
    }
    const offset = from - gpa;
    if (direction === "forward" ? offset > last : offset < 0n) {
      continue;
    }
    const start = direction === "forward" ? maxOf(offset, 0n) : minOf(offset, last);
    const search = new RegionSearch(reader, region, pattern, Number(last), budget);
    const found = await (direction === "forward"
      ? search.forward(Number(start))
      : search.backward(Number(start)));
    if (found.match !== null || found.next !== null) {
      return {
        match: found.match === null ? null : gpa + BigInt(found.match),
        next: found.next === null ? null : gpa + BigInt(found.next),
      };
    }
  }
  return { match: null, next: null };
}

interface Offsets {
  readonly match: number | null;
  readonly next: number | null;
}

const NOTHING: Offsets = { match: null, next: null };

/** A search of one region. All numbers are offsets in the region. */
class RegionSearch {
  readonly #allZero: boolean;

  constructor(
    private readonly reader: ByteSource,
    private readonly region: number,
    private readonly pattern: Buffer,
    /** The last offset at which a match can start. */
    private readonly last: number,
    private readonly budget: Budget,
  ) {
    this.#allZero = pattern.every((byte) => byte === 0);
  }

  async forward(from: number): Promise<Offsets> {
    for (let start = from; start <= this.last;) {
      const useful = this.#usefulFrom(start);
      if (useful === null) {
        return NOTHING;
      }
      const end = Math.min((Math.floor(useful / PAGE_SIZE) + STRIDE) * PAGE_SIZE, this.last + 1);
      if (this.budget.spend(STRIDE)) {
        return { match: null, next: useful };
      }
      const found = (await this.#starts(useful, end)).indexOf(this.pattern);
      if (found >= 0) {
        return { match: useful + found, next: null };
      }
      start = end;
    }
    return NOTHING;
  }

  async backward(from: number): Promise<Offsets> {
    for (let end = from + 1; end > 0;) {
      const useful = this.#usefulBelow(end);
      if (useful === null) {
        return NOTHING;
      }
      const start = Math.max((Math.ceil(useful / PAGE_SIZE) - STRIDE) * PAGE_SIZE, 0);
      if (this.budget.spend(STRIDE)) {
        return { match: null, next: useful - 1 };
      }
      const found = (await this.#starts(start, useful)).lastIndexOf(this.pattern);
      if (found >= 0) {
        return { match: start + found, next: null };
      }
      end = start;
    }
    return NOTHING;
  }

  /** The bytes of all matches that start at or after `start` and before `end`. */
  #starts(start: number, end: number): Promise<Buffer> {
    const length = end - start + this.pattern.length - 1;
    return this.reader.read({ region: this.region, offset: start }, length);
  }

  /**
   * The first offset from `start` on at which a match can start. Pages of zeros, of which there may
   * be millions, are skipped unless the pattern is all zeros.
   */
  #usefulFrom(start: number): number | null {
    if (this.#allZero) {
      return start;
    }
    const page = this.reader.nextStored(this.region, Math.floor(start / PAGE_SIZE), "up");
    // A match may start on the page before and extend into this one.
    return page === null ? null : Math.max(start, page * PAGE_SIZE - this.pattern.length + 1);
  }

  /** One more than the last offset below `end` at which a match can start. */
  #usefulBelow(end: number): number | null {
    if (this.#allZero) {
      return end;
    }
    const reach = Math.floor((end - 1 + this.pattern.length - 1) / PAGE_SIZE);
    const page = this.reader.nextStored(this.region, reach + 1, "down");
    return page === null ? null : Math.min(end, (page + 1) * PAGE_SIZE);
  }
}

function maxOf(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function minOf(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
