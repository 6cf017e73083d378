import { createReadStream } from "node:fs";
import { AccessKind, type LackeyOptions, unpackTrace } from "../trace/lackey.js";
import { OpBuffer, OpKind } from "../native/op-buffer.js";
import { type Batch, compileTrace, FirstTouchMap } from "../trace/workload.js";
import { Randomness } from "./randomness.js";

/** The operations of `lackeyOps`, in batches. */
export async function* readLackeyOps(
  path: string,
  size: number,
  options: LackeyOptions,
): AsyncGenerator<OpBuffer, void, undefined> {
  const random = new Randomness(0);
  const text = unpackTrace(path, createReadStream(path));
  for await (const batch of compileTrace(text, { map: new FirstTouchMap(size), ...options })) {
    yield packBatch(batch, random);
  }
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
