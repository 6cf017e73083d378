/** How often and how lately the snapshots of a chain found a page changed. */
export interface PageHeat {
  /** How many snapshots of the chain found other bytes than their parent has. */
  readonly changes: number;
  /** The generation of the last of them; 0 where there is none. */
  readonly changedIn: number;
}

const COLD: PageHeat = { changes: 0, changedIn: 0 };
const MAX_U32 = 0xffff_ffff;

/** Entries of a chunk, at most. */
const CHUNK = 512;
/** Numbers of an entry: the low and the high half of the page, its changes, and the last's generation. */
const WORDS = 4;

/** Entries by ascending page: never none. */
type Chunk = Uint32Array;

/**
 * The {@link PageHeat} of a region's pages. Immutable, and shares what an update leaves alone.
 *
 * The pages that ever changed lie in chunks by their rank, not by their number: a file can say of a
 * million pages that they changed, no two of them near each other.
 */
export class HeatTable {
  /** By ascending page. */
  readonly #chunks: readonly Chunk[];

  /** Use {@link HeatTable.after} on {@link NO_HEAT}, or {@link HeatTable.of}, instead. */
  private constructor(chunks: readonly Chunk[]) {
    this.#chunks = chunks;
  }

  /** The table of these pages, all of which changed, by ascending number. */
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

  /** The pages that ever changed, by ascending number. */
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
   * @param pages - By ascending number.
   */
  after(pages: Iterable<number>, generation: number): HeatTable {
    const changed = pages[Symbol.iterator]();
    let next = changed.next();
    if (next.done === true) {
      return this;
    }
    const writer = new ChunkWriter();
    // A table without chunks is one empty chunk here.
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

  /** The only chunk that can have a page; -1 for none. */
  #chunkOf(page: number): number {
    return lowerBound(this.#chunks.length, (i) => pageAt(this.#chunks[i]!, 0) <= page) - 1;
  }
}

/** Collects entries in chunks, none of which is small unless it has to be. */
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

  /** Copies entries from one on to before a page; gives the first that is not copied. */
  copy(chunk: Chunk, entry: number, page: number): number {
    let i = entry;
    for (; i < chunk.length / WORDS && pageAt(chunk, i) < page; i++) {
      const { changes, changedIn } = heatAt(chunk, i);
      this.put(pageAt(chunk, i), changes, changedIn);
    }
    return i;
  }

  /** Takes a whole chunk as it is. */
  share(chunk: Chunk): void {
    this.end().push(chunk);
  }

  /** All chunks so far. */
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

/** Of pages that never changed. */
export const NO_HEAT = HeatTable.of([]);

function pageAt(chunk: Chunk, entry: number): number {
  return chunk[entry * WORDS]! + chunk[entry * WORDS + 1]! * 2 ** 32;
}

function heatAt(chunk: Chunk, entry: number): PageHeat {
  return { changes: chunk[entry * WORDS + 2]!, changedIn: chunk[entry * WORDS + 3]! };
}

/** The first number from 0 to `count` for which `isBelow` does not hold. */
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
