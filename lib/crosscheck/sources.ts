import { MAX_U64 } from "../base/gpa.js";
import { PAGE_SIZE } from "../base/page.js";
import { rangeError, typeError } from "../base/errors.js";
import { checkObject, toByteCount } from "../base/arguments.js";
import type { LackeyOptions } from "../trace/lackey.js";
import { type Op, OpBuffer, OpKind, opWidth, packOps } from "../native/op-buffer.js";
import { Randomness } from "./randomness.js";

/**
 * A function that returns operations in batches. A cross-check may call it more than once, since it
 * reads the operations again to shrink a difference; each call must return the same operations. A
 * batch need be valid only until the next one is requested.
 */
export type OpSource = () => Iterable<OpBuffer> | AsyncIterable<OpBuffer>;

const BATCH = 4096;
const ALL_KINDS = Object.values(OpKind);

/** Options of {@link randomOps}. */
export interface RandomOptions {
  /** Any integer. The low 32 bits of it determine the operations. */
  readonly seed: number;
  /** The number of operations. */
  readonly count: number;
  /** Bytes of RAM. */
  readonly size: number;
}

/**
 * Random operations. About half of them are at addresses where mistakes are likely: around the ends
 * of RAM, of pages, of 4 GiB, 2^53 and 2^64, misaligned, or across one of these.
 *
 * @throws TypeError, RangeError for invalid options.
 */
export function randomOps(options: RandomOptions): OpSource {
  const { seed } = checkObject(options, "options");
  const count = toByteCount(options.count, "count");
  const size = toByteCount(options.size, "size");
  if (typeof seed !== "number") {
    throw typeError("seed must be a number");
  }
  if (!Number.isInteger(seed)) {
    throw rangeError("seed must be an integer");
  }
  const edges = [0n, BigInt(size), 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n];
  return function* (): Generator<OpBuffer, void, undefined> {
    const random = new Randomness(seed);
    const batch = new OpBuffer(BATCH);
    for (let left = count; left > 0;) {
      batch.clear();
      for (; left > 0 && !batch.full; left--) {
        const kind = ALL_KINDS[random.next() >>> 29]!;
        batch.push(kind, randomAddress(random, kind, size, edges), random.u64());
      }
      yield batch;
    }
  };
}

function randomAddress(
  random: Randomness,
  kind: OpKind,
  size: number,
  edges: readonly bigint[],
): number | bigint {
  const choice = random.next() >>> 28;
  if (choice < 6) {
    const width = opWidth(kind);
    return random.below(Math.max(1, Math.floor(size / width))) * width;
  }
  if (choice < 9) {
    return random.below(Math.max(1, size));
  }
  if (choice < 11) {
    // Few addresses, so that reads find written bytes.
    return random.below(64);
  }
  if (choice < 13) {
    const page = random.below(Math.max(1, Math.floor(size / PAGE_SIZE)));
    return Math.max(0, page * PAGE_SIZE + random.below(32) - 16);
  }
  const edge = edges[random.below(edges.length)]!;
  return (edge + BigInt(random.below(34)) - 17n) & MAX_U64;
}

/**
 * Reads and writes of every width at every address of RAM of `size` bytes and of the `margin` bytes
 * after it. Each write has another value.
 *
 * @throws TypeError, RangeError for an invalid count of bytes.
 */
export function exhaustiveOps(size: number, margin = 16): OpSource {
  toByteCount(size, "size");
  toByteCount(margin, "margin");
  return function* (): Generator<OpBuffer, void, undefined> {
    const batch = new OpBuffer((size + margin) * 16);
    let value = 1n;
    for (let gpa = 0; gpa < size + margin; gpa++) {
      for (const kind of [...ALL_KINDS].reverse()) {
        value = (value * 0x9e37_79b9_7f4a_7c15n) & MAX_U64;
        batch.push(kind, gpa, value);
      }
      for (const kind of ALL_KINDS) {
        batch.push(kind, gpa, value);
      }
    }
    yield batch;
  };
}

/**
 * The operations of a list, such as those of a log.
 *
 * @throws TypeError, RangeError as {@link packOps}.
 */
export function listedOps(ops: readonly Op[]): OpSource {
  const packed = packOps(ops);
  return () => [packed];
}

/**
 * The accesses of a memory trace of Valgrind's lackey, plain, gzipped or, with the name `*.br`,
 * packed by Brotli. Each page of the traced process is mapped to the next free page of RAM. Each
 * store writes another value than the one before.
 *
 * @param path - The trace's file. It is read again each time the operations are requested.
 * @param size - Bytes of RAM.
 * @throws TypeError, RangeError for an invalid argument.
 */
export function lackeyOps(path: string, size: number, options: LackeyOptions = {}): OpSource {
  if (typeof path !== "string") {
    throw typeError("path must be a string");
  }
  toByteCount(size, "size");
  const { skipForeign = false } = checkObject(options, "options");
  return async function* (): AsyncGenerator<OpBuffer, void, undefined> {
    // Most programs never read a trace, so this is not loaded with the package.
    const { readLackeyOps } = await import("./lackey-ops.js");
    yield* readLackeyOps(path, size, { skipForeign });
  };
}
