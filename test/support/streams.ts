/** A stream of the given chunks. */
export async function* chunksOf(
  chunks: Iterable<Uint8Array | string>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const chunk of chunks) {
    yield await Promise.resolve(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }
}

/** Copies of the pieces of `bytes`, cut at the given offsets in that order. Others are ignored. */
export function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const cuts = [...new Set(places.filter((place) => place > 0 && place < bytes.length))];
  const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, index) => Uint8Array.from(bytes.subarray(edges[index], edge)));
}

/** The concatenated chunks of a stream. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    chunks.push(Uint8Array.from(chunk));
  }
  return Buffer.concat(chunks);
}

/** The reason with which a promise is rejected. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("the promise was not rejected");
}
