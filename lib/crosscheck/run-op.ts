import type { Gpa } from "../base/gpa.js";
import { OpKind, type OpBuffer, opWidth, opWrites, type TryAccess } from "../native/op-buffer.js";
import { GuestMemAccessResult } from "../base/result.js";

const { OK } = GuestMemAccessResult;

const byte = new Uint8Array(1);
const word = new Uint16Array(1);
const long = new Uint32Array(1);
const quad = new BigUint64Array(1);

// The value of `out` before a read. It shows whether a memory writes to `out` on a fault.
const UNTOUCHED = [0xa5, 0xa5a5, 0xa5a5_a5a5, 0xa5a5_a5a5_a5a5_a5a5n] as const;

/** The value of `out` after a read that faulted. */
export function untouchedValue(kind: OpKind): Gpa {
  return UNTOUCHED[kind & 3]!;
}

/** The bit of the upper half of an operation's value that makes a write pass a signed value. */
const SIGNED = 2 ** 30;

/**
 * The value that a write passes: the low bytes of the operation's value, as signed if bit 62 of it
 * is set. So random values have both kinds, and every small value is unsigned.
 */
export function writtenValue(kind: OpKind, value: bigint): bigint {
  const bits = 8 * opWidth(kind);
  return ((value >> 62n) & 1n) === 0n ? BigInt.asUintN(bits, value) : BigInt.asIntN(bits, value);
}

/** As {@link writtenValue}, for up to 32 bits. */
function writtenNumber(ops: OpBuffer, index: number, bits: 8 | 16 | 32): number {
  const high = ops.lowValue(index) << (32 - bits);
  return (ops.highValue(index) & SIGNED) === 0 ? high >>> (32 - bits) : high >> (32 - bits);
}

/** The outcome of one operation. */
export interface Outcome {
  result: GuestMemAccessResult;
  /** The value of `out` after a read, whatever its result: a bigint for 64 bits. 0 for a write. */
  value: Gpa;
}

/**
 * Runs operation `index` of a buffer on any memory, without changing the buffer.
 *
 * @param outcome - Receives the outcome. The caller passes it, so that nothing is allocated.
 * @throws the errors of the memory.
 */
export function runOp(memory: TryAccess, ops: OpBuffer, index: number, outcome: Outcome): void {
  const gpa = ops.gpaOf(index);
  outcome.value = 0;
  switch (ops.kind(index)) {
    case OpKind.READB:
      byte[0] = UNTOUCHED[0];
      outcome.result = memory.tryReadb(gpa, byte);
      outcome.value = byte[0];
      break;
    case OpKind.READW:
      word[0] = UNTOUCHED[1];
      outcome.result = memory.tryReadw(gpa, word);
      outcome.value = word[0];
      break;
    case OpKind.READL:
      long[0] = UNTOUCHED[2];
      outcome.result = memory.tryReadl(gpa, long);
      outcome.value = long[0];
      break;
    case OpKind.READQ:
      quad[0] = UNTOUCHED[3];
      outcome.result = memory.tryReadq(gpa, quad);
      outcome.value = quad[0];
      break;
    case OpKind.WRITEB:
      outcome.result = memory.tryWriteb(gpa, writtenNumber(ops, index, 8));
      break;
    case OpKind.WRITEW:
      outcome.result = memory.tryWritew(gpa, writtenNumber(ops, index, 16));
      break;
    case OpKind.WRITEL:
      outcome.result = memory.tryWritel(gpa, writtenNumber(ops, index, 32));
      break;
    case OpKind.WRITEQ:
      outcome.result = memory.tryWriteq(gpa, writtenValue(OpKind.WRITEQ, ops.value(index)));
      break;
  }
}

/** Runs a buffer on any memory, and stores results and values in it as `memory.native.run` does. */
export function runAll(memory: TryAccess, ops: OpBuffer): void {
  const outcome: Outcome = { result: OK, value: 0 };
  for (let i = 0; i < ops.length; i++) {
    runOp(memory, ops, i, outcome);
    ops.setResult(i, outcome.result);
    if (outcome.result === OK && !opWrites(ops.kind(i))) {
      ops.setValue(i, outcome.value);
    }
  }
}

/** Reads the outcome of operation `index` from a buffer that the reference has run. */
export function expectOutcome(ops: OpBuffer, index: number, outcome: Outcome): void {
  const kind = ops.kind(index);
  outcome.result = ops.result(index);
  if (opWrites(kind)) {
    outcome.value = 0;
  } else if (outcome.result !== OK) {
    outcome.value = untouchedValue(kind);
  } else {
    outcome.value = opWidth(kind) === 8 ? ops.value(index) : ops.lowValue(index);
  }
}
