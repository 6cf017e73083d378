import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

/** The accessors that a loop calls, by the name of the loop. */
const CALLED = {
  one_codes: [
    "tryReadb",
    "tryReadw",
    "tryReadl",
    "tryReadq",
    "tryWriteb",
    "tryWritew",
    "tryWritel",
    "tryWriteqFrom",
  ],
  one_values: ["readb", "readw", "readl", "readq", "writeb", "writew", "writel"],
  space_codes: [
    "tryReadb",
    "tryReadw",
    "tryReadl",
    "tryReadq",
    "tryWriteb",
    "tryWritew",
    "tryWritel",
    "tryWriteqFrom",
  ],
  space_values: ["readb", "readw", "readl", "readq", "writeb", "writew", "writel"],
  space_native: ["tryReadl", "tryWritel", "tryReadq", "tryWriteqFrom"],
  native: ["tryReadl", "readb", "tryWritel", "tryReadq"],
};

/** What V8 says it has inlined, as `{ callee, caller }`. */
function inlinings(output: string): { callee: string; caller: string }[] {
  const said = /Inlining .*?<SharedFunctionInfo (\w+)>\} into .*?<SharedFunctionInfo (\w+)>\}/g;
  return [...output.matchAll(said)].map(([, callee, caller]) => ({
    callee: callee!,
    caller: caller!,
  }));
}

describe("what V8 makes of the hot paths", function () {
  this.timeout(60_000);
  let trace: string;
  let reports: { name: string; optimized: boolean }[];

  before(() => {
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [
        "--allow-natives-syntax",
        "--trace-turbo-inlining",
        // What is compiled aside is done when it likes.
        "--no-concurrent-recompilation",
        "test/support/hot-loops.js",
      ],
      { cwd: join(__dirname, ".."), encoding: "utf8", maxBuffer: 2 ** 26 },
    );
    expect(status, stderr).to.equal(0);
    trace = stdout;
    reports = stderr
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as (typeof reports)[number]);
  });

  it("keeps them optimized when widths, memories and addresses are mixed", () => {
    expect(reports).to.have.length(14);
    expect(reports.filter(({ optimized }) => !optimized)).to.deep.equal([]);
  });

  for (const [loop, accessors] of Object.entries(CALLED)) {
    it(`inlines every accessor into ${loop}`, () => {
      const inlined = inlinings(trace)
        .filter(({ caller }) => caller === loop)
        .map(({ callee }) => callee);
      expect(inlined).to.include.members(accessors);
    });
  }
});
