import { SingleBar } from "cli-progress";
import type { ProgressOptions } from "../snapshot/progress.js";
import { CliError } from "./failure.js";

/**
 * Shows a progress bar on stderr.
 *
 * @param verb - Names the work, for instance `"replaying"`.
 * @param total - The amount of work; undefined if unknown.
 * @returns The bar; undefined if none is shown: the total is unknown, or stderr is not a terminal.
 */
export function startBar(verb: string, total: number | undefined): SingleBar | undefined {
  if (total === undefined || !process.stderr.isTTY) {
    return undefined;
  }
  const bar = new SingleBar({
    format: `${verb} [{bar}] {percentage}%, {eta_formatted} left`,
    stream: process.stderr,
    clearOnComplete: true,
  });
  bar.start(total, 0);
  return bar;
}

/**
 * Passes a stream on, and shows on stderr how much of it has been read.
 *
 * @param total - The stream's length in bytes; undefined if unknown: then nothing is shown.
 */
export async function* withProgress(
  source: AsyncIterable<Uint8Array>,
  total: number | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const bar = startBar("replaying", total);
  try {
    for await (const chunk of source) {
      bar?.increment(chunk.length);
      yield chunk;
    }
  } finally {
    bar?.stop();
  }
}

/**
 * Does work that shows a progress bar on stderr, and that Ctrl-C aborts, so that it cleans up.
 *
 * @param verb - Names the work, for instance `"verifying"`.
 * @throws {@link CliError} if the user aborted the work; what `work` throws.
 */
export async function abortable<T>(
  verb: string,
  work: (options: ProgressOptions) => Promise<T>,
): Promise<T> {
  const aborting = new AbortController();
  const abort = (): void => {
    aborting.abort(new CliError(`${verb} was aborted`));
  };
  let bar: SingleBar | undefined;
  process.once("SIGINT", abort);
  try {
    return await work({
      signal: aborting.signal,
      onProgress(done, total) {
        bar ??= startBar(verb, total);
        bar?.update(done);
      },
    });
  } finally {
    bar?.stop();
    process.off("SIGINT", abort);
  }
}
