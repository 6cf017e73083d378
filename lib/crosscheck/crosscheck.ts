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
  opWidth,
  opWrites,
  packOps,
  type TryAccess,
} from "../native/op-buffer.js";
import { type AccessPolicy, checkPolicy } from "../base/policy.js";
import { GuestMemAccessResult } from "../base/result.js";
import { expectOutcome, type Outcome, runAll, runOp } from "./run-op.js";
import { formatReport } from "./report.js";
import { shrink } from "./shrink.js";
import { listedOps, type OpSource } from "./sources.js";

/**
 * A function that makes a new memory of `size` zeroed bytes at each call. Its accesses follow
 * `policy`.
 */
export type MakeMemory = (size: number, policy: Required<AccessPolicy>) => TryAccess;

/** Options of {@link crosscheck}. */
export interface CrosscheckOptions {
  /** Bytes of RAM of both memories. */
  readonly size: number;
  /** The access policy of both memories. The default is that of Pound's header. */
  readonly policy?: AccessPolicy;
  /** Makes the memory to compare with. The default is the native path, the compiled C++. */
  readonly reference?: MakeMemory;
  /** Names the operations in the report, for instance `"seed 1"`. */
  readonly label?: string;
  /** Called after each batch with the number of operations done so far. */
  readonly onProgress?: (done: number) => void;
}

/** The result of {@link crosscheck}. */
export interface CrosscheckResult {
  /** The number of operations run on both memories. */
  readonly operations: number;
  /** The number of faults, indexed by {@link GuestMemAccessResult}. */
  readonly faults: readonly number[];
  /** Null if the two memories agree on everything. */
  readonly difference: Difference | null;
}

interface Found {
  readonly index: number;
  readonly expected: Side;
  readonly actual: Side;
}

// Operations before a difference that are kept to shrink it. Earlier writes rarely contribute.
const HISTORY = 1 << 20;
/** RAM up to this many bytes is compared as a whole at the end. */
const WHOLE_RAM = 2 ** 26;

/** A pair of fresh memories. */
class Pair {
  readonly subject: TryAccess;
  readonly #reference: TryAccess;
  readonly #ram: GuestMemory | null;
  readonly #policy: Required<AccessPolicy>;
  readonly #expected: Outcome = { result: 0, value: 0 };
  readonly #actual: Outcome = { result: 0, value: 0 };

  constructor(
    makeSubject: MakeMemory,
    size: number,
    policy: Required<AccessPolicy>,
    makeReference?: MakeMemory,
  ) {
    this.#policy = policy;
    this.subject = checkTryAccess(makeSubject(size, policy), "the subject");
    const reference = makeReference?.(size, policy);
    this.#ram = makeReference === undefined ? GuestMemory.allocate(size) : null;
    this.#reference = this.#ram ?? checkTryAccess(reference as TryAccess, "the reference");
  }

