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
}

/** The error for a request with a missing or invalid parameter. */
export function badParameter(message: string): RequestError {
  return new RequestError(400, "ERR_BAD_PARAMETER", message);
}
