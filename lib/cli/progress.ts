import { SingleBar } from "cli-progress";

/**
 * Passes a stream on, showing on stderr how much of it was taken; nothing is shown unless stderr is
 * a terminal.
 *
 * @param total - The stream's length in bytes; undefined if unknown, and then nothing is shown.
 */
export async function* withProgress(
  source: AsyncIterable<Uint8Array>,
  total: number | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (total === undefined || !process.stderr.isTTY) {
    yield* source;
    return;
  }
  const bar = new SingleBar({
    format: "replaying [{bar}] {percentage}%, {eta_formatted} left",
    stream: process.stderr,
    clearOnComplete: true,
  });
  bar.start(total, 0);
  try {
    for await (const chunk of source) {
      bar.increment(chunk.length);
      yield chunk;
    }
  } finally {
    bar.stop();
  }
}
