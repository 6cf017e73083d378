import { newShared, requireShared } from "../base/bytes.js";
import { isSharedArrayBuffer } from "../base/type-checks.js";
import { outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { toByteCount } from "../base/arguments.js";
import { extentOf } from "../base/view.js";

/** The position of guest RAM in a SharedArrayBuffer. Plain data that `postMessage` can send. */
export interface SharedRam {
  readonly buffer: SharedArrayBuffer;
  /** Byte offset of guest physical address 0. */
  readonly offset: number;
  /** Bytes of RAM. */
  readonly size: number;
}

/**
 * The position of RAM in the caller's memory under its arena, or null if that memory is not a
 * SharedArrayBuffer.
 *
 * @param base - Offset of the RAM in `owner`, in bytes.
 * @param size - Bytes of RAM.
 */
export function sharedRamOf(owner: DataView | null, base: number, size: number): SharedRam | null {
  const buffer: unknown = owner?.buffer;
  return owner !== null && isSharedArrayBuffer(buffer)
    ? Object.freeze({ buffer, offset: owner.byteOffset + base, size })
    : null;
}

/** A view of shared RAM, which starts at `base` in the view. */
interface SharedView {
  readonly view: DataView;
  readonly base: number;
}

/**
 * A view whose bytes from `base` on are the shared RAM.
 *
 * @throws TypeError if `shared` is not a {@link SharedRam}; RangeError if the RAM does not lie in
 * the buffer.
 */
export function viewOf(shared: SharedRam): SharedView {
  // Null and undefined fail the check of the buffer.
  const { buffer, offset, size } = (shared ?? {}) as Partial<SharedRam>;
  if (!isSharedArrayBuffer(buffer)) {
    throw typeError("shared must be the shareable of a guest memory");
  }
  const start = toByteCount(offset as number, "shared.offset");
  const length = toByteCount(size as number, "shared.size");
  // An arena has at least 1 byte, so an empty RAM needs the byte before it. There is one, because
  // only RAM after a descriptor can be empty.
  const base = length === 0 ? 1 : 0;
  if (start < base || start + length > (extentOf(buffer)?.byteLength ?? 0)) {
    throw rangeError("shared RAM must lie in its buffer");
  }
  return { view: new DataView(buffer, start - base, length + base), base };
}

/** Allocates a SharedArrayBuffer. Its pages become resident when they are first touched. */
export function newSharedBuffer(bytes: number): SharedArrayBuffer {
  let buffer: SharedArrayBuffer;
  try {
    buffer = newShared(bytes);
  } catch {
    throw outOfMemoryError("the runtime has no room for shared RAM of this size");
  }
  return requireShared(buffer);
}
