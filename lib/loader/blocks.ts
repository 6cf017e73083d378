/*
 * Data that lie in blocks of a file, between headers. Blocks are small, and a view of each would
 * take longer than its copy, so the data of many blocks are moved together at a time.
 */

/** Bytes of a block of UF2, of which at most 476 are data. */
export const BLOCK_SIZE = 512;

/** Blocks that follow one another in the file, and their data in memory. */
export interface BlockRun {
  /** Guest physical address of the first byte of data. */
  readonly gpa: number;
  /** File offset of the first byte of data. */
  readonly start: number;
  /** Bytes of data in each block. */
  readonly size: number;
  readonly count: number;
}

/** The blocks whose data are moved together. */
const GROUP = 128;

/** Whether the addresses of data ascend without overlap. */
export function isAscending(runs: readonly BlockRun[]): boolean {
  return runs.every((run, i) => i === 0 || runs[i - 1]!.gpa + sizeOf([runs[i - 1]!]) <= run.gpa);
}

/** Groups ascending data by segments: ranges of addresses without a gap. */
export function joined(runs: readonly BlockRun[]): BlockRun[][] {
  const segments: BlockRun[][] = [];
  let end = -1;
  for (const run of runs) {
    if (run.gpa === end) {
      segments.at(-1)!.push(run);
    } else {
      segments.push([run]);
    }
    end = run.gpa + sizeOf([run]);
  }
  return segments;
}

/** Bytes of data. */
export function sizeOf(runs: readonly BlockRun[]): number {
  return runs.reduce((total, { size, count }) => total + size * count, 0);
}

/** The data of blocks as one array. */
export function bytesOfBlocks(file: Uint8Array, runs: readonly BlockRun[]): Uint8Array {
  const bytes = new Uint8Array(sizeOf(runs));
  let done = 0;
  for (const part of partsOf(file, runs)) {
    bytes.set(part, done);
    done += part.length;
  }
  return bytes;
}

/** The data of blocks, many blocks at a time. A part changes when the next one is asked for. */
export function* partsOf(file: Uint8Array, runs: readonly BlockRun[]): Generator<Uint8Array> {
  const part = new Uint8Array(GROUP * BLOCK_SIZE);
  for (const { start, size, count } of runs) {
    for (let first = 0; first < count; first += GROUP) {
      const length = Math.min(GROUP, count - first);
      const from = start + first * BLOCK_SIZE;
      part.set(file.subarray(from, from + (length - 1) * BLOCK_SIZE + size));
      for (let i = 1; i < length; i++) {
        part.copyWithin(i * size, i * BLOCK_SIZE, i * BLOCK_SIZE + size);
      }
      yield part.subarray(0, length * size);
    }
  }
}
