import { type ErrorCode, withCode } from "../base/errors.js";

/** Thrown for a file that is not a snapshot or is damaged. Nothing was restored from it. */
export class SnapshotFormatError extends Error {
  /** Stable identifier of this kind of error. */
  readonly code = "ERR_SNAPSHOT_INVALID" satisfies ErrorCode;
  override readonly name = "SnapshotFormatError";

  /**
   * @param reason - The rule of the format that the file breaks.
   * @param offset - Where the file breaks it, in bytes from the start of the file.
   */
  constructor(
    readonly reason: string,
    readonly offset: number,
  ) {
    super(`invalid snapshot: ${reason} (at byte ${offset} of the file)`);
  }
}

/** Makes an Error `ERR_SNAPSHOT_MISMATCH`. */
export function mismatchError(message: string): Error {
  return withCode(new Error(message), "ERR_SNAPSHOT_MISMATCH");
}

/** Makes an Error `ERR_NOT_REGULAR_FILE`. */
export function notRegularFileError(path: string): Error {
  return withCode(new Error(`${JSON.stringify(path)} is no regular file`), "ERR_NOT_REGULAR_FILE");
}
