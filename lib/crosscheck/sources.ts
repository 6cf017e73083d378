import { createReadStream } from "node:fs";
import { mix, SCATTER } from "../mix.js";
import { type Op, OpBuffer, OpKind, opWidth } from "../op-buffer.js";
import { AccessKind, gunzipIfPacked } from "../lackey.js";
import { type Batch, compileTrace, FirstTouchMap } from "../workload.js";

/**
 * Operations in batches, which a cross-check may ask for more than once: it goes through them
 * again to shrink what it found. A batch need only be valid until the next is asked for.
 */
export type OpSource = () => Iterable<OpBuffer> | AsyncIterable<OpBuffer>;

const BATCH = 4096;
const ALL_KINDS = Object.values(OpKind);
const MAX_U64 = 2n ** 64n - 1n;

/** A stream of 32-bit integers that depends on nothing but its seed. */
class Randomness {
  #state: number;
  #count = 0;

  constructor(seed: number) {
    this.#state = mix(seed | 0, SCATTER);
  }

  /** An integer from 0 to 2^32 - 1. */
  next(): number {
    this.#count = (this.#count + 1) | 0;
    this.#state = mix(this.#state, this.#count);
    return this.#state >>> 0;
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    return limit <= 2 ** 32
      ? Math.floor((this.next() / 2 ** 32) * limit)
      : Math.floor(((this.next() * 2 ** 21 + (this.next() >>> 11)) / 2 ** 53) * limit);
  }

  u64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }
}

/** What a random source is made of. */
export interface RandomOptions {
  /** Any 32-bit integer; the same seed gives the same operations. */
  readonly seed: number;
  /** How many operations. */
  readonly count: number;
  /** Bytes of the RAM they are for. */
  readonly size: number;
}

/**
 * Random operations, of which every other one goes to an address where memories err: the edges of
 * RAM, of pages, of 4 GiB, of 2^53 and of 2^64, misaligned and straddling ones among them.
 */
export function randomOps({ seed, count, size }: RandomOptions): OpSource {
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
    // Few addresses, so that what is written is also read.
    return random.below(64);
  }
  if (choice < 13) {
    const page = random.below(Math.max(1, Math.floor(size / 4096)));
    return Math.max(0, page * 4096 + random.below(32) - 16);
  }
  const edge = edges[random.below(edges.length)]!;
  return (edge + BigInt(random.below(34)) - 17n) & MAX_U64;
}

/**
 * Every width, read and write, at every address of RAM of `size` bytes and of `margin` behind it.
 * Each write is of another value.
 */
export function exhaustiveOps(size: number, margin = 16): OpSource {
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

/** A list of operations, such as a recorded one. */
export function listedOps(ops: readonly Op[]): OpSource {
  return function* (): Generator<OpBuffer, void, undefined> {
    const batch = new OpBuffer(BATCH);
    for (let at = 0; at < ops.length; at += BATCH) {
      batch.clear();
      for (const { kind, gpa, value } of ops.slice(at, at + BATCH)) {
        batch.push(kind, gpa, value);
      }
      yield batch;
    }
  };
}

/**
 * The accesses of a memory trace that valgrind's lackey wrote, plain or gzipped, each page of the
 * traced process in the next free page of RAM. Stores write values that differ from one to the next.
 *
 * @param path - The trace's file, read anew each time the operations are gone through.
 * @param size - Bytes of the RAM they are for.
 */
export function lackeyOps(path: string, size: number): OpSource {
  return async function* (): AsyncGenerator<OpBuffer, void, undefined> {
    const random = new Randomness(0);
    const text = gunzipIfPacked(createReadStream(path));
    for await (const batch of compileTrace(text, { map: new FirstTouchMap(size) })) {
      yield packBatch(batch, random);
    }
  };
}

function packBatch({ length, codes, gpas }: Batch, random: Randomness): OpBuffer {
  const ops = new OpBuffer(2 * length);
  for (let i = 0; i < length; i++) {
    const [kind, width] = [codes[i]! >> 2, codes[i]! & 3];
    if (kind !== AccessKind.STORE) {
      ops.push(width as OpKind, gpas[i]!);
    }
    if (kind === AccessKind.STORE || kind === AccessKind.MODIFY) {
      ops.push((width | OpKind.WRITEB) as OpKind, gpas[i]!, random.u64());
    }
  }
  return ops;
}
