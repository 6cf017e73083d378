/** What the native path does for its writes. */
export interface Marks {
  /** The armed code guards; null if there are none. */
  readonly guards: object | null;
  /** Calls the guards of a write that will not fault. */
  callGuards(offset: number, length: number): boolean;
  /** Marks the pages of a range, after the write. */
  mark(offset: number, length: number): void;
  /** The dirty bitmap, or null while writes are not tracked. */
  readonly dirty: { markPage(page: number): void } | null;
}
