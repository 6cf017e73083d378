import type { GuestMemoryAccess } from "../base/access.js";
import { checksum, fillPage } from "./ram-image.js";
import { freshReplayLoop, type ReplayLoop } from "./replay-loop.js";
import { Survey } from "./replay-survey.js";
import { type Batch, copyBatch } from "./workload.js";
import { PAGE_SIZE } from "../base/page.js";

/** RAM up to this many bytes is checksummed whole; of larger RAM, the pages that were touched. */
export const WHOLE_CHECKSUM_LIMIT = 64 * 1024 * 1024;

/** A trace of more operations than this is not kept for further rounds. */
export const KEPT_OPERATIONS = 4 * 1024 * 1024;

/** One way into guest RAM, to replay a trace through. */
export interface ReplayPath {
  /** What reports call it. */
  readonly name: string;
  /** Its own memory, of the same size as every other path's, which no one else changes. */
  readonly memory: GuestMemoryAccess;
}

/** What one path made of a trace. */
export interface PathResult {
  readonly name: string;
  /** Accesses of one round by `GuestMemAccessResult`; `OK` ones are not counted, so 0. */
  readonly faults: readonly number[];
  /** SHA-256 over RAM and the accumulator, in hexadecimal. */
  readonly checksum: string;
  /** Nanoseconds per guest access in the replay loop alone: the median of the rounds. */
  readonly nsPerAccess: number;
}

/** What {@link replay} found. */
export interface ReplayResult {
  /**
   * Operations of one round: by {@link AccessKind}, then by log2 of the width in bytes. A modify is
   * one, of two guest accesses.
   */
  readonly accesses: readonly (readonly number[])[];
  /** All guest accesses of one round. A modify is two. */
  readonly total: number;
  /** Distinct bytes of RAM that the accesses of one round cover; faulting ones cover none. */
  readonly bytesTouched: number;
  /** How often the trace was replayed: 1 where it was too long to keep. */
  readonly rounds: number;
  /** What the checksums cover besides the accumulator. */
  readonly checksumOf: "ram" | "touched pages";
  readonly paths: readonly PathResult[];
  /** True if every path came to the same checksum and the same faults. */
  readonly equal: boolean;
}

/** How {@link replay} goes about it. */
export interface ReplayOptions {
  /** How often to replay a trace that is short enough to keep: at least 1, which is the default. */
  readonly rounds?: number;
  /** The most operations to keep; `KEPT_OPERATIONS` if not given. */
  readonly keptOperations?: number;
}

/**
 * Replays a trace through several paths, each into its own RAM, and compares what they leave there.
 *
 * A page of RAM is filled with noise when the trace first touches it, as a loader fills in a
 * program, so that even its first load tells one address from another. What loads read is mixed
 * into an accumulator, and what stores write comes from the accumulator: one wrong load changes
 * every later store, and with it the checksum.
 *
 * @param batches - The trace; each batch need only be valid until the next is asked for.
 * @throws `GuestMemoryFault` if a path cannot reach RAM within its bounds, and the trace's
 * own errors.
 */
export async function replay(
  batches: AsyncIterable<Batch>,
  paths: readonly ReplayPath[],
  { rounds = 1, keptOperations = KEPT_OPERATIONS }: ReplayOptions = {},
): Promise<ReplayResult> {
  const runs = paths.map((path) => new PathRun(path));
  const survey = new Survey(Number(paths[0]?.memory.size ?? 0));
  const kept = await firstRound(batches, runs, survey, rounds > 1 ? keptOperations : 0);
  const replayed = kept === undefined ? 1 : rounds;
  for (let round = 1; round < replayed; round++) {
    kept?.forEach((batch) => runs.forEach((run) => run.replay(batch)));
    runs.forEach((run) => run.endRound());
  }
  return conclude(runs, survey, replayed);
}

/** Replays a trace as it arrives; returns a copy of it, unless that were too long. */
async function firstRound(
  batches: AsyncIterable<Batch>,
  runs: readonly PathRun[],
  survey: Survey,
  keptOperations: number,
): Promise<Batch[] | undefined> {
  let kept: Batch[] | undefined = [];
  let room = keptOperations;
  for await (const batch of batches) {
    const newPages = survey.add(batch);
    for (const run of runs) {
      newPages.forEach((page) => fillPage(run.memory, page));
      run.replay(batch);
    }
    room -= batch.length;
    if (room < 0) {
      kept = undefined;
    }
    kept?.push(copyBatch(batch));
  }
  runs.forEach((run) => run.endRound());
  return kept;
}

function conclude(runs: readonly PathRun[], survey: Survey, rounds: number): ReplayResult {
  const whole = survey.ramSize <= WHOLE_CHECKSUM_LIMIT;
  const pages = whole ? allPages(survey.ramSize) : survey.pages();
  const total = survey.total();
  const paths = runs.map((run) => run.result(pages, total));
  return {
    accesses: survey.accesses,
    total,
    bytesTouched: survey.bytesTouched(),
    rounds,
    checksumOf: whole ? "ram" : "touched pages",
    paths,
    equal: paths.every((path) => path.checksum === paths[0]?.checksum) && sameFaults(paths),
  };
}

function sameFaults(paths: readonly PathResult[]): boolean {
  return paths.every((path) => path.faults.join() === paths[0]?.faults.join());
}

/** One path on its way through a trace, and the time that it takes. */
class PathRun {
  readonly memory: GuestMemoryAccess;
  readonly #name: string;
  readonly #loop: ReplayLoop;
  #nanoseconds = 0;
  #firstFaults: number[] | undefined;
  readonly #rounds: number[] = [];

  constructor({ name, memory }: ReplayPath) {
    this.#name = name;
    this.memory = memory;
    this.#loop = freshReplayLoop(memory);
  }

  /** Carries out a batch, on the clock. */
  replay(batch: Batch): void {
    const start = process.hrtime.bigint();
    this.#loop.run(batch);
    this.#nanoseconds += Number(process.hrtime.bigint() - start);
  }

  endRound(): void {
    this.#rounds.push(this.#nanoseconds);
    this.#nanoseconds = 0;
    this.#firstFaults ??= [...this.#loop.faults];
  }

  result(pages: Iterable<number>, accesses: number): PathResult {
    const { accumulator, faults } = this.#loop;
    return {
      name: this.#name,
      faults: this.#firstFaults ?? [0, 0, 0, 0],
      checksum: checksum(this.memory, pages, [accumulator, ...faults]),
      nsPerAccess: accesses === 0 ? 0 : median(this.#rounds) / accesses,
    };
  }
}

function allPages(ramSize: number): number[] {
  return Array.from({ length: Math.ceil(ramSize / PAGE_SIZE) }, (_, page) => page);
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  return (sorted[half]! + sorted[sorted.length - 1 - half]!) / 2;
}
