// The operations that every way runs. Their kinds are those of `OpKind`: log2 of the width, plus 4
// for a store. A store of operation n writes the low byte of n.

import { createReadStream } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { createBrotliDecompress } from "node:zlib";
import { SIZE } from "./addon.mjs";

const require = createRequire(import.meta.url);
const TRACE = fileURLToPath(new URL("../traces/gzip-numbers.lackey.br", import.meta.url));
const LENGTH = 2 ** 17;
/**
 * Random addresses lie below this. The caches hold that much, so that cache misses do not count.
 */
const SPREAD = 2 ** 18;

async function traceOps() {
  const { compileTrace, FirstTouchMap } = require("pound-guest-memory/trace");
  const kinds = [];
  const gpas = [];
  const text = createReadStream(TRACE).pipe(createBrotliDecompress());
  for await (const batch of compileTrace(text, { map: new FirstTouchMap(SIZE) })) {
    for (let i = 0; i < batch.length; i++) {
      const [kind, width] = [batch.codes[i] >> 2, batch.codes[i] & 3];
      // A modify is a load and then a store.
      for (const store of kind === 3 ? [0, 4] : [kind === 2 ? 4 : 0]) {
        kinds.push(store + width);
        gpas.push(batch.gpas[i]);
      }
    }
  }
  return kinds.map((kind, i) => ({ kind, gpa: gpas[i] }));
}

function mixed(name, ops) {
  const kinds = Uint8Array.from(ops, ({ kind }) => kind);
  return { name, mixed: true, kinds, gpas: Uint32Array.from(ops, ({ gpa }) => gpa) };
}

/** Loads and stores of one width by turns. */
function uniform(name, width, addressOf) {
  const gpas = Uint32Array.from({ length: LENGTH }, (_, i) => addressOf(i) * (1 << width));
  const kinds = Uint8Array.from(gpas, (_, i) => width + 4 * (i & 1));
  return { name, mixed: false, width, kinds, gpas };
}

function atRandom(width) {
  return () => Math.floor(Math.random() * (SPREAD >> width));
}

/** `{ name, mixed, width?, kinds, gpas }` for each workload. */
export async function workloads() {
  const trace = await traceOps();
  return [
    mixed(
      "recorded trace of gzip, 8 to 32 bits",
      trace.filter(({ kind }) => (kind & 3) !== 3),
    ),
    mixed("recorded trace of gzip, all of it", trace),
    uniform("32 bits, in order", 2, (i) => i % (SPREAD >> 2)),
    uniform("32 bits, at random", 2, atRandom(2)),
    uniform("64 bits, in order", 3, (i) => i % (SPREAD >> 3)),
    uniform("64 bits, at random", 3, atRandom(3)),
  ];
}
