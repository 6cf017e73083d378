import { allocateBlock } from "../base/bytes.js";
import { PAGE_SIZE } from "../base/page.js";
import type { Page } from "./page-table.js";

/** Pages per block. A buffer for each page would add a tenth to its memory. */
const BLOCK_PAGES = 64;

/** Allocates the pages of a snapshot, in blocks. */
export class PageStore {
  #block: Uint8Array = new Uint8Array(0);
  #used = 0;

  /** @param expected - The maximum number of pages that will be allocated. */
  constructor(private expected: number) {}

  /** Allocates one page with unspecified content. */
  allocate(): Page {
    if (this.#used === this.#block.length) {
      const pages = Math.max(1, Math.min(BLOCK_PAGES, this.expected));
      this.#block = allocateBlock(pages * PAGE_SIZE);
      this.#used = 0;
    }
    this.expected--;
    const page = this.#block.subarray(this.#used, this.#used + PAGE_SIZE);
    this.#used += PAGE_SIZE;
    return page;
  }
}
