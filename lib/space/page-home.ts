import type { Operation } from "../base/errors.js";
import type { Handle } from "../native/addon.js";
import type { GuestMemoryInternals } from "../memory/guest-memory.js";
import { type MemoryMarks, UNREAD_MARKS } from "../memory/marks.js";
import { EMPTY_WINDOW, WINDOW_SIZE } from "../memory/windows.js";
import type { Backed } from "./backed.js";
import { MAX_END, PageTable } from "./page-table.js";
import type { SpacePolicy } from "./policy.js";
import type { Reach } from "./reach.js";
import type { RegionMap } from "./region-map.js";
import type { RamRegion, Region } from "./regions.js";

/** Receives the arrays that the fast paths of an address space use. */
export interface FastPaths {
  /** Called when the fast paths must access another home buffer. */
  readonly moveHome: (home: DataView) => void;
  /** Called when the fast paths must use another page table. */
  readonly moveTable: (table: PageTable) => void;
  /**
   * Called when the fast paths must mark the pages of the home buffer that they write, or mark them
   * in another array.
   */
  readonly moveMarks: (marks: Uint8Array) => void;
}

/** A cache of entries of the page table, such as a software TLB. */
export interface TableFollower {
  /**
   * Called before the entries of the pages that touch a range of addresses become invalid.
   *
   * @param kind - The kind of entries; undefined for all. With reads, those of fetches fall too.
   */
  readonly closing: (start: number, end: number, kind: Operation | undefined) => void;
  /** Called after the space has got another home buffer or page table. */
  readonly moved: () => void;
}

/**
 * The page table of an address space, and the home buffer that its entries lead to: the arena of
 * the space, or the memory of its largest RAM region.
 */
export class PageHome {
  readonly followers: TableFollower[] = [];
  /** Null until the first access. */
  #table: PageTable | null = null;
  #handle: Handle | null = null;
  /**
   * The bytes that the fast paths access through the page table. Null while there is no RAM; in a
   * clone and in a space with an arena, until the first access.
   */
  #home: DataView | null = null;
  /** The region whose memory is the home buffer; null if the space was made with an arena. */
  #region: RamRegion | null = null;
  /** The marks of the pages of the arena, for the memories in it; null if there is no arena. */
  readonly #arenaMarks: Uint8Array | null;
  /** Where the fast paths mark the pages of the home buffer; null before the first mark. */
  #marked: Uint8Array | null = null;

  constructor(
    private readonly map: RegionMap,
    private readonly pageSize: number,
    private readonly policy: SpacePolicy,
    private readonly fastPaths: FastPaths,
    private readonly arena: GuestMemoryInternals | null,
  ) {
    this.#arenaMarks = arena && arena.marks.arenaMarks;
  }

  get hasTable(): boolean {
    return this.#table !== null;
  }

  /** The page table; null before the first access. */
  get table(): PageTable | null {
    return this.#table;
  }

  /** The home buffer; null as long as there is none. */
  get view(): DataView | null {
    return this.#home;
  }

  /** Whether writes through the page table have to mark the pages of the home buffer. */
  get marksPages(): boolean {
    return this.#marked !== null;
  }

  /** Closes the pages that touch a range of addresses, for one kind of access or both. */
  close(start: number, end: number, kind?: Operation): void {
    for (const follower of this.followers) {
      follower.closing(start, end, kind);
    }
    if (kind === undefined) {
      this.#table?.clear(start, end);
    } else if (this.#table !== null) {
      this.#table.clearOf(entriesOf(this.#table, kind), start, end);
    }
  }

  /** Clears the entries for writes of the pages of a window that show bytes of its memory. */
  closeWrites(region: Backed, offset: number, end: number): void {
    const { start, length, from, period } = region;
    const low = Math.max(offset - from, 0);
    const high = Math.min(end - from, period);
    if (low < high) {
      const repeats = period < length;
      this.close(start + (repeats ? 0 : low), start + (repeats ? length : high), "write");
    }
  }

