import type { Region } from "./addresses.mjs";
import type { HeatMode } from "./heat.mjs";
import type { ViewType } from "./values.mjs";

/** Bytes in a row of the hex view. */
export const ROW = 16;

/** What the panels show at one moment. */
export interface State {
  readonly region: Region;
  /** The cursor, in bytes from the region's start. */
  readonly cursor: number;
  /** The type that the bytes are shown as. */
  readonly type: ViewType;
  /** Which of the two snapshots is shown: 0 or 1. */
  readonly side: number;
  /** What the colours of the heat map mean. */
  readonly mode: HeatMode;
  /** Bytes to mark wherever they are shown; null before the first search. */
  readonly pattern: Uint8Array | null;
}

/** Returns the address of the cursor. */
export function cursorAddress({ region, cursor }: State): bigint {
  return region.gpa + BigInt(cursor);
}
