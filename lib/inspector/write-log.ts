import type { DirtyCursor } from "../memory/dirty-bitmap.js";
import type { GuestMemory } from "../memory/guest-memory.js";

/** Milliseconds between two looks at the marks, however many pages are open. */
const INTERVAL_MS = 50;

/** Pages in a leaf. */
const LEAF = 512;

/** When the pages of a leaf were written, and how often a look found them written. */
interface Leaf {
  readonly last: Float64Array;
  readonly count: Uint32Array;
}

/** The writes to the pages of one memory. Pages that are never written take no memory. */
class MemoryWrites {
  readonly cursor: DirtyCursor;
  readonly #leaves = new Map<number, Leaf>();
  /** The last time at which every page may have been written. */
  #all = 0;

  constructor(memory: GuestMemory) {
    this.cursor = memory.dirtyCursor();
  }

  update(time: number): void {
    const pages = this.cursor.drain();
    if (!this.cursor.complete) {
      this.#all = time;
    }
    for (const page of pages) {
      const index = Math.floor(page / LEAF);
      let leaf = this.#leaves.get(index);
      if (leaf === undefined) {
        leaf = { last: new Float64Array(LEAF), count: new Uint32Array(LEAF) };
        this.#leaves.set(index, leaf);
      }
      leaf.last[page % LEAF] = time;
      leaf.count[page % LEAF]!++;
    }
  }

  /** The time of the last write to a page; 0 if there was none. */
  last(page: number): number {
    return Math.max(this.#all, this.#leaves.get(Math.floor(page / LEAF))?.last[page % LEAF] ?? 0);
  }

  /** The number of pages after `page` that were certainly not written. */
  unwritten(page: number): number {
    const isKnown = this.#all > 0 || this.#leaves.has(Math.floor(page / LEAF));
    return isKnown ? 0 : Math.max(0, LEAF - 2 - (page % LEAF));
  }

  count(page: number): number {
    return this.#leaves.get(Math.floor(page / LEAF))?.count[page % LEAF] ?? 0;
  }
}

/**
 * Records when the pages of memories were last written, by dirty cursors of its own: no other
 * consumer loses marks.
 */
export class WriteLog {
  readonly #start = performance.now();
  #memories = new Map<GuestMemory, MemoryWrites>();
  #looked = -Infinity;

  /** Milliseconds since the start, at least 1. */
  get now(): number {
    return performance.now() - this.#start + 1;
  }

  /** Follows these memories from now on, and no others. */
  follow(memories: Iterable<GuestMemory>): void {
    const followed = new Map<GuestMemory, MemoryWrites>();
    for (const memory of memories) {
      const known = this.#memories.get(memory);
      try {
        followed.set(memory, known ?? new MemoryWrites(memory));
      } catch {
        // The writes to this memory cannot be tracked: the page shows none.
      }
    }
    for (const [memory, { cursor }] of this.#memories) {
      if (!followed.has(memory)) {
        cursor.close();
      }
    }
    this.#memories = followed;
  }

  /** Takes the marks that were made since the last time. */
  update(): void {
    const { now } = this;
    if (now - this.#looked < INTERVAL_MS) {
      return;
    }
    this.#looked = now;
    for (const [memory, writes] of this.#memories) {
      try {
        writes.update(now);
      } catch {
        // The memory has ended.
        this.#memories.delete(memory);
      }
    }
  }

  /** When some pages were last written, in milliseconds since the start; 0 if never. */
  last(memory: GuestMemory, first: number, end: number): number {
    return this.#most(memory, first, end, (writes, page) => writes.last(page));
  }

  /** The number of pages after `page` that were certainly not written. */
  unwritten(memory: GuestMemory, page: number): number {
    return this.#memories.get(memory)?.unwritten(page) ?? 0;
  }

  /** The most looks that have found one of some pages written. */
  count(memory: GuestMemory, first: number, end: number): number {
    return this.#most(memory, first, end, (writes, page) => writes.count(page));
  }

  close(): void {
    this.follow([]);
  }

  #most(
    memory: GuestMemory,
    first: number,
    end: number,
    of: (writes: MemoryWrites, page: number) => number,
  ): number {
    const writes = this.#memories.get(memory);
    let most = 0;
    for (let page = first; writes !== undefined && page < end; page++) {
      most = Math.max(most, of(writes, page));
    }
    return most;
  }
}
