import { readFileSync } from "node:fs";
import { brotliDecompressSync, gzipSync } from "node:zlib";
import { lackeyOps } from "pound-guest-memory/crosscheck";
import type { Field, Randomness, Target } from "./framework.mjs";

const TRACE = new URL("../../traces/gzip-numbers.lackey.br", import.meta.url);
const RAM = 2 ** 20;
/** Ends a text that {@link repair} packs with gzip. */
const PACKED = "==packed==\n";

function seeds(): Buffer[] {
  const whole = brotliDecompressSync(readFileSync(TRACE));
  const lines = [
    "I  04000000,3\n S 1ffeffe7e0,8\n L 04222cac,1\n M 0421d044,4\n\n--noise\n",
    "I  ffffffffffffffff,1\r\n L 0,4096\r\n S fffffffffffffff8,8",
  ].map((text) => Buffer.from(text));
  const start = whole.subarray(0, whole.lastIndexOf("\n", 3000) + 1);
  const end = whole.subarray(whole.indexOf("\n", whole.length - 3000) + 1);
  const text = [start, end, ...lines];
  return [
    ...text,
    ...text.map((part) => Buffer.concat([part, Buffer.from(`\n${PACKED}`)])),
    ...text.map((part) => gzipSync(part)),
  ];
}

/** The first bytes, each as a number: a trace is text, whose digits and separators are bytes. */
function fields(file: Buffer): Field[] {
  const all: Field[] = [];
  for (let offset = 0; offset < Math.min(file.length, 500); offset++) {
    all.push({ offset, size: 1 });
  }
  return all;
}

/** Packs a text that ends in the mark, so that a mutated text can also come out of gzip. */
function repair(file: Buffer): Buffer {
  return file.subarray(-PACKED.length).toString("latin1") === PACKED ? gzipSync(file) : file;
}

async function run(_file: Buffer, path: string, random: Randomness): Promise<void> {
  const size = random.below(2) === 0 ? RAM : 4096;
  let ops = 0;
  for await (const batch of lackeyOps(path, size)()) {
    ops += batch.length;
  }
  if (ops > 2 ** 32) {
    throw new Error("more operations than a file can hold");
  }
}

function isRefusal(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return (
    error instanceof Error &&
    ["ERR_LACKEY_SYNTAX", "Z_DATA_ERROR", "Z_BUF_ERROR"].includes(String(code))
  );
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
