/** How often, and in which generation last, the snapshots of a chain found a page changed. */
export interface PageHeat {
  /** The number of snapshots of the chain in which the page differs from the parent snapshot. */
  readonly changes: number;
  /** The generation of the last of these snapshots; 0 if there is none. */
  readonly changedIn: number;
}

const COLD: PageHeat = { changes: 0, changedIn: 0 };
const MAX_U32 = 0xffff_ffff;

/** Entries of a full chunk. */
const CHUNK = 512;
/** Words of an entry: page number (low half, high half), changes, generation of the last change. */
const WORDS = 4;

/** Entries sorted by page. A chunk of a table is never empty. */
type Chunk = Uint32Array;

/**
 * The {@link PageHeat} of the pages of a region. Immutable: an updated table shares unchanged
 * chunks with the old one.
 *
 * Chunks hold a number of entries, not a range of page numbers. So the memory is proportional to
 * the number of changed pages, even if a file lists a million of them far apart.
 */
export class HeatTable {
  /** Sorted by page. */
  readonly #chunks: readonly Chunk[];

  /** Use {@link HeatTable.of}, or {@link HeatTable.after} on {@link NO_HEAT}. */
  private constructor(chunks: readonly Chunk[]) {
    this.#chunks = chunks;
  }

  /** Makes a table of changed pages, which must be sorted by page number. */
  static of(entries: Iterable<readonly [page: number, heat: PageHeat]>): HeatTable {
    const writer = new ChunkWriter();
    for (const [page, { changes, changedIn }] of entries) {
      writer.put(page, changes, changedIn);
    }
    return new HeatTable(writer.end());
  }

  get(page: number): PageHeat {
    const chunk = this.#chunks[this.#chunkOf(page)];
    if (chunk === undefined) {
      return COLD;
    }
    const entry = lowerBound(chunk.length / WORDS, (i) => pageAt(chunk, i) < page);
    return entry < chunk.length / WORDS && pageAt(chunk, entry) === page
      ? heatAt(chunk, entry)
      : COLD;
  }

  /** The pages that ever changed, sorted by page number. */
  *entries(): Generator<readonly [page: number, heat: PageHeat]> {
    for (const chunk of this.#chunks) {
      for (let i = 0; i < chunk.length / WORDS; i++) {
        yield [pageAt(chunk, i), heatAt(chunk, i)];
      }
    }
  }

  /**
   * The table after a snapshot of `generation` found `pages` changed.
   *
   * @param pages - Page numbers, ascending.
   */
  after(pages: Iterable<number>, generation: number): HeatTable {
    const changed = pages[Symbol.iterator]();
    let next = changed.next();
    if (next.done === true) {
      return this;
    }
    const writer = new ChunkWriter();
    // An empty table is treated as one empty chunk.
    for (let i = 0; i < Math.max(1, this.#chunks.length); i++) {
      const chunk = this.#chunks[i] ?? new Uint32Array(0);
      const following = this.#chunks[i + 1];
      const end = following === undefined ? Infinity : pageAt(following, 0);
      if (next.done === true || next.value >= end) {
        writer.share(chunk);
        continue;
      }
      let entry = 0;
      for (; next.done !== true && next.value < end; next = changed.next()) {
        const page = next.value;
        entry = writer.copy(chunk, entry, page);
        const known = entry < chunk.length / WORDS && pageAt(chunk, entry) === page;
        const before = known ? heatAt(chunk, entry++) : COLD;
        writer.put(page, Math.min(before.changes + 1, MAX_U32), generation);
      }
      writer.copy(chunk, entry, Infinity);
    }
    return new HeatTable(writer.end());
  }

  /** The index of the only chunk that can contain a page; -1 if none can. */
  #chunkOf(page: number): number {
    return lowerBound(this.#chunks.length, (i) => pageAt(this.#chunks[i]!, 0) <= page) - 1;
  }
}

/** Collects entries in chunks, and avoids small chunks. */
class ChunkWriter {
  readonly #chunks: Chunk[] = [];
  readonly #room = new Uint32Array(2 * CHUNK * WORDS);
  #length = 0;

  put(page: number, changes: number, changedIn: number): void {
    const at = this.#length;
    this.#room[at] = page;
    this.#room[at + 1] = page / 2 ** 32;
    this.#room[at + 2] = changes;
    this.#room[at + 3] = changedIn;
    this.#length += WORDS;
    if (this.#length === this.#room.length) {
      this.#cut(CHUNK);
    }
  }

  /** Copies the entries from `entry` up to, not including, `page`; returns the first not copied. */
  copy(chunk: Chunk, entry: number, page: number): number {
    let i = entry;
    for (; i < chunk.length / WORDS && pageAt(chunk, i) < page; i++) {
      const { changes, changedIn } = heatAt(chunk, i);
      this.put(pageAt(chunk, i), changes, changedIn);
    }
    return i;
  }

  /** Appends a whole chunk without copying it. */
  share(chunk: Chunk): void {
    this.end().push(chunk);
  }

  /** Closes the chunk in progress and returns all chunks. */
  end(): Chunk[] {
    const entries = this.#length / WORDS;
    if (entries > CHUNK) {
      this.#cut(Math.ceil(entries / 2));
    }
    if (this.#length > 0) {
      this.#cut(this.#length / WORDS);
    }
    return this.#chunks;
  }

  #cut(entries: number): void {
    const end = entries * WORDS;
    this.#chunks.push(this.#room.slice(0, end));
    this.#room.copyWithin(0, end, this.#length);
    this.#length -= end;
  }
}

/** The table of a region whose pages never changed. */
export const NO_HEAT = HeatTable.of([]);

function pageAt(chunk: Chunk, entry: number): number {
  return chunk[entry * WORDS]! + chunk[entry * WORDS + 1]! * 2 ** 32;
}

function heatAt(chunk: Chunk, entry: number): PageHeat {
  return { changes: chunk[entry * WORDS + 2]!, changedIn: chunk[entry * WORDS + 3]! };
}

/** The first number in `[0, count)` for which `isBelow` is false; `count` if there is none. */
function lowerBound(count: number, isBelow: (i: number) => boolean): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (isBelow(middle)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
