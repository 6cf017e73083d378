/** A request that cannot be answered, and the HTTP status that says why. */
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

/** What a request asks with a parameter that is missing or wrong. */
export function badParameter(message: string): RequestError {
  return new RequestError(400, "ERR_BAD_PARAMETER", message);
}
