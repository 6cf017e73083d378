/** A stream of the given chunks. */
export async function* chunksOf(
  chunks: Iterable<Uint8Array | string>,
): AsyncGenerator<Uint8Array, void, undefined> {
  for (const chunk of chunks) {
    yield await Promise.resolve(typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }
}

/** Copies of bytes cut into pieces, at the given places and in that order; places out of range cut nothing. */
export function cutAt(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const cuts = [...new Set(places.filter((place) => place > 0 && place < bytes.length))];
  const edges = [0, ...cuts.sort((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, index) => Uint8Array.from(bytes.subarray(edges[index], edge)));
}

/** All that a stream gives. */
export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) {
    chunks.push(Uint8Array.from(chunk));
  }
  return Buffer.concat(chunks);
}

/** What a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("the promise was not rejected");
}
