/** Where the native path marks the pages that it has written. */
export interface Marks {
  /** The dirty bitmap; null while the memory is not tracked. */
  readonly dirty: { markPage(page: number): void } | null;
}
