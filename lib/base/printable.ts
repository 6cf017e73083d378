/**
 * What terminals may act on: C0 and C1 controls and DEL, marks and overrides of the writing direction,
 * and separators of lines. As code points, since C1 controls reach a terminal in UTF-8 as well.
 */
const CONTROLS =
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/**
 * A text of unknown origin, such as a name or a line of a file, for a terminal: each character that
 * one may act on becomes `\\uXXXX`, which a string of JSON may contain too.
 *
 * @param kept - Characters to leave as they are, such as `"\\n"` where the text is of several lines.
 */
export function printable(text: string, kept = ""): string {
  return text.replace(CONTROLS, (found) =>
    kept.includes(found) ? found : `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}
