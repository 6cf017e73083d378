import { native, type Handle } from "../native/addon.js";

/** The number of memories whose marks C++ can set: GUEST_PAGE_MARKS of kvm/page_table.h. */
const MAX_BITMAPS = 256;

/** The marks of one memory. */
interface Bitmap {
  readonly marks: Uint8Array;
  /** The place of the first byte of the memory in the home buffer, modulo 2^32. */
  readonly first: number;
}

/**
 * The parts of a page table that only native cores use: entries for instruction fetches, and entries
 * for writes to pages whose writes are tracked. C++ sets the dirty marks of those.
 */
export class CorePages {
  readonly fetches: Int32Array;
  readonly tracked: Int32Array;
  /** For each page with an entry in `tracked`, the owner: the index of its memory. */
  readonly owners: Uint8Array;
  #bitmaps: Bitmap[] = [];
  readonly #table: Handle;

  constructor(table: Handle, entries: number) {
    this.#table = table;
    this.fetches = new Int32Array(new SharedArrayBuffer(4 * entries));
    this.tracked = new Int32Array(new SharedArrayBuffer(4 * entries));
    this.owners = new Uint8Array(new SharedArrayBuffer(entries));
    native.pageTableSetCorePages(table, this.fetches, this.tracked, this.owners);
  }

  /**
   * The owner of pages for `owners`. Call it before entries are made: if there are too many memories,
   * this clears all entries for tracked writes.
   *
   * @param marks - The marks of a memory.
   * @param first - The place of its first byte in the home buffer, modulo 2^32.
   */
  ownerOf(marks: Uint8Array, first: number): number {
    const found = this.#bitmaps.findIndex((of) => of.marks === marks && of.first === first);
    if (found !== -1) {
      return found;
    }
    if (this.#bitmaps.length === MAX_BITMAPS) {
      this.#bitmaps = [];
      this.tracked.fill(0);
    }
    native.pageTableSetMarks(this.#table, this.#bitmaps.length, marks, first);
    return this.#bitmaps.push({ marks, first }) - 1;
  }
}
