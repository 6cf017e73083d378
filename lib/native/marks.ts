/** Where the native path marks pages as written. */
export interface Marks {
  /** The dirty bitmap, or null while writes are not tracked. */
  readonly dirty: { markPage(page: number): void } | null;
}