  /**
   * Opens the pages around an address in a reach, if their bytes lie in the home buffer.
   *
   * @param marks - The marks of the memory.
   */
  open(kind: Operation | "fetch", address: number, reach: Reach, marks: MemoryMarks): void {
    const { view, from, base, length } = reach;
    const distance = address < MAX_END ? this.#distance(view, from, length, base) : null;
    if (distance !== null && (kind !== "write" || this.#mayOpenWrites(marks, view))) {
      if (address >= this.#table!.end) {
        this.makeTable();
      }
      const table = this.#table!;
      table.open(entriesOf(table, kind), address, base, base + length, distance);
    }
  }

  /**
   * Opens all pages of a window after it has changed, if its bytes lie in the home buffer. It must
   * be fully visible and not watched.
   */
  openAll(region: Backed): void {
    const { start, length, period, from, internals, readable, writable } = region;
    const table = this.#table;
    const window = internals.windowAt(0);
    if (
      table !== null &&
      period === length &&
      from + length <= window.u8.length &&
      start + length <= table.end
    ) {
      const distance = this.#distance(window.data, from, length, start);
      if (readable && distance !== null) {
        table.open(table.reads, start, start, start + length, distance);
      }
      const { marks } = internals;
      const open = writable && distance !== null && marks.guards === null;
      if (open && this.#mayOpenWrites(marks, window.data)) {
        table.open(table.writes, start, start, start + length, distance);
      }
    }
  }

  /**
   * The region, if its memory becomes the home buffer when it is added; otherwise null.
   *
   * @param lazily - Whether the first access, instead of `settle`, makes the home buffer: a large
   * ArrayBuffer takes milliseconds.
   * @throws Error `ERR_OUT_OF_MEMORY`.
   */
  ifLarger(region: Region, lazily: boolean): RamRegion | null {
    if (
      region.kind !== "ram" ||
      this.arena !== null ||
      lowBytes(region) <= lowBytes(this.#region)
    ) {
      return null;
    }
    if (lazily) {
      this.#region = region;
      return null;
    }
    // The runtime may refuse the ArrayBuffer of the home buffer.
    region.internals.windowAt(0);
    return region;
  }

  /** Whether the memory of a region is the home buffer. */
  isIn(region: Region): boolean {
    return region === this.#region;
  }

  /**
   * The RAM region, other than one, with the most bytes that the page table covers; null if there
   * is no other.
   *
   * @throws Error `ERR_OUT_OF_MEMORY`.
   */
  largest(except: Region): RamRegion | null {
    let found: RamRegion | null = null;
    for (const region of this.map.regions) {
      if (region.kind === "ram" && region !== except && lowBytes(region) > lowBytes(found)) {
        found = region;
      }
    }
    found?.internals.windowAt(0);
    return found;
  }

  /** Makes the memory of a region the home buffer; null if there is no RAM. */
  settle(region: RamRegion | null): void {
    this.#region = region;
    if (region === null || region.internals.windowAt(0).data === this.#home) {
      return;
    }
    if (this.#home !== null) {
      for (const { start, length } of this.map.segments) {
        this.close(start, start + length);
      }
    }
    this.#moveTo(region.internals);
  }

  #moveTo({ windowAt, handle }: GuestMemoryInternals): void {
    const window = windowAt(0);
    if (window !== EMPTY_WINDOW) {
      this.#home = window.data;
      this.#handle = handle;
      this.#table?.setHome(handle);
      this.fastPaths.moveHome(window.data);
      this.#notifyMoved();
    }
  }

  /** Makes a page table for all RAM and ROM below 4 GiB. Accesses fill it. */
  makeTable(): void {
    if (this.#home === null && this.arena !== null) {
      this.#moveTo(this.arena);
    } else if (this.#home === null) {
      this.settle(this.#region);
    }
    const memories = this.map.regions.filter(({ kind }) => kind !== "mmio");
    const ends = memories.map(({ start, length }) => (start < MAX_END ? start + length : 0));
    // Doubling the table bounds how often it grows if accesses alternate with additions of regions.
    const least = this.#table === null ? 1 : 2 * this.#table.end;
    const end = ends.reduce((a, b) => Math.max(a, b), least);
    const table = new PageTable(this.pageSize, end, this.policy.number);
    if (this.#handle !== null) {
      table.setHome(this.#handle);
    }
    if (this.#marked !== null) {
      table.setMarks(this.#marked);
    }
    this.#table = table;
    this.fastPaths.moveTable(table);
    this.#notifyMoved();
  }

  #notifyMoved(): void {
    for (const follower of this.followers) {
      follower.moved();
    }
  }

  /**
   * Whether the fast paths may write to a memory in the home buffer. If they have to mark its
   * pages, they do so from now on.
   *
   * @param view - The window of the memory that has the buffer of the home buffer.
   */
  #mayOpenWrites(marks: MemoryMarks, view: DataView): boolean {
    if (this.#marked === null && marks.dirty === null) {
      return true;
    }
    const needed = this.#marksOf(marks, view);
    if (needed === null) {
      return false;
    }
    if (needed !== this.#marked) {
      if (this.#marked === null) {
        // Another memory with the same bytes, such as one over a buffer of the home buffer, may
        // have entries. Its pages have other marks.
        for (const { start, length } of this.map.segments) {
          this.close(start, start + length, "write");
        }
      }
      this.fastPaths.moveMarks(needed);
      this.#table?.setMarks(needed);
      this.#marked = needed;
    }
    return true;
  }

  /**
   * The array for marks of the pages of the home buffer in which a memory has its marks. Null if it
   * has them elsewhere, or if a plain store does not suffice.
   */
  #marksOf(marks: MemoryMarks, view: DataView): Uint8Array | null {
    const { dirty, plain } = marks;
    if (this.#arenaMarks !== null) {
      const isPart = marks.arenaMarks?.buffer === this.#arenaMarks.buffer;
      return isPart && dirty?.isShared !== true ? this.#arenaMarks : null;
    }
    if (view !== this.#home) {
      return null;
    }
    return dirty === null ? UNREAD_MARKS : plain;
  }

  /**
   * The bytes from a guest physical address to its place in the home buffer; null if the bytes do
   * not lie there, or if the page table cannot express the distance.
   *
   * @param from - The offset in `view` of the byte at address `base`.
   */
  #distance(view: DataView, from: number, length: number, base: number): number | null {
    const home = this.#home;
    if (home === null || view.buffer !== home.buffer) {
      return null;
    }
    const place = view.byteOffset - home.byteOffset + from;
    return place >= 0 && place + length <= home.byteLength && (place - base) % 8 === 0
      ? place - base
      : null;
  }
}

function entriesOf(table: PageTable, kind: Operation | "fetch"): Int32Array {
  return kind === "read" ? table.reads : kind === "write" ? table.writes : table.fetches;
}

/** The bytes of a region below 4 GiB, or 0 for none. */
function lowBytes(region: RamRegion | null): number {
  if (region === null || region.memory.destroyed) {
    return 0;
  }
  return Math.max(0, Math.min(WINDOW_SIZE - region.start, region.length));
}
