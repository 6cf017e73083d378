import type { GuestMemoryInternals } from "../memory/guest-memory.js";

/** Bytes of a memory that a write changes. */
export interface WrittenBytes {
  readonly internals: GuestMemoryInternals;
  /** Offset of the first byte from the start of the memory. */
  readonly offset: number;
  readonly length: number;
}

/** Calls the guards of all bytes of a write, before the first byte changes. */
export function callGuards(pieces: readonly WrittenBytes[]): void {
  for (const { internals, offset, length } of pieces) {
    internals.marks.guards?.call(offset, length);
  }
}

/**
 * Makes a write whose guards were called. It does not call the guards that their listeners have
 * armed.
 */
export function unguarded(pieces: readonly WrittenBytes[], write: () => void): void {
  const guarded = pieces
    .map(({ internals }) => internals.marks)
    .filter(({ guards }) => guards !== null);
  const armed = guarded.map(({ guards }) => guards);
  try {
    guarded.forEach((marks) => (marks.guards = null));
    write();
  } finally {
    guarded.forEach((marks, i) => (marks.guards = armed[i]!));
  }
}
