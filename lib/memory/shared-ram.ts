import { isSharedArrayBuffer } from "node:util/types";
import { outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { toByteCount } from "../base/arguments.js";
import { native } from "../native/addon.js";

/** The position of guest RAM in a SharedArrayBuffer. Plain data that `postMessage` can send. */
export interface SharedRam {
  readonly buffer: SharedArrayBuffer;
  /** Byte offset of guest physical address 0. The bytes of the descriptor precede it. */
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

/**
 * The bytes of shared RAM and of the descriptor before it.
 *
 * @throws TypeError if `shared` is not a {@link SharedRam}; RangeError if the RAM and its
 * descriptor do not lie in the buffer.
 */
export function viewOf(shared: SharedRam): DataView {
  // Null and undefined fail the check of the buffer.
  const { buffer, offset, size } = (shared ?? {}) as Partial<SharedRam>;
  if (!isSharedArrayBuffer(buffer)) {
    throw typeError("shared must be the shareable of a guest memory");
  }
  const start = toByteCount(offset as number, "shared.offset") - native.descriptorSize;
  const length = toByteCount(size as number, "shared.size") + native.descriptorSize;
  if (start < 0 || start + length > buffer.byteLength) {
    throw rangeError("shared RAM must lie in its buffer, after the descriptor's room");
  }
  return new DataView(buffer, start, length);
}

/** Allocates a SharedArrayBuffer. Its pages become resident when they are first touched. */
export function newSharedBuffer(bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes);
  } catch {
    throw outOfMemoryError("the runtime has no room for shared RAM of this size");
  }
}
