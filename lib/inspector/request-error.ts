import { SnapshotFormatError } from "../snapshot/errors.js";

/** Thrown for a request that cannot be answered, with the HTTP status of the response. */
export class RequestError extends Error {
  override readonly name = "RequestError";

  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
  ) {
    super(message);
  }

  /** The response to anything that was thrown. */
  static from(error: unknown): RequestError {
    if (error instanceof RequestError) {
      return error;
    }
    const message = error instanceof Error ? error.message : String(error);
    const code = error instanceof SnapshotFormatError ? error.code : "ERR_INTERNAL";
    return new RequestError(500, code, message);
  }
}

/** The error for a request with a missing or invalid parameter. */
export function badParameter(message: string): RequestError {
  return new RequestError(400, "ERR_BAD_PARAMETER", message);
}
