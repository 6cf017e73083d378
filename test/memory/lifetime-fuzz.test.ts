import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PACKAGE, WITH_TRANSFER } from "../support/alone.js";

const LIMITS = ["--runs", "1000000", "--seconds", "8"];

describe("random lifetimes", function () {
  this.timeout(180_000);

  it("neither crash the process nor mix up bytes", () => {
    // The tests are compiled where Node is for another platform, which has no tsx.
    const compiled = join(__dirname, "../support/lifetime-fuzz.js");
    const program = existsSync(compiled)
      ? [compiled]
      : ["--import", "tsx", join(__dirname, "../support/lifetime-fuzz.ts")];
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ["--expose-gc", ...WITH_TRANSFER, ...program, ...LIMITS],
      { cwd: PACKAGE, encoding: "utf8" },
    );
    expect({ status, signal }, stdout + stderr).to.deep.equal({ status: 0, signal: null });
    expect(stdout).to.match(/: [1-9]\d* runs of/);
  });
});
