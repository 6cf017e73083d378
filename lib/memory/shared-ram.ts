import { isSharedArrayBuffer } from "node:util/types";
import { outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { toByteCount } from "../base/arguments.js";
import { native } from "../native/addon.js";

/** Where guest RAM lies in a SharedArrayBuffer. Plain data, which `postMessage` shares. */
export interface SharedRam {
  readonly buffer: SharedArrayBuffer;
  /** Byte of the buffer that is guest physical address 0. The descriptor's room precedes it. */
  readonly offset: number;
  /** Bytes of RAM. */
  readonly size: number;
}

/** The place of RAM in the caller's memory under its arena; null where that is not shared. */
export function sharedRamOf(owner: DataView | null, base: number, size: number): SharedRam | null {
  const buffer: unknown = owner?.buffer;
  return owner !== null && isSharedArrayBuffer(buffer)
    ? Object.freeze({ buffer, offset: owner.byteOffset + base, size })
    : null;
}

/** The bytes of shared RAM and of the descriptor's room before it. */
export function viewOf(shared: SharedRam): DataView {
  // Nothing that is null or undefined has a buffer either.
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

/** A SharedArrayBuffer, whose pages take no memory until they are touched. */
export function newSharedBuffer(bytes: number): SharedArrayBuffer {
  try {
    return new SharedArrayBuffer(bytes);
  } catch {
    throw outOfMemoryError("the runtime has no room for shared RAM of this size");
  }
}
