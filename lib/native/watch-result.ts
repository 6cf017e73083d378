/** The result of `watchStart`: `watch_result_t` of native/addon/watch_binding.cpp, and one more. */
export type WatchResult =
  | typeof WATCH_EXACT
  | typeof WATCH_COARSE
  | typeof WATCH_UNSUPPORTED
  | typeof WATCH_BORROWED
  | typeof WATCH_REFUSED
  | typeof WATCH_ENDED
  | typeof WATCH_SHARED
  | typeof WATCH_NO_ADDON;

/** Marks are exact, and the memory is as fast as before. */
export const WATCH_EXACT = 0;
/** Pages beside written ones are marked too, or writes split huge pages. */
export const WATCH_COARSE = 1;
/** The system has no such tracking, or refuses it to the process. */
export const WATCH_UNSUPPORTED = 2;
/** The RAM lies in memory that can be unmapped while it is watched. */
export const WATCH_BORROWED = 3;
/** The system refuses it for these pages. */
export const WATCH_REFUSED = 4;
/** The memory has ended. */
export const WATCH_ENDED = 5;
/** Other processes may write to the memory, which the system would not report. */
export const WATCH_SHARED = 6;
/** The addon is not loaded. */
export const WATCH_NO_ADDON = 7;
