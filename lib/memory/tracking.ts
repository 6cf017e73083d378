import { destroyedError, typeError, withCode } from "../base/errors.js";
import { isInstance } from "../base/arguments.js";
import { type Handle, native } from "../native/addon.js";
import {
  WATCH_BORROWED,
  WATCH_COARSE,
  WATCH_ENDED,
  WATCH_EXACT,
  WATCH_NO_ADDON,
  WATCH_REFUSED,
  WATCH_SHARED,
  WATCH_UNSUPPORTED,
} from "../native/watch-result.js";
import { DirtyBitmap } from "./dirty-bitmap.js";

/**
 * Who tracks the writes to a memory.
 *
 * - `os`: the operating system. It sees writes by anybody: the accessors, writes to buffers of the
 *   memory, other addons, the kernel. Accessors are as fast as those of memory that is not tracked.
 * - `software`: the accessors of this package, which store a mark after each write.
 */
export type Tracking = "os" | "software";

/**
 * How to track the writes to a memory: `"os"` and `"software"` demand a kind of {@link Tracking}.
 * `"auto"` keeps the tracking that the memory has. If it has none, it chooses `"os"` where that is
 * available and exact, and otherwise `"software"`.
 */
export type TrackingMode = "auto" | Tracking;

/** Who demanded the tracking by the operating system: `"auto"` may end it, `"os"` may not. */
export type OsTracking = "auto" | "os";

/** A bitmap, and how to set its marks. */
export interface TrackingChoice {
  readonly bitmap: DirtyBitmap;
  /** Null for tracking by software. */
  readonly os: OsTracking | null;
}

const MODES: readonly unknown[] = ["auto", "os", "software"];

/** @throws TypeError if `how` is not a mode or a bitmap. */
export function checkTracking(
  how: unknown,
  name: string,
): asserts how is TrackingMode | DirtyBitmap {
  if (!MODES.includes(how) && !isInstance(how, DirtyBitmap)) {
    throw typeError(`${name} must be a DirtyBitmap, "auto", "os" or "software"`);
  }
}

const REASONS: Readonly<Record<number, string>> = {
  [WATCH_UNSUPPORTED]:
    "this system does not track writes: that takes Windows, or Linux 6.7 or later " +
    "that permits userfaultfd",
  [WATCH_NO_ADDON]:
    "tracking by the system takes the compiled addon, which is not loaded: memory.native says why",
  [WATCH_BORROWED]: "the system cannot track RAM in an ArrayBuffer, which may be detached",
  [WATCH_REFUSED]:
    "the system refuses to track the writes to this memory: it tracks some of its pages for " +
    "another one, or, on Windows, it was allocated without writeWatch",
  [WATCH_SHARED]:
    "the system tracks the writes of one process only, and other processes may write to this " +
    "memory",
};

/** An Error `ERR_TRACKING_UNAVAILABLE`. */
export function trackingError(message: string): Error {
  return withCode(new Error(message), "ERR_TRACKING_UNAVAILABLE");
}

/**
 * Starts the tracking of a memory by the operating system.
 *
 * @returns Whether it has started.
 * @throws Error `ERR_TRACKING_UNAVAILABLE` if it is demanded and does not start; Error
 * `ERR_DESTROYED` if it is demanded and the memory has ended.
 */
export function startWatch(memory: Handle, by: OsTracking): boolean {
  const result = native.watchStart(memory);
  if (result === WATCH_EXACT || (result === WATCH_COARSE && by === "os")) {
    return true;
  }
  if (by === "os") {
    throw result === WATCH_ENDED
      ? destroyedError("the memory has ended")
      : trackingError(REASONS[result]!);
  }
  native.watchStop(memory);
  return false;
}
