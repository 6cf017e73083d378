import { type Op, opWidth } from "../native/op-buffer.js";

/** Whether a sequence of operations still shows the difference. */
export type ShowsDifference<T = Op> = (ops: readonly T[]) => boolean;

/**
 * Shortens a sequence that shows a difference: leaves operations out, and simplifies addresses and
 * values, as long as the sequence still shows a difference.
 *
 * @param ops - A sequence that shows a difference.
 */
export function shrink(ops: readonly Op[], shows: ShowsDifference): readonly Op[] {
  return simplify(leaveOut(ops, shows), shows);
}

/** Leaves out smaller and smaller runs of operations (delta debugging). */
export function leaveOut<T>(ops: readonly T[], shows: ShowsDifference<T>): readonly T[] {
  let kept = ops;
  for (let run = Math.ceil(kept.length / 2); run >= 1; run = Math.floor(run / 2)) {
    for (let at = 0; at < kept.length;) {
      const fewer = [...kept.slice(0, at), ...kept.slice(at + run)];
      if (fewer.length > 0 && shows(fewer)) {
        kept = fewer;
      } else {
        at += run;
      }
    }
  }
  return kept;
}

/** Simplifies one operation after the other, until none can be simplified further. */
function simplify(ops: readonly Op[], shows: ShowsDifference): readonly Op[] {
  let kept = ops;
  for (let i = 0; i < kept.length; i++) {
    const simpler = simplerOps(kept[i]!)
      .map((op) => kept.with(i, op))
      .find(shows);
    if (simpler !== undefined) {
      kept = simpler;
      i = -1;
    }
  }
  return kept;
}

/**
 * Simpler forms of an operation, the simplest first. Each is strictly smaller, so shrinking ends.
 */
function simplerOps(op: Op): Op[] {
  const width = BigInt(opWidth(op.kind));
  const addresses = [0n, width, op.gpa % 64n, op.gpa % 4096n, op.gpa % 2n ** 32n, op.gpa / 2n];
  const values = [0n, 1n, 0x80n, 0xffn, op.value & (2n ** (8n * width) - 1n)];
  return [
    ...addresses.filter((gpa) => gpa < op.gpa).map((gpa) => ({ ...op, gpa })),
    ...values.filter((value) => value < op.value).map((value) => ({ ...op, value })),
  ];
}
