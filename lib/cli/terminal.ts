import { printable } from "../base/printable.js";

// All output of the command line goes through here. It may contain names and lines of files, whose
// control characters are escaped.

/** Writes to stdout. */
export function print(text: string): void {
  process.stdout.write(printable(text, "\n\t"));
}

/** Writes to stderr. */
export function printError(text: string): void {
  process.stderr.write(printable(text, "\n\t"));
}
