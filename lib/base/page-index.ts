const NONE: readonly never[] = [];

/** An index of values by the numbers of the pages that they touch. */
export class PageIndex<T> {
  /** The lists are never changed but replaced, so that a caller can keep one. */
  readonly #pages = new Map<number, readonly T[]>();

  get isEmpty(): boolean {
    return this.#pages.size === 0;
  }

  /** @param last - The last page, inclusive. */
  add(value: T, first: number, last: number): void {
    for (let page = first; page <= last; page++) {
      const found = this.#pages.get(page);
      this.#pages.set(page, found === undefined ? [value] : [...found, value]);
    }
  }

  /** Deletes a value that `add` has added with the same pages. */
  delete(value: T, first: number, last: number): void {
    for (let page = first; page <= last; page++) {
      const found = this.#pages.get(page);
      if (found !== undefined && found.length > 1) {
        const left = found.filter((other) => other !== value);
        this.#pages.set(page, left);
      } else if (found?.[0] === value) {
        this.#pages.delete(page);
      }
    }
  }

  /** All values, each once. */
  values(): readonly T[] {
    return [...new Set([...this.#pages.values()].flat())];
  }

  /** The values that touch a page. */
  at(page: number): readonly T[] {
    return this.#pages.get(page) ?? NONE;
  }

  /** The values that touch a range of pages, each once. */
  touching(first: number, last: number): readonly T[] {
    if (first === last) {
      return this.at(first);
    }
    const pages = this.#pages;
    const found = new Set<T>();
    if (last - first < pages.size) {
      for (let page = first; page <= last; page++) {
        pages.get(page)?.forEach((value) => found.add(value));
      }
    } else {
      for (const [page, values] of pages) {
        if (page >= first && page <= last) {
          values.forEach((value) => found.add(value));
        }
      }
    }
    return [...found];
  }
}
