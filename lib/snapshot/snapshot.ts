import { type Bytes, copyOf } from "../base/bytes.js";
import { INSPECT } from "../base/inspect.js";
import { newBuffer } from "../memory/bulk.js";
import { PAGE_SIZE } from "../base/page.js";
import { GuestMemoryFault, typeError } from "../base/errors.js";
import { type Gpa, MAX_U64 } from "../base/gpa.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import { toAddress, toByteCount } from "../base/arguments.js";
import { GuestMemAccessResult } from "../base/result.js";
import { type MachineState, NO_STATE } from "./state.js";
import type { HeatTable, PageHeat } from "./page-heat.js";
import { type PageTable, ZERO_PAGE } from "./page-table.js";
import {
  areMemories,
  type RegionLayout,
  type SnapshotWindow,
  type VisiblePart,
  visibleParts,
} from "./layout.js";

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

/** A `WeakRef`, which the `lib` of a consumer need not declare. */
interface WeakReference<T> {
  deref(): T | undefined;
}

/**
 * The live region of a window and the memory that it showed. Weak references: a snapshot keeps no
 * RAM alive.
 */
export interface Origin {
  readonly region: WeakReference<object>;
  readonly memory: WeakReference<GuestMemory>;
}

/** The contents of a snapshot. Not public. */
export interface SnapshotContents {
  /** By default, the snapshot has no state beside memory. */
  readonly state?: MachineState;
  readonly regions: readonly RegionContents[];
  readonly windows: readonly SnapshotWindow[];
  /** The origin of each window, null for MMIO. Null for a snapshot from a file. */
  readonly origins: readonly (Origin | null)[] | null;
}

const contents = new WeakMap<Snapshot, SnapshotContents>();

/**
 * The contents of a snapshot.
 *
 * @throws TypeError if `snapshot` is not a Snapshot.
 */
export function contentsOf(snapshot: Snapshot): SnapshotContents {
  const found = contents.get(snapshot);
  if (found === undefined) {
    throw typeError("snapshot must be a Snapshot");
  }
  return found;
}

/** Makes a snapshot. Not public: a Snapshot always has contents. */
export function makeSnapshot(parts: SnapshotContents, generation: number): Snapshot {
  const regions = parts.regions.map(({ layout, pages }) => ({
    ...layout,
    storedPages: pages.stored,
  }));
  const snapshot = new Snapshot(regions, parts.windows, generation);
  contents.set(snapshot, parts);
  return snapshot;
}

/**
 * The contents of RAM and ROM at one moment. Immutable. Pages of zeros take no memory, and the
 * snapshots of a chain share the pages that did not change between them.
 */
export class Snapshot {
  /**
   * The bytes, sorted by address. If each region of the space was a whole memory that lay apart
   * from the others, these are the regions of the space. Otherwise, they are the memories, in the
   * order of their first windows, at addresses from 2^64 on, where no guest sees them.
   */
  readonly regions: readonly SnapshotRegion[];
  /** The regions of the space and the bytes that they showed, by address and then by priority. */
  readonly windows: readonly SnapshotWindow[];
  /**
   * The position in the chain: 0 for a snapshot without a parent, otherwise 1 more than the parent.
   */
  readonly generation: number;
  #parts: readonly VisiblePart[] | null = null;

  /** Use `takeSnapshot` or `loadSnapshot`. @internal */
  constructor(
    regions: readonly SnapshotRegion[],
    windows: readonly SnapshotWindow[],
    generation: number,
  ) {
    this.regions = Object.freeze(regions.map((region) => Object.freeze(region)));
    this.windows = Object.freeze(windows.map((window) => Object.freeze(window)));
    this.generation = generation;
  }

  /**
   * Copies bytes from the snapshot into a new Buffer: those that the guest saw at an address, or
   * those of a memory at its address in `regions`.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws `GuestMemoryFault` if the range does not lie in one copy of the bytes of one visible
   * region of RAM or ROM; TypeError, RangeError; Error `ERR_OUT_OF_MEMORY`.
   */
  read(gpa: Gpa, length: Gpa): Bytes {
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

  /** The names of the blocks of state that the program has passed, in the order of the object. */
  get stateNames(): string[] {
    return [...(contentsOf(this).state ?? NO_STATE).named.keys()];
  }

  /**
   * Copies a block of state: see {@link SnapshotOptions.state}.
   *
   * @returns Null if the snapshot has no block of this name.
   */
  state(name: string): Bytes | null {
    const block = (contentsOf(this).state ?? NO_STATE).named.get(name);
    return block === undefined ? null : copyOf(block);
  }

  /** Keeps `console.log(snapshot)` short. */
  [INSPECT](): string {
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
    if (typeof gpa !== "bigint" || gpa <= MAX_U64) {
      toAddress(gpa);
    }
    const start = BigInt(gpa);
    const end = start + BigInt(length);
    const { regions, windows } = contentsOf(this);
    for (const region of regions) {
      const { kind, gpa: base, size } = region.layout;
      if (kind !== "mmio" && start >= base && end <= base + size) {
        return { region, offset: Number(start - base) };
      }
    }
    this.#parts ??= areMemories(this) ? visibleParts(windows) : [];
    for (const { window, from, to } of this.#parts) {
      const { region, gpa: base, offset, period } = window;
      if (region !== null && start >= from && end <= to) {
        const at = (start - base) % period;
        if (at + BigInt(length) <= period) {
          return { region: regions[region]!, offset: Number(offset + at) };
        }
      }
    }
    throw new GuestMemoryFault(GuestMemAccessResult.FAULT_BOUNDARY, gpa, length, "read");
  }
}
