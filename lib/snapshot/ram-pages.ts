import { PAGE_SIZE } from "../base/page.js";
import { destroyedError } from "../base/errors.js";
import { type GuestMemory, guestMemoryInternals } from "../memory/guest-memory.js";
import { WINDOW_SIZE } from "../memory/windows.js";
import { LEAF_PAGES, type Page, type PageTable, ZERO_PAGE } from "./page-table.js";
import { printable } from "../base/printable.js";

const LEAF_SIZE = LEAF_PAGES * PAGE_SIZE;
let zeroLeaf: Uint8Array | null = null;

/**
 * Access to guest RAM by pages. If RAM ends within the last page, the rest of that page reads as
 * zeros.
 *
 * Uses only methods of the memory that create no view of RAM. Memory whose views may have escaped
 * must be detached when it is destroyed, which slows down all typed arrays of the process.
 */
export class RamPages {
  readonly count: number;
  readonly #memory: GuestMemory;
  readonly #size: number;

  /** @throws Error `ERR_DESTROYED` if the memory is destroyed or a buffer of it is detached. */
  constructor(memory: GuestMemory, name: string) {
    this.#memory = memory;
    this.#size = Number(memory.size);
    if (!this.#isThere()) {
      throw destroyedError(
        `the memory of region "${printable(name)}" is destroyed, or its buffer detached`,
      );
    }
    this.count = Math.ceil(this.#size / PAGE_SIZE);
  }

  /** Whether a page has these bytes. Null is a page of zeros. */
  holds(page: number, bytes: Page | null): boolean {
    return this.#memory.compare(page * PAGE_SIZE, this.#cut(page, bytes ?? ZERO_PAGE)) === 0;
  }

  /** Copies consecutive pages into `target`, from `page` on. */
  read(page: number, target: Uint8Array): void {
    const part = this.#cut(page, target);
    this.#memory.readInto(page * PAGE_SIZE, part);
    target.fill(0, part.length);
  }

  /** Overwrites a page. Null is a page of zeros. */
  write(page: number, bytes: Page | null): void {
    this.#memory.write(page * PAGE_SIZE, this.#cut(page, bytes ?? ZERO_PAGE));
  }

  /** The numbers of all pages whose bytes may differ from the table, ascending. */
  *candidates(table: PageTable): Generator<number> {
    const runs = new PageRuns(guestMemoryInternals(this.#memory).resident());
    for (let first = 0; first < this.count; first += LEAF_PAGES) {
      const end = Math.min(first + LEAF_PAGES, this.count);
      const isStored = table.hasLeaf(first / LEAF_PAGES);
      // Pages that were never touched are not read, because that would give them memory. RAM may
      // have been touched without being written: one comparison skips 2 MiB of zeros.
      if (
        !isStored &&
        (!runs.meet(first, end) || (runs.cover(first, end) && this.#isZeroLeaf(first)))
      ) {
        continue;
      }
      for (let page = first; page < end; page++) {
        if (runs.meet(page, page + 1) || (isStored && table.get(page) !== null)) {
          yield page;
        }
      }
    }
  }

  /** Whether all bytes are accessible. RAM above 4 GiB has several buffers; any may be detached. */
  #isThere(): boolean {
    try {
      for (let gpa = 0; gpa === 0 || gpa < this.#size; gpa += WINDOW_SIZE) {
        this.#memory.compare(gpa, ZERO_PAGE.subarray(0, 0));
      }
      return true;
    } catch {
      return false;
    }
  }

  #isZeroLeaf(first: number): boolean {
    zeroLeaf ??= new Uint8Array(LEAF_SIZE);
    const length = Math.min(LEAF_SIZE, this.#size - first * PAGE_SIZE);
    return this.#memory.compare(first * PAGE_SIZE, zeroLeaf.subarray(0, length)) === 0;
  }

  /** The part of pages that lies in RAM. */
  #cut(page: number, bytes: Uint8Array): Uint8Array {
    const length = this.#size - page * PAGE_SIZE;
    return length < bytes.length ? bytes.subarray(0, length) : bytes;
  }
}

/** Ascending ranges of pages. They must be asked about in ascending order. */
class PageRuns {
  readonly #parts: Float64Array;
  /** The index of the first part that does not end before the last range that was asked about. */
  #at = 0;

  /** @param parts - The offset and the length in bytes of each part, ascending. */
  constructor(parts: Float64Array) {
    this.#parts = parts;
  }

  /** Whether a part has bytes of the pages from `first` to before `end`. */
  meet(first: number, end: number): boolean {
    this.#skipTo(first);
    return this.#at < this.#parts.length && this.#parts[this.#at]! < end * PAGE_SIZE;
  }

  /** Whether one part has all pages, but perhaps for the end of the last one. */
  cover(first: number, end: number): boolean {
    this.#skipTo(first);
    return (
      this.#parts[this.#at]! <= first * PAGE_SIZE && this.#endOf(this.#at) >= (end - 1) * PAGE_SIZE
    );
  }

  #skipTo(first: number): void {
    while (this.#at < this.#parts.length && this.#endOf(this.#at) <= first * PAGE_SIZE) {
      this.#at += 2;
    }
  }

  #endOf(at: number): number {
    return this.#parts[at]! + this.#parts[at + 1]!;
  }
}
