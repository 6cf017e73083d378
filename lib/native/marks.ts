/** Where the native path marks pages as written. */
export interface Marks {
  /** Marks the pages of a range, after the write. */
  mark(offset: number, length: number): void;
  /** The dirty bitmap, or null while writes are not tracked. */
  readonly dirty: { markPage(page: number): void } | null;
}
