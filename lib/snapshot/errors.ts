import { type ErrorCode, withCode } from "../base/errors.js";

/** A file that is no snapshot, or a damaged one. Nothing has been restored from it. */
export class SnapshotFormatError extends Error {
  /** Stable identifier of this kind of error. */
  readonly code = "ERR_SNAPSHOT_INVALID" satisfies ErrorCode;
  override readonly name = "SnapshotFormatError";

  /**
   * @param reason - What is wrong.
   * @param offset - Where in the file, in bytes from its start.
   */
  constructor(
    readonly reason: string,
    readonly offset: number,
  ) {
    super(`invalid snapshot: ${reason} (at byte ${offset} of the file)`);
  }
}

/** An Error `ERR_SNAPSHOT_MISMATCH`. */
export function mismatchError(message: string): Error {
  return withCode(new Error(message), "ERR_SNAPSHOT_MISMATCH");
}

/** An Error `ERR_NOT_REGULAR_FILE`. */
export function notRegularFileError(path: string): Error {
  return withCode(new Error(`${JSON.stringify(path)} is no regular file`), "ERR_NOT_REGULAR_FILE");
}