  /** Runs a batch on both, and returns the first operation on which they differ. */
  run(ops: OpBuffer): Found | null {
    if (this.#ram === null) {
      runAll(this.#reference, ops);
    } else {
      this.#ram.withPolicy(this.#policy).native.run(ops);
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

  /** Compares a range of both byte by byte, and returns the address of the first difference. */
  firstDifferentByte(start: number, end: number): number | null {
    const ops = new OpBuffer(Math.max(0, end - start));
    for (let gpa = start; gpa < end; gpa++) {
      ops.push(OpKind.READB, gpa);
    }
    const found = this.run(ops);
    return found === null ? null : start + found.index;
  }

  /** The 16 bytes around an address, in the reference's and in the subject's RAM. */
  lineAt(gpa: number, size: number): [Uint8Array | null, Uint8Array | null] {
    const start = Math.floor(gpa / 16) * 16;
    const end = Math.min(start + 16, size);
    return [readBytes(this.#reference, start, end), readBytes(this.subject, start, end)];
  }

  close(): void {
    // The subject belongs to the caller, who may still use it.
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
 * Runs the same operations on a memory and on the compiled C++ accessors, under the same access
 * policy, and compares every result
 * code, every value and, along the way and at the end, RAM. Stops at the first difference and
 * shortens the operations that lead to it.
 *
 * At the end, RAM of up to 64 MiB is compared as a whole. Larger RAM is compared only around the
 * addresses of the operations, and around these addresses cut to 32 bits, so that the time depends
 * on the number of operations and not on the size.
 *
 * @example
 * ```ts
 * import { GuestMemory } from "pound-guest-memory";
 * import { crosscheck, randomOps } from "pound-guest-memory/crosscheck";
 *
 * const size = 65_536;
 * const { operations, difference } = await crosscheck(
 *   (bytes) => GuestMemory.allocate(bytes), // or a memory of your own
 *   randomOps({ seed: 1, count: 100_000, size }),
 *   { size, label: "seed 1" },
 * );
 * console.log(operations, difference?.report ?? "no difference");
 * ```
 * @param makeSubject - Makes the memory to check: any object with the eight `try…` methods. Writes
 * pass it signed and unsigned values.
 * @param source - The operations.
 * @throws RangeError, TypeError for an invalid argument, for a memory that lacks one of the
 * methods, or for a source that returns anything but batches; the errors of the source.
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
  const policy = checkPolicy(options.policy ?? {});
  const pair = new Pair(makeSubject, size, policy, reference);
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
  return { operations, faults, difference: explain(makeSubject, history, failedAt, options) };
}

/** The batches of a source. @throws TypeError if one of them is not an OpBuffer. */
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

/** Compares a few of the pages that a batch wrote to. Comparing reads every byte of a page. */
function differentByteOfPages(pair: Pair, ops: OpBuffer, size: number): number | null {
  const pages = new Set<number>();
  for (let i = 0; i < ops.length && pages.size < 4; i++) {
    const gpa = ops.gpaOf(i);
    const kind = ops.kind(i);
    if (opWrites(kind) && gpa < size) {
      pages.add(Math.floor(Number(gpa) / PAGE_SIZE));
      pages.add(Math.floor((Number(gpa) + opWidth(kind) - 1) / PAGE_SIZE));
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

/** Compares all of RAM: by quads, and the last bytes one by one. */
function differentByteOfRam(pair: Pair, size: number): number | null {
  const end = size - (size % 8);
  return differentByteOfQuads(pair, quadsBetween(0, end)) ?? pair.firstDifferentByte(end, size);
}

/** Compares the quads that operations may have touched, their neighbours, and the end of RAM. */
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

/**
 * The quads below `end` around the addresses of writes, and around these addresses cut to 32 bits.
 */
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

/** The last operations up to index `last`, as many as can be shrunk in reasonable time. */
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

function explain(
  makeSubject: MakeMemory,
  history: readonly Op[],
  index: number,
  { size, policy: given = {}, reference, label }: CrosscheckOptions,
): Difference {
  const policy = checkPolicy(given);
  const firstFound = (ops: readonly Op[]): Found | null => {
    const pair = new Pair(makeSubject, size, policy, reference);
    try {
      return pair.run(packOps(ops));
    } finally {
      pair.close();
    }
  };
  const shows = (ops: readonly Op[]): boolean => firstFound(ops) !== null;
  // Most differences need only the operation that showed them, and short candidates run fast.
  const candidates = [history.slice(-1), history.slice(-64), history];
  const start = candidates.find(shows) ?? history;
  const shrunk = shows(start) ? shrink(start, shows) : start;
  const found = firstFound(shrunk);
  const ops = found === null ? shrunk : shrunk.slice(0, found.index + 1);
  const pair = new Pair(makeSubject, size, policy, reference);
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
    return { ...parts, report: formatReport(parts, size, policy, label) };
  } finally {
    pair.close();
  }
}

function lineAddress(ops: readonly Op[], size: number): number {
  const gpa: Gpa = ops.at(-1)?.gpa ?? 0n;
  return gpa < size ? Number(gpa) : Math.max(0, size - 1);
}

/**
 * Cross-checks RAM of every size from 0 to `maxSize` bytes. With `exhaustiveOps` as `sourceFor`,
 * this covers every address and width.
 *
 * @param sourceFor - Returns the operations for RAM of a size in bytes.
 * @param policy - As {@link CrosscheckOptions.policy}.
 * @returns The first result with a difference, with the operations and faults of the sizes before
 * it; or the sums over all sizes.
 * @throws as {@link crosscheck}.
 */
export async function crosscheckSmall(
  makeSubject: MakeMemory,
  sourceFor: (size: number) => OpSource,
  maxSize = 64,
  policy: AccessPolicy = {},
): Promise<CrosscheckResult> {
  checkFunction(sourceFor, "sourceFor");
  toByteCount(maxSize, "maxSize");
  let operations = 0;
  const faults = [0, 0, 0, 0];
  for (let size = 0; size <= maxSize; size++) {
    const label = `${size} bytes`;
    const result = await crosscheck(makeSubject, sourceFor(size), { size, policy, label });
    operations += result.operations;
    result.faults.forEach((count, code) => (faults[code] = faults[code]! + count));
    if (result.difference !== null) {
      return { ...result, operations, faults };
    }
  }
  return { operations, faults, difference: null };
}

/**
 * Cross-checks a list of operations, such as the shortened one of a {@link Difference}.
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
