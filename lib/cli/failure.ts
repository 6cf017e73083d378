/** An error whose message is enough for the user: no stack trace is printed. */
export class CliError extends Error {
  override readonly name = "CliError";
}

/**
 * The text to print for an error: the message of an expected error (this package's and Node's have
 * a `code`), or the stack of any other, which can only be a defect.
 */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const foreseen = error instanceof CliError || errorCode(error) !== undefined;
  return foreseen ? error.message : (error.stack ?? error.message);
}

/** The `code` of an error, if it is a string. */
export function errorCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
  return typeof code === "string" ? code : undefined;
}
