import { allocateBlock } from "../base/bytes.js";
import { outOfMemoryError } from "../base/errors.js";
import { native } from "../native/addon.js";

/**
 * Bytes of the runtime, on huge pages if the system has them. Their content is unspecified.
 *
 * @throws Error `ERR_OUT_OF_MEMORY`.
 */
export function newHugeBytes(length: number): Uint8Array {
  let buffer: ArrayBuffer;
  try {
    buffer = allocateBlock(length + native.hugePageSize).buffer as ArrayBuffer;
  } catch {
    throw outOfMemoryError(`the runtime has no room for ${length} bytes`);
  }
  return new Uint8Array(buffer, native.adviseHugePages(buffer), length);
}
