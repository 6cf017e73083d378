import type { ErrorCode } from "../base/errors.js";

/**
 * An image that cannot be loaded: the file is malformed, is for something else, or does not fit
 * where it wants to go. No guest byte has changed.
 */
export class BadImageError extends Error {
  /** Stable identifier of this kind of error. */
  readonly code = "ERR_BAD_IMAGE" satisfies ErrorCode;
  override readonly name = "BadImageError";

  /**
   * @param offset - Bytes into the file of the field or byte at fault.
   * @param reason - What is wrong there.
   */
  constructor(
    readonly offset: number,
    readonly reason: string,
  ) {
    super(`bad image: at offset 0x${offset.toString(16)}: ${reason}`);
  }
}
