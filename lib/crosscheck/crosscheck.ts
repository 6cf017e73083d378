import type { Difference, Side } from "./difference.js";
import { PAGE_SIZE } from "../base/page.js";
import { typeError } from "../base/errors.js";
import { checkFunction, checkObject, toByteCount } from "../base/arguments.js";
import { type Gpa } from "../base/gpa.js";
import { GuestMemory } from "../memory/guest-memory.js";
import {
  checkTryAccess,
  type Op,
  OpBuffer,
  OpKind,
  opWrites,
  packOps,
  type TryAccess,
} from "../native/op-buffer.js";
import { GuestMemAccessResult } from "../base/result.js";
import { expectOutcome, type Outcome, runAll, runOp } from "./run-op.js";
import { listedOps, type OpSource } from "./sources.js";

/** Makes a memory of so many zeroed bytes: a fresh one at each call. */
export type MakeMemory = (size: number) => TryAccess;

/** How to cross-check. */
export interface CrosscheckOptions {
  /** Bytes of RAM, as `size` of both memories. */
  readonly size: number;
  /** What to compare with; the native path if not given. */
  readonly reference?: MakeMemory;
  /** Said in the report, to find the operations again, for instance `"seed 1"`. */
  readonly label?: string;
  /** Called after each batch with the number of operations done. */
  readonly onProgress?: (done: number) => void;
}

/** What {@link crosscheck} found. */
export interface CrosscheckResult {
  /** Operations run on both. */
  readonly operations: number;
  /** How many of them faulted, by {@link GuestMemAccessResult}. */
  readonly faults: readonly number[];
  /** Null where the two agree on everything. */
  readonly difference: Difference | null;
}

interface Found {
  readonly index: number;
  readonly expected: Side;
  readonly actual: Side;
}

// Operations before a difference that are kept to shrink it; RAM written earlier is rarely part.
const HISTORY = 1 << 20;
/** Bytes of RAM up to which all of it is compared at the end. */
const WHOLE_RAM = 2 ** 26;

/** A pair of fresh memories. */
class Pair {
  readonly subject: TryAccess;
  readonly #reference: TryAccess;
  readonly #ram: GuestMemory | null;
  readonly #expected: Outcome = { result: 0, value: 0 };
  readonly #actual: Outcome = { result: 0, value: 0 };

  constructor(makeSubject: MakeMemory, size: number, makeReference?: MakeMemory) {
    this.subject = checkTryAccess(makeSubject(size), "the subject");
    const reference = makeReference?.(size);
    this.#ram = makeReference === undefined ? GuestMemory.allocate(size) : null;
    this.#reference = this.#ram ?? checkTryAccess(reference as TryAccess, "the reference");
  }

