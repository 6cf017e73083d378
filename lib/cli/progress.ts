import { SingleBar } from "cli-progress";

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
