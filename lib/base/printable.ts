/**
 * Characters that a terminal may interpret: C0 and C1 controls, DEL, marks and overrides of the
 * writing direction, and line separators. C1 controls also work when they are encoded in UTF-8.
 */
const CONTROLS =
  // eslint-disable-next-line no-control-regex -- the pattern matches them on purpose
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * Makes untrusted text, such as a name or a line of a file, safe to print on a terminal. Each
 * character that a terminal may interpret becomes `\\uXXXX`, which is also valid in a JSON string.
 *
 * @param kept - Characters to keep, such as `"\\n"` for text of several lines.
 */
export function printable(text: string, kept = ""): string {
  return text.replace(CONTROLS, (found) =>
    kept.includes(found) ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** A number in hexadecimal, such as `0x1000`. */
export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}
