/** What the native path does for its writes. */
export interface Marks {
  /** The armed code guards, to call before a write; null if there are none. */
  readonly guards: { call(offset: number, length: number): boolean } | null;
  /** The dirty bitmap, or null while writes are not tracked. */
  readonly dirty: { markPage(page: number): void } | null;
}
