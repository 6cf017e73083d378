import { allocateBlock } from "../base/bytes.js";
import { PAGE_SIZE } from "../base/page.js";
import { newHugeBytes } from "../memory/huge-bytes.js";
import type { Page } from "./page-table.js";

/** Pages of the first block. A buffer for each page would add a tenth to its memory. */
const FIRST_BLOCK = 64;
/**
 * Pages of the largest blocks. Each block has twice the pages of the one before, and is freed with
 * the last of its pages.
 */
const LARGEST_BLOCK = 2048;
/** Pages of the smallest blocks that ask for huge pages, of 512 pages each. */
const HUGE_BLOCK = 512;

/**
 * Allocates the pages of a snapshot, in blocks. Most of the time of a large snapshot would be that
 * of the system for the first touch of each page, so large blocks ask for huge pages.
 */
export class PageStore {
  #block: Uint8Array = new Uint8Array(0);
  #used = 0;
  #next: number;

  /**
   * @param expected - The maximum number of pages that will be allocated.
   * @param likely - How many of them probably will be.
   */
  constructor(
    private expected: number,
    likely = 0,
  ) {
    this.#next = Math.min(Math.max(likely, FIRST_BLOCK), LARGEST_BLOCK);
  }

  /** Allocates one page with unspecified content. */
  allocate(): Page {
    const page = this.room(1);
    this.use(1);
    return page;
  }

  /** From 1 to `atMost` adjacent pages with unspecified content, which are not allocated yet. */
  room(atMost: number): Uint8Array {
    if (this.#used === this.#block.length) {
      this.#open(1);
    }
    return this.#view(Math.min(atMost * PAGE_SIZE, this.#block.length - this.#used));
  }

  /** Allocates the first pages of the last `room`. */
  use(pages: number): void {
    this.#used += pages * PAGE_SIZE;
    this.expected -= pages;
  }

  /** Allocates adjacent pages. */
  allocateRun(pages: number): Uint8Array {
    if (this.#block.length - this.#used < pages * PAGE_SIZE) {
      this.#open(pages);
    }
    const run = this.#view(pages * PAGE_SIZE);
    this.use(pages);
    return run;
  }

  #view(length: number): Uint8Array {
    return new Uint8Array(this.#block.buffer, this.#block.byteOffset + this.#used, length);
  }

  #open(least: number): void {
    const pages = Math.max(least, Math.min(this.#next, this.expected));
    this.#next = Math.min(2 * this.#next, LARGEST_BLOCK);
    const bytes = pages * PAGE_SIZE;
    this.#block = pages < HUGE_BLOCK ? allocateBlock(bytes) : newHugeBytes(bytes);
    this.#used = 0;
  }
}
