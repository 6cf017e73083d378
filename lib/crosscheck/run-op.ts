import type { Gpa } from "../base/gpa.js";
import { OpKind, type OpBuffer, opWidth, opWrites, type TryAccess } from "../native/op-buffer.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Out } from "../base/widths.js";

const { OK } = GuestMemAccessResult;

const byte = new Uint8Array(1);
const word = new Uint16Array(1);
const long = new Uint32Array(1);
const quad = new BigUint64Array(1);
const OUTS: readonly Out[] = [byte, word, long, quad];
/** Receives 64 bits in its last two elements. */
const pair = new Uint32Array(3);

type Halves = NonNullable<TryAccess["halves"]>;

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
 * Runs operation `index` of a buffer on any memory, without changing the buffer. If the memory has
 * accessors with halves, a read uses each form that it has, and a write one of them, which depends
 * on the address and the value.
 *
 * @param outcome - Receives the outcome. The caller passes it, so that nothing is allocated.
 * @throws the errors of the memory; Error if the forms of a read disagree.
 */
export function runOp(memory: TryAccess, ops: OpBuffer, index: number, outcome: Outcome): void {
  const gpa = ops.gpaOf(index);
  const kind = ops.kind(index);
  if (opWrites(kind)) {
    outcome.result = write(memory, kind, gpa, ops, index);
    outcome.value = 0;
    return;
  }
  outcome.result = read(memory, kind, gpa);
  outcome.value = OUTS[kind]![0]!;
  if (memory.tryReadqHalves !== undefined && kind === OpKind.READQ) {
    pair.fill(UNTOUCHED[2]);
    const result = memory.tryReadqHalves(gpa, pair, 1);
    checkForm("tryReadqHalves", result, pairValue(), outcome);
  }
  if (memory.halves !== undefined) {
    const result = readSplit(memory.halves, kind, lowOf(gpa), highOf(gpa));
    const value = kind === OpKind.READQ ? pairValue() : OUTS[kind]![0]!;
    checkForm(`halves.tryRead${"bwlq"[kind]}`, result, value, outcome);
  }
}

function read(memory: TryAccess, kind: OpKind, gpa: Gpa): GuestMemAccessResult {
  switch (kind) {
    case OpKind.READB:
      byte[0] = UNTOUCHED[0];
      return memory.tryReadb(gpa, byte);
    case OpKind.READW:
      word[0] = UNTOUCHED[1];
      return memory.tryReadw(gpa, word);
    case OpKind.READL:
      long[0] = UNTOUCHED[2];
      return memory.tryReadl(gpa, long);
    default:
      quad[0] = UNTOUCHED[3];
      return memory.tryReadq(gpa, quad);
  }
}

/** As `read`, with the address in halves. A 64-bit value goes to `pair`. */
function readSplit(halves: Halves, kind: OpKind, low: number, high: number): GuestMemAccessResult {
  switch (kind) {
    case OpKind.READB:
      byte[0] = UNTOUCHED[0];
      return halves.tryReadb(low, high, byte);
    case OpKind.READW:
      word[0] = UNTOUCHED[1];
      return halves.tryReadw(low, high, word);
    case OpKind.READL:
      long[0] = UNTOUCHED[2];
      return halves.tryReadl(low, high, long);
    default:
      pair.fill(UNTOUCHED[2]);
      return halves.tryReadq(low, high, pair, 1);
  }
}

/** The 64-bit value in the last two elements of `pair`. */
function pairValue(): bigint {
  return (BigInt(pair[2]!) << 32n) | BigInt(pair[1]!);
}

function checkForm(form: string, result: number, value: Gpa, outcome: Outcome): void {
  if (result !== outcome.result || value !== outcome.value) {
    throw new Error(
      `${form}: code ${result}, out 0x${value.toString(16)}; ` +
        `the form with whole values: code ${outcome.result}, out 0x${outcome.value.toString(16)}`,
    );
  }
}

function write(
  memory: TryAccess,
  kind: OpKind,
  gpa: Gpa,
  ops: OpBuffer,
  index: number,
): GuestMemAccessResult {
  const low = ops.lowValue(index);
  const form = ((lowOf(gpa) >>> 3) ^ low) & 3;
  if (memory.halves !== undefined && form >= 2) {
    return writeSplit(memory.halves, kind, gpa, ops, index);
  }
  switch (kind) {
    case OpKind.WRITEB:
      return memory.tryWriteb(gpa, writtenNumber(ops, index, 8));
    case OpKind.WRITEW:
      return memory.tryWritew(gpa, writtenNumber(ops, index, 16));
    case OpKind.WRITEL:
      return memory.tryWritel(gpa, writtenNumber(ops, index, 32));
    default:
      return memory.tryWriteqHalves !== undefined && form === 1
        ? memory.tryWriteqHalves(gpa, low, highOf(ops.value(index)))
        : memory.tryWriteq(gpa, writtenValue(OpKind.WRITEQ, ops.value(index)));
  }
}

/** As `write`, with the address in halves. */
function writeSplit(
  halves: Halves,
  kind: OpKind,
  gpa: Gpa,
  ops: OpBuffer,
  index: number,
): GuestMemAccessResult {
  const value = ops.lowValue(index);
  switch (kind) {
    case OpKind.WRITEB:
      return halves.tryWriteb(lowOf(gpa), highOf(gpa), writtenNumber(ops, index, 8));
    case OpKind.WRITEW:
      return halves.tryWritew(lowOf(gpa), highOf(gpa), writtenNumber(ops, index, 16));
    case OpKind.WRITEL:
      return halves.tryWritel(lowOf(gpa), highOf(gpa), writtenNumber(ops, index, 32));
    default:
      return halves.tryWriteq(lowOf(gpa), highOf(gpa), value, highOf(ops.value(index)));
  }
}

function lowOf(value: Gpa): number {
  return typeof value === "number" ? value >>> 0 : Number(value & 0xffff_ffffn);
}

function highOf(value: Gpa): number {
  return typeof value === "number" ? Math.floor(value / 2 ** 32) : Number(value >> 32n);
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
