import type { Missing } from "../client/byte-cache.mjs";
import { isPrintable, type ViewType } from "../model/values.mjs";

/** Bytes of a row, or why they are not known. */
export type RowBytes = Uint8Array | Missing;

/** What is known of a row's bytes. */
export interface RowContent {
  readonly bytes: RowBytes;
  /** The same bytes of the snapshot to compare with; null if there is one snapshot. */
  readonly others: RowBytes | null;
  /** A 1 for each byte that is part of a match; null before the first search. */
  readonly marks: Uint8Array | null;
  /** A number above 0 for each byte that has changed lately; null if nothing changes. */
  readonly fresh: Uint8Array | null;
  /** The index of the byte at the cursor, which may be outside the row. */
  readonly cursor: number;
}

/** Formats the element that starts at a byte of the row. */
export function elementText(bytes: RowBytes, at: number, type: ViewType): string {
  if (typeof bytes === "string") {
    return bytes === "damaged" ? "??" : "··";
  }
  // The end of a region may cut off its last element.
  if (at + type.bytes > bytes.length) {
    return "";
  }
  return type.format(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at);
}

/** Returns the CSS classes of a byte. */
export function byteLook(at: number, { bytes, others, marks, fresh, cursor }: RowContent): string {
  if (typeof bytes === "string") {
    return bytes;
  }
  const byte = bytes[at];
  if (byte === undefined) {
    return "beyond";
  }
  const differs = others !== null && typeof others !== "string" && others[at] !== byte;
  const kind = byte === 0 ? "zero" : isPrintable(byte) ? "print" : "other";
  const isFresh = (fresh?.[at] ?? 0) > 0;
  return [
    kind,
    differs && "differs",
    isFresh && "fresh",
    marks?.[at] === 1 && "match",
    at === cursor && "cursor",
  ]
    .filter((name) => name !== false)
    .join(" ");
}

/** Returns the CSS classes of an element from those of its bytes. */
export function mergeLooks(looks: readonly string[]): string {
  if (looks.length === 1) {
    return looks[0]!;
  }
  const all = new Set(looks.flatMap((look) => look.split(" ")));
  // An element is zero only if all of its bytes are, and it is no character.
  if (all.has("print") || all.has("other")) {
    all.delete("zero");
  }
  if (all.delete("print")) {
    all.add("other");
  }
  return [...all].join(" ");
}
