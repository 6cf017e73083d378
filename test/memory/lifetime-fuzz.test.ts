import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { PACKAGE, WITH_TRANSFER } from "../support/alone.js";

const LIMITS = ["--runs", "1000000", "--seconds", "8"];

describe("random lifetimes", function () {
  this.timeout(180_000);

  it("neither crash the process nor mix up bytes", () => {
    // The tests are compiled where Node is for another platform, which has no tsx.
    const isSource = __filename.endsWith(".ts");
    const program = join(__dirname, `../support/lifetime-fuzz.${isSource ? "ts" : "js"}`);
    const { status, signal, stdout, stderr } = spawnSync(
      process.execPath,
      [
        "--expose-gc",
        ...WITH_TRANSFER,
        ...(isSource ? ["--import", "tsx"] : []),
        program,
        ...LIMITS,
      ],
      { cwd: PACKAGE, encoding: "utf8" },
    );
    expect({ status, signal }, stdout + stderr).to.deep.equal({ status: 0, signal: null });
    expect(stdout).to.match(/: [1-9]\d* runs of/);
  });
});
