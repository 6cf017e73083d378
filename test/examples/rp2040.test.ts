import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

describe("the example rp2040", () => {
  it("prints what the program sends, without a warning", () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["examples/rp2040/main.mjs"], {
      cwd: join(__dirname, "../.."),
      encoding: "utf8",
    });
    expect(stderr).to.equal("");
    expect(stdout).to.contain("\nprimes 00000234\n").and.to.contain("\nsent by DMA\n");
    expect(status).to.equal(0);
  });
});
