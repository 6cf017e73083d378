import { PAGE_SIZE } from "../base/page.js";
import type { Page } from "./page-table.js";

/** Pages of the blocks that pages are cut from; one buffer each would cost a tenth of the page. */
const BLOCK_PAGES = 64;

/** Makes room for the pages of a snapshot. */
export class PageStore {
  #block: Uint8Array = new Uint8Array(0);
  #used = 0;

  /** @param expected - How many pages will be asked for, at most. */
  constructor(private expected: number) {}

  /** Room for one page, of any content. */
  allocate(): Page {
    if (this.#used === this.#block.length) {
      const pages = Math.max(1, Math.min(BLOCK_PAGES, this.expected));
      this.#block = Buffer.allocUnsafeSlow(pages * PAGE_SIZE);
      this.#used = 0;
    }
    this.expected--;
    const page = this.#block.subarray(this.#used, this.#used + PAGE_SIZE);
    this.#used += PAGE_SIZE;
    return page;
  }
}
