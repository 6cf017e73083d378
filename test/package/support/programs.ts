import { readFileSync } from "node:fs";
import { join } from "node:path";
import { statedOutput } from "../../support/documents.js";
import { ROOT } from "./machine.js";

/** The README's first example, as it stands there. */
export function quickStart(): string {
  const readme = readFileSync(join(ROOT, "README.md"), "utf8");
  const code = /^## Quick start\n+```js\n([^]*?)^```$/m.exec(readme)?.[1];
  if (code === undefined) {
    throw new Error("the README has no quick start");
  }
  return code;
}

/** An ES module that imports names, and exports no more than a default, as CommonJS. */
export function asCommonJs(code: string): string {
  return code
    .replace(/^import (\{[^}]*\}) from ("[^"]+");$/gm, "const $1 = require($2);")
    .replace(/^export default /m, "module.exports = ");
}

/** What it prints. */
export const QUICK_START_OUTPUT = statedOutput(quickStart());

/** Code of the folder fixtures. */
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
  "atomics true",
  "snapshot, inspector 200",
  "crosscheck 1000 null",
  "trace 3 true",
  "",
].join("\n");

/** Programs that are ES modules, and what they print. */
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
