import type { ErrorCode } from "../base/errors.js";

/**
 * Thrown for an image that cannot be loaded: the file is malformed, is for another machine, or does
 * not fit at its address. No guest byte has changed.
 */
export class BadImageError extends Error {
  /** Stable identifier of this kind of error. */
  readonly code = "ERR_BAD_IMAGE" satisfies ErrorCode;
  override readonly name = "BadImageError";

  /**
   * @param offset - File offset in bytes of the wrong field or byte. For a compressed file, it is
   * an offset in the decompressed bytes.
   * @param reason - What is wrong there.
   * @param line - The line of a text file, from 1; null for a binary file.
   */
  constructor(
    readonly offset: number,
    readonly reason: string,
    readonly line: number | null = null,
  ) {
    const where = line === null ? `offset 0x${offset.toString(16)}` : `line ${line}`;
    super(`bad image: at ${where}: ${reason}`);
  }
}
