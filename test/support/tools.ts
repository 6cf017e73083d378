import { spawnSync } from "node:child_process";

/** Skips a test or a suite whose tool is missing, unless all must run. */
export function need(context: Mocha.Context, program: string): void {
  if (spawnSync(program, ["--version"]).status === 0) {
    return;
  }
  if (process.env.POUND_REQUIRE_ALL === "1") {
    throw new Error(`POUND_REQUIRE_ALL=1, and there is no ${program}`);
  }
  context.skip();
}
