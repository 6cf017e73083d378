import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/** Skips a test whose program is missing, unless all tests must run. */
export function need(context: Mocha.Context, program: string): void {
  skipUnless(context, spawnSync(program, ["--version"]).status === 0, program);
}

/** Skips a test whose file is missing, unless all tests must run. `origin` makes the file. */
export function needFile(context: Mocha.Context, file: string, origin: string): void {
  skipUnless(context, existsSync(file), `${file} of ${origin}`);
}

function skipUnless(context: Mocha.Context, isPresent: boolean, what: string): void {
  if (isPresent) {
    return;
  }
  if (process.env.POUND_REQUIRE_ALL === "1") {
    throw new Error(`POUND_REQUIRE_ALL=1, and there is no ${what}`);
  }
  console.log(`      SKIPPED: there is no ${what}`);
  context.skip();
}
