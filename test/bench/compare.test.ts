import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";

const COMPARE = join(__dirname, "../../bench/compare.mjs");
const CPP = "C++ accessors, looped in C++";

describe("npm run bench:compare", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pound-bench-"));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  /** Writes a file of figures as `npm run bench -- --json FILE` does, and returns its path. */
  function figures(name: string, node: string, view: number, cpp: number): string {
    const ns = { [CPP]: cpp, view };
    const results = { accesses: [{ name: "trace", operations: 8, ns }], large: { creation: view } };
    const path = join(folder, name);
    const runs = [{ machine: { node }, results }];
    writeFileSync(path, JSON.stringify({ date: "", command: "", runs }));
    return path;
  }

  function compare(...files: string[]): { status: number | null; lines: string[] } {
    const { status, stdout } = spawnSync(process.execPath, [COMPARE, ...files], {
      encoding: "utf8",
    });
    return { status, lines: stdout.split("\n") };
  }

  it("marks what changed, after the speed of the machine has cancelled", () => {
    const before = figures("a.json", "v24.1.0", 3, 2);
    const slowMachine = figures("b.json", "v24.2.0", 6, 4);
    const { status, lines } = compare(before, slowMachine);
    expect(status).to.equal(0);
    // Twice the time in both loops is no change; a figure without a C++ loop cannot tell.
    expect(lines.find((line) => line.endsWith("accesses: trace: view"))).to.match(
      /^ +2\.00 +1\.00 +3\.00 +6\.00 {2}/,
    );
    expect(lines.find((line) => line.endsWith("large: creation"))).to.match(/^\* +2\.00 +3\.00/);
    const slower = compare(before, figures("c.json", "v24.2.0", 3.3, 2)).lines;
    expect(slower.find((line) => line.endsWith("accesses: trace: view"))).to.match(
      /^\* +1\.10 +1\.10 /,
    );
  });

  it("fails where the files have no Node in common, or one is missing", () => {
    const before = figures("a.json", "v20.1.0", 3, 2);
    expect(compare(before, figures("b.json", "v24.2.0", 3, 2)).status).to.equal(1);
    expect(compare(before).status).to.equal(2);
  });
});
