import type { Op } from "../native/op-buffer.js";
import type { Outcome } from "./run-op.js";

/** One side of a difference. */
export type Side = Readonly<Outcome> | { readonly thrown: string };

/** The first thing on which a subject and the reference did not agree, made small. */
export interface Difference {
  /** The position in the source of the operation that showed it. */
  readonly index: number;
  /** The shortest sequence found that shows a difference, from zeroed RAM, at its last operation. */
  readonly ops: readonly Op[];
  /** What the reference and the subject made of the last of {@link Difference.ops}. */
  readonly expected: Side;
  readonly actual: Side;
  /** The 16 bytes of RAM around it afterwards; null where they cannot be read. */
  readonly expectedBytes: Uint8Array | null;
  readonly actualBytes: Uint8Array | null;
  /** For people: the operations as code that can be pasted, both results and the bytes. */
  readonly report: string;
}
