import { readFileSync } from "node:fs";
import { join } from "node:path";
import { statedOutput } from "../../support/documents.js";
import { ROOT } from "./machine.js";

/** The code of the README's quick start. */
export function quickStart(): string {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const code = /^## Quick start\n+```js\n([^]*?)^```$/m.exec(readme)?.[1];
  if (code === undefined) {
    throw new Error("the README has no quick start");
  }
  return code;
}

/** Rewrites an ES module as CommonJS. It may import only names, and export only a default. */
export function asCommonJs(code: string): string {
  return code
    .replace(/^import (\{[^}]*\}) from ("[^"]+");$/gm, "const $1 = require($2);")
    .replace(/^import ("[^"]+");$/gm, "require($1);")
    .replace(/^export default /m, "module.exports = ");
}

/** The output of the quick start, as the README states it. */
export const QUICK_START_OUTPUT = statedOutput(quickStart());

/** The code of a file in the folder fixtures. */
export function fixture(name: string): string {
  return readFileSync(join(ROOT, "test/package/fixtures", name), "utf8");
}

/** A program that imports from every entry of the package. */
export function everySubpath(): string {
  return fixture("every-subpath.mjs");
}

const EVERY_SUBPATH_OUTPUT = [
  "loader 4030201",
  "typed 80000000",
  "mmu 4030201",
  "atomics true",
  "snapshot, inspector 200",
  "gdb null",
  "crosscheck 1000 null",
  "trace 3 true",
  "include true",
  "",
].join("\n");

/** Programs, as ES modules, and their output. */
export const PROGRAMS = [
  {
    title: "the README's quick start",
    name: "quick-start",
    code: quickStart,
    output: QUICK_START_OUTPUT,
  },
  {
    title: "a program that uses every subpath",
    name: "every-subpath",
    code: everySubpath,
    output: EVERY_SUBPATH_OUTPUT,
  },
];
