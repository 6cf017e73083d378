import { readFileSync } from "node:fs";
import { join } from "node:path";
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

/** The same with `require`. */
export function quickStartAsCommonJs(): string {
  return quickStart().replace(/^import (\{.*\}) from ("[^"]+");$/m, "const $1 = require($2);");
}

/** What it prints. */
export const QUICK_START_OUTPUT = [
  "dead",
  "true",
  "true",
  "FAULT_BOUNDARY: read of 8 byte(s) at gpa 0xfffffffffffffff8",
  "",
].join("\n");
