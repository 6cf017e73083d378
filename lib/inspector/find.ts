/** The direction of a search from an address. */
export type Direction = "forward" | "backward";

/** The result of a search: a match, or the address to go on from, or neither at the end. */
export interface Found {
  readonly match: bigint | null;
  readonly next: bigint | null;
}

/** Limits the work of one search request, so that it ends soon and can be cancelled. */
export class Budget {
  readonly #end: number;
  #pages: number;

  /**
   * @param pages - The most pages to read.
   * @param milliseconds - The most time to take.
   * @param signal - Cancels the search.
   */
  constructor(
    pages: number,
    milliseconds: number,
    readonly signal: AbortSignal,
  ) {
    this.#pages = pages;
    this.#end = performance.now() + milliseconds;
  }

  /** Subtracts pages that are about to be read. Returns true if the budget is used up. */
  spend(pages: number): boolean {
    this.#pages -= pages;
    return this.signal.aborted || this.#pages < 0 || performance.now() > this.#end;
  }
}
