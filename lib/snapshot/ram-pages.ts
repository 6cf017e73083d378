import { PAGE_SIZE } from "../base/page.js";
import { destroyedError } from "../base/errors.js";
import type { GuestMemory } from "../memory/guest-memory.js";
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

  /** Copies a page into `target`. */
  read(page: number, target: Page): void {
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
    for (let first = 0; first < this.count; first += LEAF_PAGES) {
      // Most of a large RAM was never written: one comparison skips 2 MiB of zeros.
      if (!table.hasLeaf(first / LEAF_PAGES) && this.#isZeroLeaf(first)) {
        continue;
      }
      for (let page = first; page < Math.min(first + LEAF_PAGES, this.count); page++) {
        yield page;
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

  /** The part of a page that lies in RAM. */
  #cut(page: number, bytes: Page): Page {
    const length = this.#size - page * PAGE_SIZE;
    return length < PAGE_SIZE ? bytes.subarray(0, length) : bytes;
  }
}
