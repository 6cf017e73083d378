import { NO_SLOT } from "./code-cache.js";

const ENTRIES = 256;
const PAGE_SHIFT = 12;
/** Set in the tag of an entry that is used. Addresses of pages have a 0 there. */
const USED = 1;

/** The slots of pages of code that were used lately, by virtual address. */
export class RecentPages {
  private readonly tags = new Int32Array(ENTRIES);
  private readonly highs = new Int32Array(ENTRIES);
  private readonly slots = new Int32Array(ENTRIES);

  /** The slot of the page at an address in halves; {@link NO_SLOT} if it is not known. */
  slotOf(low: number, high: number): number {
    const entry = (low >>> PAGE_SHIFT) % ENTRIES;
    return this.tags[entry] === (low | USED) && this.highs[entry] === high
      ? this.slots[entry]!
      : NO_SLOT;
  }

  add(low: number, high: number, slot: number): void {
    const entry = (low >>> PAGE_SHIFT) % ENTRIES;
    this.tags[entry] = low | USED;
    this.highs[entry] = high;
    this.slots[entry] = slot;
  }

  clear(): void {
    this.tags.fill(0);
  }
}
