import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { BadImageError } from "pound-guest-memory/loader";
import type { HartMemory } from "../../examples/frontend/cpu/port.js";
import { lockstep } from "../../examples/frontend/lockstep.js";
import { Machine } from "../../examples/frontend/machine.js";
import { GUEST_FOLDER, PROGRAMS, programFile } from "../../examples/frontend/programs.js";
import { differences, runProgram } from "../../examples/frontend/run.js";
import { compileFrontend } from "../support/frontend.js";
import { itNative } from "../support/native-tests.js";
import { need } from "../support/need.js";

const ROOT = join(__dirname, "../..");

/** The output of the workload for some rounds, as its C file prints it on an x86-64 host. */
const WORKLOAD_ROUNDS = 10;
const WORKLOAD_OUTPUT =
  "workload: 10 rounds\nlist fc4a905, matrix 6fade62f, scanner 43f40170, total 336a5404\n";

/** A hash of the first frame. */
const FIRST_FRAME = 1494586971;

/** The compiler, from Debian, that made the programs in the repository. */
const CROSS_COMPILER = "riscv64-linux-gnu-gcc";
const CROSS_COMPILER_VERSION = "12.2.0";

interface Comparison {
  readonly name: string;
  readonly status: number | null;
  readonly output: string;
  readonly instructions: number;
  readonly frames: readonly number[];
  readonly differences: readonly string[];
}

/** Runs the compiled example on both paths, as a user does. */
function runExample(...options: string[]): Comparison[] {
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [join(ROOT, "build-example/main.js"), "--json", ...options],
    { encoding: "utf8" },
  );
  expect(stderr).to.equal("");
  return JSON.parse(stdout) as Comparison[];
}

/** Accessors with one wrong bit, in the nth load of 64 bits. */
function withWrongBit(nth: number): (memory: HartMemory) => HartMemory {
  return (memory) => {
    let loads = 0;
    return {
      tryReadb: (gpa, out) => memory.tryReadb(gpa, out),
      tryReadw: (gpa, out) => memory.tryReadw(gpa, out),
      tryReadl: (gpa, out) => memory.tryReadl(gpa, out),
      tryReadq(gpa, out) {
        const result = memory.tryReadq(gpa, out);
        if (++loads === nth) {
          out[0] = out[0]! ^ (1n << 40n);
        }
        return result;
      },
      tryWriteb: (gpa, value) => memory.tryWriteb(gpa, value),
      tryWritew: (gpa, value) => memory.tryWritew(gpa, value),
      tryWritel: (gpa, value) => memory.tryWritel(gpa, value),
      tryWriteqFrom: (gpa, source) => memory.tryWriteqFrom(gpa, source),
    };
  };
}

describe("the example frontend", () => {
  const scratch = mkdtempSync(join(tmpdir(), "pound-frontend-"));
  const png = join(scratch, "frame.png");

  before(function () {
    this.timeout(120_000);
    compileFrontend();
  });

  after(() => rmSync(scratch, { recursive: true }));

  itNative("passes its checks of the instruction set, alike on both paths", function () {
    this.timeout(120_000);
    const [isa] = runExample("--program", "isa");
    expect(isa).to.include({ status: 0, output: "isa: 20558 checks, 0 failed\n" });
    expect(isa!.differences).to.deep.equal([]);
  });

  itNative("computes the workload as the host does, alike on both paths", function () {
    this.timeout(120_000);
    const [workload] = runExample("--program", "workload", "--argument", `${WORKLOAD_ROUNDS}`);
    expect(workload).to.include({ status: 0, output: WORKLOAD_OUTPUT });
    expect(workload!.differences).to.deep.equal([]);
  });

  itNative("draws the same frames on both paths", function () {
    this.timeout(120_000);
    const [terrain] = runExample("--program", "terrain", "--argument", "1", "--png", png);
    expect(terrain).to.deep.include({ status: 0, differences: [], frames: [FIRST_FRAME] });
    expect(readFileSync(png).subarray(1, 4).toString()).to.equal("PNG");
  });

  it("knows the workload's output from the host's own compiler", function () {
    need(this, "cc");
    const host = join(scratch, "host");
    const sources = ["workload.c", "host.c"].map((file) => join(GUEST_FOLDER, "workload", file));
    execFileSync("cc", ["-O1", ...sources, "-o", host]);
    expect(execFileSync(host, [`${WORKLOAD_ROUNDS}`], { encoding: "utf8" })).to.equal(
      WORKLOAD_OUTPUT,
    );
  });

  it("has programs that are built from their sources", function () {
    this.timeout(120_000);
    need(this, CROSS_COMPILER);
    need(this, "make");
    execFileSync("make", ["-s", "-B", "-C", GUEST_FOLDER, `OUT=${scratch}`]);
    const version = execFileSync(CROSS_COMPILER, ["-dumpfullversion"], { encoding: "utf8" });
    if (version.trim() === CROSS_COMPILER_VERSION) {
      for (const name of [...PROGRAMS, "random"] as const) {
        const rebuilt = readFileSync(join(scratch, `${name}.elf`));
        expect(rebuilt.equals(readFileSync(programFile(name))), name).to.be.true;
      }
      return;
    }
    // Another compiler makes other code, which must have the same results.
    const file = join(scratch, "workload.elf");
    const [workload] = runExample("--file", file, "--argument", `${WORKLOAD_ROUNDS}`);
    expect(workload).to.include({ status: 0, output: WORKLOAD_OUTPUT });
  });

  describe("with one wrong bit", () => {
    const program = readFileSync(programFile("workload"));
    const view = { path: "view", argument: 1 } as const;
    const wrong = () => ({ ...view, intercept: withWrongBit(2000) });

    it("reports that the runs differ", () => {
      const limit = 60_000;
      const right = runProgram(program, view, limit);
      expect(differences(right, runProgram(program, view, limit))).to.deep.equal([]);
      const found = differences(right, runProgram(program, wrong(), limit));
      expect(found.join()).to.match(/registers/);
    });

    it("finds the instruction that read it", () => {
      expect(lockstep(program, view, { ...view, path: "native" }, 20_000)).to.equal(null);
      const divergence = lockstep(program, view, wrong(), 60_000)!;
      // A load of 64 bits, into one register, which has the wrong bit.
      expect(divergence.code! & 0x707f).to.equal(0x3003);
      expect(divergence.registers).to.have.length(1);
      const [one, other] = /0x\w+/g[Symbol.match](divergence.registers[0]!)!.map(BigInt);
      expect(one! ^ other!).to.equal(1n << 40n);
    });
  });

  it("refuses programs for other machines, and those that do not fit", () => {
    const other = readFileSync(join(ROOT, "test/fixtures/elf/aarch64.elf"));
    expect(() => new Machine(other, { path: "view" })).to.throw(BadImageError, "for aarch64");
    const elsewhere = readFileSync(join(ROOT, "test/fixtures/elf/riscv64.elf"));
    expect(() => new Machine(elsewhere, { path: "view" })).to.throw(BadImageError, "is a device");
  });

  it("ends with a status and a message for wrong usage", () => {
    for (const options of [["--program", "nix"], ["--argument", "-1"], ["--nix"]]) {
      const { status, stderr } = spawnSync(
        process.execPath,
        [join(ROOT, "build-example/main.js"), ...options],
        { encoding: "utf8" },
      );
      expect(status).to.equal(2);
      expect(stderr).not.to.equal("");
    }
  });
});
