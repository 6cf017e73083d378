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

/** A path into guest RAM through which to replay a trace. */
export interface ReplayPath {
  /** The name of the path in reports. */
  readonly name: string;
  /** The path's own memory, as large as every other path's. Nothing else may write to it. */
  readonly memory: GuestMemoryAccess;
}

/** The results of one path. */
export interface PathResult {
  readonly name: string;
  /** The faults of one round, indexed by `GuestMemAccessResult`. The entry of `OK` is 0. */
  readonly faults: readonly number[];
  /** SHA-256 over RAM and over the accumulator of the values read, in hexadecimal. */
  readonly checksum: string;
  /** Nanoseconds per guest access in the replay loop alone: the median of the rounds. */
  readonly nsPerAccess: number;
}

/** The result of {@link replay}. */
export interface ReplayResult {
  /**
   * Operations of one round by {@link AccessKind}, then by log2 of the width in bytes. A modify is
   * one operation of two guest accesses.
   */
  readonly accesses: readonly (readonly number[])[];
  /** The number of guest accesses of one round. A modify counts twice. */
  readonly total: number;
  /** Distinct bytes of RAM that the accesses of one round cover. Accesses that fault cover none. */
  readonly bytesTouched: number;
  /** How often the trace was replayed. It is 1 for a trace that was too long to keep. */
  readonly rounds: number;
  /** The part of RAM that the checksums cover. */
  readonly checksumOf: "ram" | "touched pages";
  readonly paths: readonly PathResult[];
  /** Whether the checksums and the faults of all paths are equal. */
  readonly equal: boolean;
}

/** Options of {@link replay}. */
export interface ReplayOptions {
  /** How often to replay a trace that is short enough to keep, from 1. The default is 1. */
  readonly rounds?: number;
  /** The most operations of a trace to keep for further rounds; 4,194,304 by default. */
  readonly keptOperations?: number;
}

/**
 * Replays a trace through several paths, each into its own RAM, and compares the RAM afterwards.
 *
 * When the trace first touches a page, `replay` fills it with noise, so that even a first load
 * reads a value that identifies its address. Loads mix their value into an accumulator, and stores
 * take theirs from it: one wrong load changes every later store, and with it the checksum.
 *
 * @example
 * ```ts
 * import { createReadStream } from "node:fs";
 * import { GuestMemory } from "pound-guest-memory";
 * import { compileTrace, FirstTouchMap, gunzipIfPacked, replay } from "pound-guest-memory/trace";
 *
 * const size = 64 * 1024 * 1024;
 * const text = gunzipIfPacked(createReadStream("program.lackey.gz"));
 * const batches = compileTrace(text, { map: new FirstTouchMap(size) });
 * const { total, equal, paths } = await replay(batches, [
 *   { name: "view", memory: GuestMemory.allocate(size) },
 *   { name: "native", memory: GuestMemory.allocate(size).native },
 * ]);
 * console.log(total, equal, paths[0]?.nsPerAccess);
 * ```
 * @param batches - The trace. `replay` uses a batch only until it asks for the next one.
 * @throws `GuestMemoryFault` if a path cannot reach RAM within its bounds; the errors of `batches`.
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

/** Replays a trace as it arrives. Returns a copy of the trace, unless it is too long to keep. */
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

/** The replay loop of one path, and the time that it takes. */
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

  /** Carries out a batch and adds the time to the round's. */
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