  /** Runs a batch on both, and tells the first operation on which they differ. */
  run(ops: OpBuffer): Found | null {
    if (this.#ram === null) {
      runAll(this.#reference, ops);
    } else {
      this.#ram.native.run(ops);
    }
    for (let index = 0; index < ops.length; index++) {
      expectOutcome(ops, index, this.#expected);
      const thrown = this.#runSubject(ops, index);
      if (thrown !== undefined) {
        return { index, expected: { ...this.#expected }, actual: { thrown } };
      }
      const { result, value } = this.#actual;
      if (result !== this.#expected.result || value !== this.#expected.value) {
        return { index, expected: { ...this.#expected }, actual: { ...this.#actual } };
      }
    }
    return null;
  }

  /** Reads a range of both by bytes; the address of the first that differs. */
  firstDifferentByte(start: number, end: number): number | null {
    const ops = new OpBuffer(Math.max(0, end - start));
    for (let gpa = start; gpa < end; gpa++) {
      ops.push(OpKind.READB, gpa);
    }
    const found = this.run(ops);
    return found === null ? null : start + found.index;
  }

  /** The 16 bytes around an address of the reference's and of the subject's RAM. */
  lineAt(gpa: number, size: number): [Uint8Array | null, Uint8Array | null] {
    const start = Math.floor(gpa / 16) * 16;
    const end = Math.min(start + 16, size);
    return [readBytes(this.#reference, start, end), readBytes(this.subject, start, end)];
  }

  close(): void {
    // The subject is its maker's, and may be wanted yet; left alone, it is collected.
    this.#ram?.destroy();
  }

  #runSubject(ops: OpBuffer, index: number): string | undefined {
    try {
      runOp(this.subject, ops, index, this.#actual);
      return undefined;
    } catch (error) {
      return String(error);
    }
  }
}

function readBytes(memory: TryAccess, start: number, end: number): Uint8Array | null {
  const bytes = new Uint8Array(Math.max(0, end - start));
  const out = new Uint8Array(1);
  try {
    for (let i = 0; i < bytes.length; i++) {
      if (memory.tryReadb(start + i, out) !== GuestMemAccessResult.OK) {
        return null;
      }
      bytes[i] = out[0]!;
    }
  } catch {
    return null;
  }
  return bytes;
}

/**
 * Runs the same operations on a memory and on the compiled C++ accessors, and compares every
 * result code, every value and, along the way and at the end, RAM. Stops at the first difference
 * and shrinks it.
 *
 * RAM of more than 64 MiB is compared at the end only around the addresses of the operations, and
 * where these are cut down to 32 bits: the time is that of the operations, whatever the size.
 *
 * @param makeSubject - Makes the memory to check; anything with the eight `try…` methods will do.
 * @param source - The operations.
 * @throws RangeError, TypeError for an invalid argument, also where a memory lacks one of the methods
 * or the source gives anything but batches; whatever the source throws.
 */
export async function crosscheck(
  makeSubject: MakeMemory,
  source: OpSource,
  options: CrosscheckOptions,
): Promise<CrosscheckResult> {
  const { reference, onProgress } = checkObject(options, "options");
  const size = toByteCount(options.size, "size");
  for (const [value, what] of [
    [makeSubject, "makeSubject"],
    [source, "source"],
    [reference ?? makeSubject, "reference"],
    [onProgress ?? makeSubject, "onProgress"],
  ] as const) {
    checkFunction(value, what);
  }
  const pair = new Pair(makeSubject, size, reference);
  const faults = [0, 0, 0, 0];
  let operations = 0;
  let failedAt: number | null = null;
  const extra: Op[] = [];
  try {
    for await (const ops of batchesOf(source)) {
      const found = pair.run(ops);
      if (found !== null) {
        failedAt = operations + found.index;
        break;
      }
      countFaults(ops, faults);
      operations += ops.length;
      const wrong = differentByteOfPages(pair, ops, size);
      if (wrong !== null) {
        extra.push({ kind: OpKind.READB, gpa: BigInt(wrong), value: 0n });
        failedAt = operations - 1;
        break;
      }
      onProgress?.(operations);
    }
    if (failedAt === null) {
      const wrong =
        size <= WHOLE_RAM
          ? differentByteOfRam(pair, size)
          : await differentByteAround(pair, source, size);
      if (wrong !== null) {
        extra.push({ kind: OpKind.READB, gpa: BigInt(wrong), value: 0n });
        failedAt = operations - 1;
      }
    }
  } finally {
    pair.close();
  }
  if (failedAt === null) {
    return { operations, faults, difference: null };
  }
  const history = [...(await historyUpTo(source, failedAt)), ...extra];
  return { operations, faults, difference: await explain(makeSubject, history, failedAt, options) };
}

/** The batches of a source, each of which is one. @throws TypeError where one is not. */
async function* batchesOf(source: OpSource): AsyncGenerator<OpBuffer, void, undefined> {
  const batches = checkObject(source(), "what source gives");
  if (!(Symbol.iterator in batches) && !(Symbol.asyncIterator in batches)) {
    throw typeError("what source gives must be iterable");
  }
  for await (const ops of batches) {
    OpBuffer.bytesOf(ops);
    yield ops;
  }
}

function countFaults(ops: OpBuffer, faults: number[]): void {
  for (let i = 0; i < ops.length; i++) {
    const result = ops.result(i);
    if (result !== GuestMemAccessResult.OK) {
      faults[result] = faults[result]! + 1;
    }
  }
}

/** Compares the pages that a batch wrote to; of a batch, no more than a few, since each is read. */
function differentByteOfPages(pair: Pair, ops: OpBuffer, size: number): number | null {
  const pages = new Set<number>();
  for (let i = 0; i < ops.length && pages.size < 4; i++) {
    const gpa = ops.gpaOf(i);
    if (opWrites(ops.kind(i)) && gpa < size) {
      pages.add(Math.floor(Number(gpa) / PAGE_SIZE));
    }
  }
  for (const page of pages) {
    const wrong = pair.firstDifferentByte(page * PAGE_SIZE, Math.min(size, (page + 1) * PAGE_SIZE));
    if (wrong !== null) {
      return wrong;
    }
  }
  return null;
}

/** Compares all of RAM, by its quads and then what is left. */
function differentByteOfRam(pair: Pair, size: number): number | null {
  const end = size - (size % 8);
  return differentByteOfQuads(pair, quadsBetween(0, end)) ?? pair.firstDifferentByte(end, size);
}

/** Compares the quads that operations can have touched, and their neighbours; then the tail of RAM. */
async function differentByteAround(
  pair: Pair,
  source: OpSource,
  size: number,
): Promise<number | null> {
  const end = size - (size % 8);
  for await (const ops of source()) {
    const wrong = differentByteOfQuads(pair, quadsAround(ops, end));
    if (wrong !== null) {
      return wrong;
    }
  }
  return pair.firstDifferentByte(end, size);
}

function* quadsBetween(start: number, end: number): Generator<number> {
  for (let gpa = start; gpa < end; gpa += 8) {
    yield gpa;
  }
}

/** The quads below `end` around the addresses of writes, as they are and cut down to 32 bits. */
function* quadsAround(ops: OpBuffer, end: number): Generator<number> {
  for (let i = 0; i < ops.length; i++) {
    if (!opWrites(ops.kind(i))) {
      continue;
    }
    const gpa = ops.gpaOf(i);
    const low = typeof gpa === "number" ? gpa % 2 ** 32 : Number(gpa & 0xffff_ffffn);
    for (const address of new Set([Number(gpa), low])) {
      const quad = address - (address % 8);
      yield* quadsBetween(Math.max(0, quad - 8), Math.min(quad + 16, end));
    }
  }
}

function differentByteOfQuads(pair: Pair, addresses: Iterable<number>): number | null {
  const chunk = new OpBuffer(PAGE_SIZE);
  const compare = (): number | null => {
    const found = pair.run(chunk);
    const at = found === null ? null : Number(chunk.gpa(found.index));
    chunk.clear();
    return at === null ? null : (pair.firstDifferentByte(at, at + 8) ?? at);
  };
  for (const gpa of addresses) {
    chunk.push(OpKind.READQ, gpa);
    if (chunk.full) {
      const wrong = compare();
      if (wrong !== null) {
        return wrong;
      }
    }
  }
  return compare();
}

/** The operations up to one, but no more than can be shrunk in reasonable time. */
async function historyUpTo(source: OpSource, last: number): Promise<Op[]> {
  const ops: Op[] = [];
  let index = 0;
  for await (const batch of source()) {
    for (let i = 0; i < batch.length && index <= last; i++, index++) {
      if (last - index < HISTORY) {
        ops.push(batch.op(i));
      }
    }
    if (index > last) {
      break;
    }
  }
  return ops;
}

async function explain(
  makeSubject: MakeMemory,
  history: readonly Op[],
  index: number,
  { size, reference, label }: CrosscheckOptions,
): Promise<Difference> {
  // Loaded here and not with the package: they are for the rare difference.
  const { formatReport } = await import("./report.js");
  const { shrink } = await import("./shrink.js");
  const firstFound = (ops: readonly Op[]): Found | null => {
    const pair = new Pair(makeSubject, size, reference);
    try {
      return pair.run(packOps(ops));
    } finally {
      pair.close();
    }
  };
  const shows = (ops: readonly Op[]): boolean => firstFound(ops) !== null;
  // Most differences need nothing but the operation that showed them, which is soon tried.
  const candidates = [history.slice(-1), history.slice(-64), history];
  const start = candidates.find(shows) ?? history;
  const shrunk = shows(start) ? shrink(start, shows) : start;
  const found = firstFound(shrunk);
  const ops = found === null ? shrunk : shrunk.slice(0, found.index + 1);
  const pair = new Pair(makeSubject, size, reference);
  try {
    pair.run(packOps(ops));
    const [expectedBytes, actualBytes] = pair.lineAt(lineAddress(ops, size), size);
    const unshown: Side = { thrown: "a difference that does not show when run again" };
    const parts = {
      index,
      ops,
      expected: found?.expected ?? unshown,
      actual: found?.actual ?? unshown,
      expectedBytes,
      actualBytes,
    };
    return { ...parts, report: formatReport(parts, size, label) };
  } finally {
    pair.close();
  }
}

function lineAddress(ops: readonly Op[], size: number): number {
  const gpa: Gpa = ops.at(-1)?.gpa ?? 0n;
  return gpa < size ? Number(gpa) : Math.max(0, size - 1);
}

/**
 * Cross-checks on RAM of every size from 0 to `maxSize` bytes, at every address and width.
 *
 * @returns The first result with a difference, or the sum of them all.
 * @throws as {@link crosscheck}.
 */
export async function crosscheckSmall(
  makeSubject: MakeMemory,
  sourceFor: (size: number) => OpSource,
  maxSize = 64,
): Promise<CrosscheckResult> {
  checkFunction(sourceFor, "sourceFor");
  toByteCount(maxSize, "maxSize");
  let operations = 0;
  const faults = [0, 0, 0, 0];
  for (let size = 0; size <= maxSize; size++) {
    const result = await crosscheck(makeSubject, sourceFor(size), { size, label: `${size} bytes` });
    operations += result.operations;
    result.faults.forEach((count, code) => (faults[code] = faults[code]! + count));
    if (result.difference !== null) {
      return { ...result, operations, faults };
    }
  }
  return { operations, faults, difference: null };
}

/**
 * Runs a list of operations, such as the one of a {@link Difference}, once more.
 *
 * @throws as {@link crosscheck} and {@link packOps}.
 */
export async function recheck(
  makeSubject: MakeMemory,
  ops: readonly Op[],
  options: CrosscheckOptions,
): Promise<CrosscheckResult> {
  return crosscheck(makeSubject, listedOps(ops), options);
}
