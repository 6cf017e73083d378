/** Which way to look from an address. */
export type Direction = "forward" | "backward";

/** What a search came to: a match, or where to go on, or neither at the end of the snapshot. */
export interface Found {
  readonly match: bigint | null;
  readonly next: bigint | null;
}

/** Ends a search that takes long, so that a request stays short and can be given up. */
export class Budget {
  readonly #end: number;
  #pages: number;

  /**
   * @param pages - To read, at most.
   * @param milliseconds - To take, at most.
   * @param signal - Ends it at once.
   */
  constructor(
    pages: number,
    milliseconds: number,
    readonly signal: AbortSignal,
  ) {
    this.#pages = pages;
    this.#end = performance.now() + milliseconds;
  }

  /** Takes note of pages about to be read; gives whether there is nothing left to read them with. */
  spend(pages: number): boolean {
    this.#pages -= pages;
    return this.signal.aborted || this.#pages < 0 || performance.now() > this.#end;
  }
}
