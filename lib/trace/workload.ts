import { PAGE_SIZE } from "../base/page.js";
import { type AccessKind, type AccessSink, type LackeyOptions, LackeyParser } from "./lackey.js";

const OFFSET_MASK = PAGE_SIZE - 1;
const HIGH_UNIT = 2 ** 32;

/** The most operations of a batch. */
export const BATCH_CAPACITY = 65_536;

// Bytes of text that are parsed at a time. They compile to a few batches, whatever the lines are.
const SLICE = 16_384;

/**
 * Guest accesses, packed for a replay loop.
 *
 * Operation `i` is an access at `gpas[i]` whose kind is `codes[i] >> 2` (an {@link AccessKind}) and
 * whose width is `1 << (codes[i] & 3)` bytes. A modify is one operation of two accesses.
 */
export interface Batch {
  /** The number of operations. The arrays may be longer. */
  readonly length: number;
  readonly codes: Uint8Array;
  /** Guest physical addresses, each an integer of 0 to 2^53 - 1. */
  readonly gpas: Float64Array;
}

/** Where the memory of a traced process lies in guest RAM. */
export interface PageMap {
  /**
   * The guest physical address of the page that holds a traced address.
   *
   * @param high - Bits 32 to 63 of the address.
   * @param low - Bits 0 to 31 of the address.
   */
  pageBase(high: number, low: number): number;
}

// Slots of the cache before the map. A process works in few pages at a time, so most look-ups hit.
const SLOTS = 256;

/**
 * Maps each page of the traced process to the next free page of guest RAM when the trace first
 * touches it.
 *
 * The layout depends only on the trace. Addresses keep their offset within the page, and pages that
 * the process touched one after the other are neighbours. Once RAM is full, every further page is
 * mapped to the end of RAM, where each access faults; so the table never outgrows the RAM.
 */
export class FirstTouchMap implements PageMap {
  readonly #bases = new Map<number, number>();
  readonly #slotPages = new Float64Array(SLOTS).fill(-1);
  readonly #slotBases = new Float64Array(SLOTS);
  readonly #frames: number;
  readonly #beyond: number;

  /** @param ramSize - The size of guest RAM in bytes. Only whole pages of it are used. */
  constructor(ramSize: number) {
    this.#frames = Math.floor(ramSize / PAGE_SIZE);
    this.#beyond = Math.ceil(ramSize / PAGE_SIZE) * PAGE_SIZE;
  }

  /** The number of pages of guest RAM in use. */
  get pages(): number {
    return this.#bases.size;
  }

  pageBase(high: number, low: number): number {
    const page = high * (HIGH_UNIT / PAGE_SIZE) + (low >>> 12);
    const slot = page % SLOTS;
    if (this.#slotPages[slot] === page) {
      return this.#slotBases[slot]!;
    }
    const base = this.#lookUp(page);
    this.#slotPages[slot] = page;
    this.#slotBases[slot] = base;
    return base;
  }

  #lookUp(page: number): number {
    const known = this.#bases.get(page);
    if (known !== undefined) {
      return known;
    }
    if (this.#bases.size === this.#frames) {
      return this.#beyond;
    }
    const base = this.#bases.size * PAGE_SIZE;
    this.#bases.set(page, base);
    return base;
  }
}

const LAST_EXACT_PAGE = 2 ** 53 - PAGE_SIZE;

/**
 * Uses a traced address as the guest physical address. A number cannot hold addresses from 2^53 on
 * exactly: they keep their offset within the page, but share the last page below 2^53, which no RAM
 * reaches.
 */
export class FlatMap implements PageMap {
  pageBase(high: number, low: number): number {
    return Math.min(high * HIGH_UNIT + (low - (low & OFFSET_MASK)), LAST_EXACT_PAGE);
  }
}

/**
 * log2 of the bytes (0 to 3) of the widest naturally aligned access that starts at an address and
 * covers no more than the remaining bytes.
 *
 * @param offset - The address, or its low bits.
 * @param remaining - The number of remaining bytes, at least 1.
 */
export function alignedWidth(offset: number, remaining: number): number {
  if ((offset & 1) !== 0 || remaining < 2) {
    return 0;
  }
  if ((offset & 2) !== 0 || remaining < 4) {
    return 1;
  }
  return (offset & 4) !== 0 || remaining < 8 ? 2 : 3;
}

/** By size in bytes: log2 of the width of a guest access, or -1 where no access has that size. */
const RAW_WIDTHS = new Int8Array([-1, 0, 1, -1, 2, -1, -1, -1, 3]);

/** Options of {@link compileTrace}. */
export interface CompileOptions extends LackeyOptions {
  /** Maps the addresses of the traced process to guest RAM. */
  readonly map: PageMap;
  /**
   * Whether to split each access into naturally aligned accesses of 8, 4, 2 and 1 bytes. If false,
   * an access of exactly 1, 2, 4 or 8 bytes stays whole, aligned or not. The default is true.
   */
  readonly split?: boolean;
}

