import type { Op } from "../native/op-buffer.js";
import type { Outcome } from "./run-op.js";

/** One side of a difference. */
export type Side = Readonly<Outcome> | { readonly thrown: string };

/** The first difference between a subject and the reference, with the operations that show it. */
export interface Difference {
  /** The index in the source of the operation that showed it. */
  readonly index: number;
  /**
   * The shortest sequence found that shows a difference, from zeroed RAM, at its last operation.
   */
  readonly ops: readonly Op[];
  /** The outcomes of the last of {@link Difference.ops} on the reference and on the subject. */
  readonly expected: Side;
  readonly actual: Side;
  /** The 16 bytes of RAM around its address afterwards; null if they cannot be read. */
  readonly expectedBytes: Uint8Array | null;
  readonly actualBytes: Uint8Array | null;
  /** A text for people: the operations as code to paste, both outcomes and the bytes. */
  readonly report: string;
}
