import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { PACKAGE, WITH_TRANSFER } from "../support/alone.js";

describe("random lifetimes", function () {
  this.timeout(180_000);

  it("neither crash the process nor mix up bytes", () => {
    const source = join(__dirname, "../support/lifetime-fuzz.ts");
    const program = existsSync(source)
      ? ["--import", "tsx", source]
      : [join(__dirname, "../support/lifetime-fuzz.js")];
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      ["--expose-gc", ...WITH_TRANSFER, ...program, "--runs", "1000000", "--seconds", "8"],
      { cwd: PACKAGE, encoding: "utf8" },
    );
    expect({ status, signal }, stdout + stderr).to.deep.equal({ status: 0, signal: null });
    expect(stdout).to.match(/: [1-9]\d* runs of/);
  });
});
