import { inspect } from "node:util";
import { newBuffer } from "../memory/bulk.js";
import { PAGE_SIZE } from "../base/page.js";
import { GuestMemoryFault, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { toAddress, toByteCount } from "../base/arguments.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { HeatTable, PageHeat } from "./page-heat.js";
import { type PageTable, ZERO_PAGE } from "./page-table.js";
import type { RegionLayout } from "./layout.js";

/** A region of a {@link Snapshot}. */
export interface SnapshotRegion extends RegionLayout {
  /** Number of pages of 4096 bytes that are not all zero. */
  readonly storedPages: number;
}

/** The contents of one region of a snapshot. Not public. */
export interface RegionContents {
  readonly layout: RegionLayout;
  readonly pages: PageTable;
  readonly heat: HeatTable;
}

const contents = new WeakMap<Snapshot, readonly RegionContents[]>();

/**
 * The contents of a snapshot, region by region.
 *
 * @throws TypeError if `snapshot` is not a Snapshot.
 */
export function contentsOf(snapshot: Snapshot): readonly RegionContents[] {
  const found = contents.get(snapshot);
  if (found === undefined) {
    throw typeError("snapshot must be a Snapshot");
  }
  return found;
}

/** Makes a snapshot. Not public: a Snapshot always has contents. */
export function makeSnapshot(regions: readonly RegionContents[], generation: number): Snapshot {
  const snapshot = new Snapshot(
    regions.map(({ layout, pages }) => ({ ...layout, storedPages: pages.stored })),
    generation,
  );
  contents.set(snapshot, regions);
  return snapshot;
}

/**
 * The contents of RAM and ROM at one moment. Immutable. Pages of zeros take no memory, and the
 * snapshots of a chain share the pages that did not change between them.
 */
export class Snapshot {
  /** The regions, sorted by address. */
  readonly regions: readonly SnapshotRegion[];
  /**
   * The position in the chain: 0 for a snapshot without a parent, otherwise 1 more than the parent.
   */
  readonly generation: number;

  /** Use `takeSnapshot` or `loadSnapshot`. @internal */
  constructor(regions: readonly SnapshotRegion[], generation: number) {
    this.regions = Object.freeze(regions.map((region) => Object.freeze(region)));
    this.generation = generation;
  }

  /**
   * Copies bytes from the snapshot into a new Buffer.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws `GuestMemoryFault` if the range does not lie in one region of RAM or ROM; TypeError,
   * RangeError; Error `ERR_OUT_OF_MEMORY`.
   */
  read(gpa: Gpa, length: Gpa): Buffer {
    const count = toByteCount(length, "length");
    const { region, offset } = this.#locate(gpa, count);
    const target = newBuffer(count);
    for (let done = 0; done < count;) {
      const page = region.pages.get(Math.floor((offset + done) / PAGE_SIZE)) ?? ZERO_PAGE;
      const start = (offset + done) % PAGE_SIZE;
      const part = page.subarray(start, Math.min(PAGE_SIZE, start + count - done));
      target.set(part, done);
      done += part.length;
    }
    return target;
  }

  /**
   * How often the page of an address changed between the snapshots of the chain, and in which
   * generation last.
   *
   * @throws `GuestMemoryFault` if the address is not in RAM or ROM; TypeError, RangeError.
   */
  pageHeat(gpa: Gpa): PageHeat {
    const { region, offset } = this.#locate(gpa, 1);
    return region.heat.get(Math.floor(offset / PAGE_SIZE));
  }

  /** Keeps `console.log(snapshot)` short. */
  [inspect.custom](): string {
    const { generation, regions, storedPages } = this.toJSON();
    return `Snapshot { generation: ${generation}, regions: ${regions}, storedPages: ${storedPages} }`;
  }

  /** Keeps the output of `JSON.stringify` short. */
  toJSON(): { type: "Snapshot"; generation: number; regions: number; storedPages: number } {
    const storedPages = this.regions.reduce((sum, region) => sum + region.storedPages, 0);
    const { generation, regions } = this;
    return { type: "Snapshot", generation, regions: regions.length, storedPages };
  }

  #locate(gpa: Gpa, length: number): { region: RegionContents; offset: number } {
    toAddress(gpa);
    const start = BigInt(gpa);
    for (const region of contentsOf(this)) {
      const { kind, gpa: base, size } = region.layout;
      if (kind !== "mmio" && start >= base && start + BigInt(length) <= base + size) {
        return { region, offset: Number(start - base) };
      }
    }
    throw new GuestMemoryFault(GuestMemAccessResult.FAULT_BOUNDARY, gpa, length, "read");
  }
}
