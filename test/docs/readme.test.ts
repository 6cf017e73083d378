import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";

const PACKAGE = join(__dirname, "../..");

/** The first block of JavaScript below a heading of the README. */
function example(heading: string): string {
  const readme = readFileSync(join(PACKAGE, "README.md"), "utf8");
  const section = readme.split(`\n## ${heading}\n`)[1] ?? "";
  return /```js\n(.*?)```/s.exec(section)?.[1] ?? "";
}

function run(script: string): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ["--input-type=module", "-e", script],
    { cwd: PACKAGE, encoding: "utf8" },
  );
  return { status, output: stdout + stderr };
}

describe("the README", () => {
  it("shows an address space that works as it says", () => {
    expect(run(example("A machine's memory"))).to.deep.equal({
      status: 0,
      output: "uart: !\n2\nUint32Array(1) [ 2 ]\nread 19\n",
    });
  });
});
