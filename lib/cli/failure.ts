/** A failure whose message alone tells a user what to do about it. */
export class CliError extends Error {
  override readonly name = "CliError";
}

/**
 * What to tell a user of an error: a line where the error was foreseen (ours and Node's have a
 * `code`), the whole stack where it can only be a defect.
 */
export function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) {
    return String(error);
  }
  const foreseen = error instanceof CliError || errorCode(error) !== undefined;
  return foreseen ? error.message : (error.stack ?? error.message);
}

/** The `code` of an error, if it has one that is text. */
export function errorCode(error: unknown): string | undefined {
  const code: unknown = error instanceof Error ? Reflect.get(error, "code") : undefined;
  return typeof code === "string" ? code : undefined;
}