/** Counts of the lines and accesses of a trace, which {@link compileTrace} updates as it reads. */
export class TraceCounts {
  /** Lines read. */
  lines = 0;
  /** Lines that were Valgrind's own, or blank. */
  noise = 0;
  /** Lines that were skipped as foreign. */
  foreign = 0;
  /** Traced accesses, by {@link AccessKind}. */
  readonly traced = [0, 0, 0, 0];
}

/** Packs the accesses of a trace into batches. */
class Packer implements AccessSink {
  /** Full batches. The caller that takes them returns their arrays with {@link recycle}. */
  full: Batch[] = [];
  #free: Batch[] = [];
  #codes: Uint8Array = new Uint8Array(BATCH_CAPACITY);
  #gpas: Float64Array = new Float64Array(BATCH_CAPACITY);
  #length = 0;
  readonly #map: PageMap;
  readonly #split: boolean;
  readonly #traced: number[];

  constructor({ map, split = true }: CompileOptions, traced: number[]) {
    this.#map = map;
    this.#split = split;
    this.#traced = traced;
  }

  access(kind: AccessKind, high: number, low: number, size: number): void {
    this.#traced[kind] = this.#traced[kind]! + 1;
    const raw = this.#split || size > 8 ? -1 : RAW_WIDTHS[size]!;
    if (raw >= 0) {
      this.#emit(kind, raw, this.#map.pageBase(high, low) + (low & OFFSET_MASK));
      return;
    }
    let left = size;
    while (left > 0) {
      const taken = Math.min(left, PAGE_SIZE - (low & OFFSET_MASK));
      this.#emitWithinPage(kind, high, low, taken);
      left -= taken;
      low += taken;
      if (low === HIGH_UNIT) {
        low = 0;
        high++;
      }
    }
  }

  /** Ends the current batch, even if it is not full. */
  flush(): void {
    if (this.#length === 0) {
      return;
    }
    this.full.push({ length: this.#length, codes: this.#codes, gpas: this.#gpas });
    const next = this.#free.pop();
    this.#codes = next?.codes ?? new Uint8Array(BATCH_CAPACITY);
    this.#gpas = next?.gpas ?? new Float64Array(BATCH_CAPACITY);
    this.#length = 0;
  }

  recycle(batch: Batch): void {
    this.#free.push(batch);
  }

  #emitWithinPage(kind: AccessKind, high: number, low: number, size: number): void {
    const base = this.#map.pageBase(high, low);
    let offset = low & OFFSET_MASK;
    const end = offset + size;
    while (offset < end) {
      const width = alignedWidth(offset, end - offset);
      this.#emit(kind, width, base + offset);
      offset += 1 << width;
    }
  }

  #emit(kind: AccessKind, width: number, gpa: number): void {
    this.#codes[this.#length] = (kind << 2) | width;
    this.#gpas[this.#length] = gpa;
    if (++this.#length === BATCH_CAPACITY) {
      this.flush();
    }
  }
}

/**
 * Compiles the text of a lackey trace to batches of guest accesses, as it arrives.
 *
 * A batch is valid only until the next one is requested. Its arrays are reused, so the memory in
 * use does not grow with the trace; copy the arrays to keep a batch.
 *
 * @example
 * ```ts
 * import { createReadStream } from "node:fs";
 * import { compileTrace, FirstTouchMap } from "pound-guest-memory/trace";
 *
 * const map = new FirstTouchMap(64 * 1024 * 1024);
 * let operations = 0;
 * for await (const batch of compileTrace(createReadStream("program.lackey"), { map })) {
 *   operations += batch.length;
 * }
 * console.log(operations, map.pages);
 * ```
 * @param text - The trace's text, unpacked, in chunks of any size.
 * @param counts - Updated as lines are read.
 * @throws {@link LackeySyntaxError} at a line that is neither an access nor noise.
 */
export async function* compileTrace(
  text: AsyncIterable<Uint8Array>,
  options: CompileOptions,
  counts: TraceCounts = new TraceCounts(),
): AsyncGenerator<Batch, void, undefined> {
  const packer = new Packer(options, counts.traced);
  const parser = new LackeyParser(packer, options);
  for await (const chunk of text) {
    for (let at = 0; at < chunk.length; at += SLICE) {
      parser.push(chunk.subarray(at, at + SLICE));
      yield* handOut(packer);
    }
    updateCounts(counts, parser);
  }
  parser.end();
  packer.flush();
  updateCounts(counts, parser);
  yield* handOut(packer);
}

function updateCounts(counts: TraceCounts, parser: LackeyParser): void {
  counts.lines = parser.lines;
  counts.noise = parser.noise;
  counts.foreign = parser.foreign;
}

function* handOut(packer: Packer): Generator<Batch, void, undefined> {
  if (packer.full.length === 0) {
    return;
  }
  const batches = packer.full;
  packer.full = [];
  for (const batch of batches) {
    yield batch;
    packer.recycle(batch);
  }
}

/** A copy of a batch that stays valid. */
export function copyBatch({ length, codes, gpas }: Batch): Batch {
  return { length, codes: codes.slice(0, length), gpas: gpas.slice(0, length) };
}
