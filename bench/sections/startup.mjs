import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { median } from "../measure.mjs";

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
const RUNS = 21;

const TIMED = `
  const start = process.hrtime.bigint();
  require("pound-guest-memory");
  console.log(Number(process.hrtime.bigint() - start) / 1e6);`;

/** How long `require` takes in a fresh process. */
export function startup() {
  const requireMs = Array.from({ length: RUNS }, () =>
    Number(execFileSync(process.execPath, ["-e", TIMED], { cwd: PACKAGE, encoding: "utf8" })),
  );
  const result = { requireMs: median(requireMs) };
  console.log(
    `\nrequire("pound-guest-memory"): ${result.requireMs.toFixed(1)} ms, of ${RUNS} processes`,
  );
  return result;
}
