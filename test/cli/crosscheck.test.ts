import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace, OpKind, packOps } from "pound-guest-memory";
import { encodeOpLog } from "pound-guest-memory/crosscheck";
import { describeNative } from "../support/native-tests.js";

const MAIN = join(__dirname, "..", "..", "dist", "cli", "main.js");
const PACKAGE = join(__dirname, "..", "..", "dist", "index.js");

function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [MAIN, "crosscheck", ...args], { encoding: "utf8" });
}

describeNative("pound-guest-memory crosscheck", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "crosscheck-"));
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  function write(name: string, content: string | Buffer): string {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  }

  it("passes the view path, and prints that there is no difference", () => {
    const { status, stdout } = run("--ops", "20000", "--seed", "4", "--size", "64K");
    expect(stdout).to.match(/^no difference in 20,000 operations, of which [\d,]+ FAULT_UNALIGNED/);
    expect(status).to.equal(0);
    expect(run("--exhaustive").status).to.equal(0);
  });

  it("checks the view path under an access policy, which it passes to a module", () => {
    const policy = ["--alignment", "allow", "--endian", "big"];
    const { status, stdout } = run("--ops", "20000", "--size", "64K", ...policy);
    expect(stdout).to.match(/^no difference in 20,000 operations, of which 0 FAULT_UNALIGNED/);
    expect(status).to.equal(0);
    expect(run("--exhaustive", ...policy).status).to.equal(0);
    const subject = write(
      "policy.cjs",
      `const { GuestMemory } = require(${JSON.stringify(PACKAGE)});
       module.exports = (size, policy) => GuestMemory.allocate(size).withPolicy(policy);`,
    );
    expect(run("--subject", subject, "--ops", "5000", ...policy).status).to.equal(0);
    const deaf = write(
      "deaf.cjs",
      `const { GuestMemory } = require(${JSON.stringify(PACKAGE)});
       module.exports = (size) => GuestMemory.allocate(size);`,
    );
    expect(run("--subject", deaf, "--ops", "5000", ...policy).status).to.equal(1);
  });

  it("checks the paths of address translation", () => {
    const { status, stdout } = run("--mmu", "--ops", "5000", "--endian", "big");
    expect(stdout).to.equal("no difference in 5,000 operations\n");
    expect(status).to.equal(0);
    expect(run("--mmu", "--exhaustive").status).to.equal(2);
  });

  it("fails a wrong model, with the report or with JSON", () => {
    const subject = write(
      "wrong.cjs",
      `const { GuestMemory } = require(${JSON.stringify(PACKAGE)});
       module.exports = (size) => {
         const memory = GuestMemory.allocate(size);
         const wrong = {};
         for (const width of "bwlq") {
           const cut = (gpa) => BigInt.asUintN(32, BigInt(gpa));
           wrong["tryRead" + width] = (gpa, out) => memory["tryRead" + width](cut(gpa), out);
           wrong["tryWrite" + width] = (gpa, value) => memory["tryWrite" + width](cut(gpa), value);
         }
         return wrong;
       };`,
    );
    const text = run("--subject", subject, "--ops", "5000");
    expect(text.stdout).to.match(/difference at operation \d+ of seed 1/);
    expect(text.stdout).to.contain("reference  FAULT_BOUNDARY");
    expect(text.status).to.equal(1);
    const json = run("--subject", subject, "--ops", "5000", "--json");
    expect(json.status).to.equal(1);
    const { difference } = JSON.parse(json.stdout) as { difference: { ops: unknown[] } };
    expect(difference.ops).to.have.length(1);
  });

  it("replays a log", () => {
    const ops = packOps([{ kind: OpKind.WRITEB, gpa: 1n, value: 2n }]);
    const { status, stdout } = run(
      "--log",
      write("ops.log", encodeOpLog({ size: 16, ops })),
      "--json",
    );
    expect(JSON.parse(stdout)).to.deep.include({ operations: 1, difference: null });
    expect(status).to.equal(0);
  });

  it("replays a log under its policy", () => {
    const policy = { alignment: "allow", endian: "big" } as const;
    const ops = packOps([{ kind: OpKind.WRITEL, gpa: 1n, value: 2n }]);
    const log = write("policy.log", encodeOpLog({ size: 16, ops, policy }));
    const { faults } = JSON.parse(run("--log", log, "--json").stdout) as { faults: number[] };
    expect(faults).to.deep.equal([0, 0, 0, 0]);
    expect(run("--log", log, "--endian", "little").status).to.equal(2);
  });

  it("replays what a trace of a space has recorded, on either path", () => {
    const policy = { alignment: "allow", endian: "big" } as const;
    for (const path of ["view", "native"]) {
      const space = new AddressSpace(policy);
      space.addRam(0x8000_0000, 0x4000);
      const trace = space.trace({ range: { gpa: 0x8000_1000, length: 0x2000 }, tag: () => 5 });
      const access = path === "view" ? space : space.native;
      access.writeq(0x8000_1ffd, 0x1122_3344_5566_7788n);
      access.writeb(0x8000_1001, -1);
      access.writel(0x8000_3000, 1); // outside the range
      expect(access.readl(0x8000_2000)).to.equal(0x4455_6677);
      space.fill(0x8000_1000, 8, 1); // without a value
      const recorded = trace.log();
      expect(recorded).to.include({ base: 0x8000_1000n, size: 0x2000, omitted: 1 });
      const log = write(`${path}.log`, encodeOpLog(recorded));
      const { status, stdout } = run("--log", log, "--json");
      expect(JSON.parse(stdout), path).to.deep.include({
        operations: 3,
        faults: [0, 0, 0, 0],
        difference: null,
      });
      expect(status).to.equal(0);
    }
  });

  it("ends with status 2 for wrong arguments and unusable files", () => {
    for (const args of [
      ["--ops", "many"],
      ["--seed", "-1"],
      ["--alignment", "maybe"],
      ["--endian", "middle"],
      ["--log", join(folder, "none.log")],
      ["--log", write("bad.log", "no log")],
      ["--trace", join(folder, "none.gz")],
      ["--subject", write("empty.cjs", "module.exports = 5;")],
      ["--trace", "a", "--log", "b"],
    ]) {
      const { status, stderr } = run(...args);
      expect(status, args.join(" ")).to.equal(2);
      expect(stderr.trim().split("\n")).to.have.length(1);
    }
  });
});
