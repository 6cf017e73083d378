import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { compileAddon, unpackPackage } from "./support/core-package.js";
import { ROOT, run } from "./support/machine.js";

/** The outcome of a program, as the example prints it. */
interface Comparison {
  readonly status: number | null;
  readonly output: string;
  readonly deviceAccesses: number;
  readonly frames: readonly number[];
  readonly differences: readonly string[];
}

/** A hart in C++, which is built against the packed package. */
describe("the example with a native core", () => {
  let folder: string;
  let example: string;

  before(function () {
    const unpacked = unpackPackage();
    if (unpacked === null) {
      this.skip();
    }
    folder = unpacked;
    example = join(folder, "examples/native-core");
    mkdirSync(example, { recursive: true });
    for (const path of ["tsconfig.json", "examples/frontend"]) {
      cpSync(join(ROOT, path), join(folder, path), { recursive: true });
    }
    // Not the builds of a developer.
    for (const name of ["core-hart.ts", "core-worker.ts", "main.ts", "tsconfig.json"]) {
      cpSync(join(ROOT, "examples/native-core", name), join(example, name));
    }
    const isBuild = /[\\/](build|node_modules)([\\/]|$)/;
    const sources = join(ROOT, "examples/native-core/hart");
    cpSync(sources, join(example, "hart"), {
      recursive: true,
      filter: (path) => !isBuild.test(path.slice(sources.length)),
    });
    mkdirSync(join(folder, "node_modules/@types"));
    for (const name of ["node-addon-api", "@types/node", "undici-types"]) {
      symlinkSync(join(ROOT, "node_modules", name), join(folder, "node_modules", name));
    }
    compileAddon(join(example, "hart"), "install");
    compile();
  });

  after(() => {
    if (folder !== undefined) {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  function compile(): void {
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const { status, output } = run(process.execPath, [tsc, "-p", "."], example);
    expect(status, output).to.equal(0);
  }

  function runExample(...options: string[]): Comparison {
    const main = join(folder, "build-example-core/native-core/main.js");
    const { output } = run(process.execPath, [main, "--json", ...options], example);
    return (JSON.parse(output) as [Comparison])[0];
  }

  it("passes the checks of the instruction set, equal to the hart in TypeScript", () => {
    const isa = runExample("--program", "isa");
    expect(isa).to.deep.include({ status: 0, output: "isa: 20558 checks, 0 failed\n" });
    expect(isa.differences).to.deep.equal([]);
    expect(isa.deviceAccesses).to.be.above(50);
  });

  it("computes the workload, equal after each of the first instructions", () => {
    const workload = runExample("--program", "workload", "--argument", "10", "--steps", "20000");
    expect(workload).to.deep.include({ status: 0, differences: [] });
    expect(workload.output).to.match(/total 336a5404\n$/);
  });

  it("draws the same frame", () => {
    const terrain = runExample("--program", "terrain", "--argument", "1");
    expect(terrain).to.deep.include({ status: 0, differences: [], frames: [1494586971] });
  });

  it("reports a wrong instruction", () => {
    const source = join(example, "hart/hart.cpp");
    const text = readFileSync(source, "utf8");
    const wrong = text.replace("a ^ b", "a | b");
    expect(wrong).to.not.equal(text);
    writeFileSync(source, wrong);
    compileAddon(join(example, "hart"), "install");
    const { differences } = runExample("--program", "workload", "--argument", "1");
    expect(differences.join("\n")).to.match(/^C\+\+: .*\n(.*\n)*instruction \d+, at 0x8/);
  });
});
