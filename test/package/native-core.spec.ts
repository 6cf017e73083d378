import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { isAbsolute, join } from "node:path";
import { expect } from "chai";
import { NODES, nodePrograms } from "../../scripts/prebuilds/nodes.mjs";
import { compileAddon, unpackPackage } from "./support/core-package.js";
import { type Ended, outsideNpm, ROOT, run } from "./support/machine.js";

/** An addon, in C and C++, that is built against the packed package and uses its memories. */
describe("a native addon that uses the package", () => {
  let folder: string;

  before(function () {
    const unpacked = unpackPackage();
    if (unpacked === null) {
      this.skip();
    }
    folder = unpacked;
    cpSync(join(ROOT, "test/package/fixtures/core"), folder, { recursive: true });
    const scripts = { build: "node-gyp rebuild" };
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "core", scripts }));
    compileAddon(folder, "build");
  });

  after(() => {
    if (folder !== undefined) {
      rmSync(folder, { recursive: true, force: true });
    }
  });

  it("has a guide with a core that works as written", () => {
    const guide = readFileSync(join(ROOT, "docs/native-cores.md"), "utf8");
    const example = join(folder, "guide");
    mkdirSync(example);
    for (const [file, language] of [
      ["binding.gyp", "json"],
      ["core.cpp", "cpp"],
      ["main.js", "javascript"],
    ] as const) {
      const block = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\`$`, "m").exec(guide);
      writeFileSync(join(example, file), block![1]!);
    }
    const scripts = { build: "node-gyp rebuild" };
    writeFileSync(join(example, "package.json"), JSON.stringify({ name: "guide", scripts }));
    compileAddon(example, "build");
    const { status, output } = run(process.execPath, ["main.js"], example);
    expect(output).to.equal("count 100000\nhalted 0\n");
    expect(status).to.equal(0);
  });

  it("has an example with koffi in the guide that works as written", () => {
    const guide = readFileSync(join(ROOT, "docs/native-cores.md"), "utf8");
    const [, code] = /^```mjs\n([^]*?)^```$/m.exec(guide)!;
    const [, printed] = /console\.log.* \/\/ (\w+)$/m.exec(code!)!;
    symlinkSync(join(ROOT, "node_modules/koffi"), join(folder, "node_modules/koffi"));
    writeFileSync(join(folder, "ffi.mjs"), code!);
    const { status, output } = run(process.execPath, ["ffi.mjs"], folder);
    expect(output).to.equal(`${printed}\n`);
    expect(status).to.equal(0);
  });

  it("finds the headers without a load of the addon, from any folder", () => {
    const print = (code: string): string =>
      run(process.execPath, ["-p", code], folder).output.trim();
    const include = print("require('pound-guest-memory/include').include_dir");
    expect(isAbsolute(include)).to.equal(false);
    expect(existsSync(join(folder, include, "kvm/guest.h"))).to.equal(true);
    expect(existsSync(join(folder, include, "node/guest_handle.h"))).to.equal(true);
    const loaded = print(
      "require('pound-guest-memory/include'); Object.keys(require.cache).join()",
    );
    expect(loaded.replaceAll("\\", "/")).to.match(/^[^,]*\/dist\/include\/index\.js$/);
  });

  it("is built by cmake-js too", function () {
    if (spawnSync("cmake", ["--version"]).error !== undefined) {
      expect(process.env["POUND_REQUIRE_ALL"]).to.not.equal("1");
      console.log("      SKIPPED (not installed: cmake)");
      this.skip();
    }
    const api = join(ROOT, "node_modules/node-api-headers/include");
    const options = ["-S", ".", "-B", "cmake", `-DCMAKE_JS_INC=${api}`];
    for (const args of [options, ["--build", "cmake"]]) {
      const { status, output } = run("cmake", args, folder, outsideNpm());
      expect(status, output).to.equal(0);
    }
    expect(existsSync(join(folder, "cmake/core.node"))).to.equal(true);
  });

  const [own] = process.versions.node.split(".");
  for (const major of NODES) {
    describe(`on Node ${major}`, () => {
      let program = process.execPath;

      before(function () {
        if (major === own) {
          return;
        }
        try {
          program = nodePrograms([major]).get(major)!;
        } catch (error) {
          expect(process.env["POUND_REQUIRE_ALL"]).to.not.equal("1", String(error));
          console.log(`      SKIPPED (no other Nodes: ${String(error)})`);
          this.skip();
        }
      });

      // A Worker takes long to start, so the other Nodes make fewer.
      scenarios(major === own ? 1000 : 100, (name, ...numbers) => {
        const args = ["--expose-gc", "scenarios.cjs", name, ...numbers.map(String)];
        // In a process of its own, because a fault would end the process.
        const { status, output }: Ended = run(program, args, folder);
        expect(status, output).to.equal(0);
        return JSON.parse(output) as unknown;
      });
    });
  }
});

/** @param scenario - Runs a scenario of scenarios.cjs with numbers as its arguments. */
function scenarios(
  workers: number,
  scenario: (name: string, ...numbers: number[]) => unknown,
): void {
  it("accesses the RAM of a GuestMemory", () => {
    expect(scenario("access")).to.deep.equal([0, 6, 0, 2, 9, 4096, true]);
  });

  it("accesses addresses above 4 GiB", () => {
    expect(scenario("large")).to.deep.equal([0, 2, 7, 2 ** 32 + 4096]);
  });

  it("works if it was built for an older minor version of the interface", () => {
    expect(scenario("older")).to.deep.equal([4096, 4096, 2]);
  });

  it("gets an error for a value that is not a handle that it can use", () => {
    const wrong = "TypeError ERR_INVALID_HANDLE";
    expect(scenario("refusals")).to.deep.equal([
      `object: ${wrong}`,
      `number: ${wrong}`,
      `null: ${wrong}`,
      `Buffer: ${wrong}`,
      `Proxy: ${wrong}`,
      `GuestMemory: ${wrong}`,
      `handle of a space: ${wrong}`,
      `foreign External: ${wrong}`,
      "newer major version: Error ERR_ABI_VERSION",
      "older minor version: Error ERR_ABI_VERSION",
      "newer minor version: 0",
      `another environment: ${wrong}`,
      "destroyed: Error ERR_DESTROYED",
    ]);
  });

  it("can end a run after whatever happened to the memory, and begins none after its end", () => {
    // A write and a read during the run, and the result of the next begin.
    expect(scenario("lifetime")).to.deep.equal({
      bytesOfNext: 0,
      destroyed: [0, 1, 3],
      reset: [0, 1, 3],
      collected: [0, 1, 0],
      transferred: [0, 1, 0],
      shared: [0, 1, 3],
    });
  });

  it("uses an ArrayBuffer on the thread of its environment only, while it is attached", () => {
    expect(scenario("arrayBuffer")).to.deep.equal([3, 0, 3]);
  });

  it("runs on other threads while JavaScript uses the memory and destroys it", () => {
    expect(scenario("threads")).to.deep.equal({
      pages: ["bigint", 3],
      shared: ["bigint", 3],
      work: 3000,
    });
  });

  it(`outlives ${workers} workers whose memories it runs on`, () => {
    const each = workers / 2;
    expect(scenario("workers", workers)).to.deep.equal([
      { "allocate: 3": each, "allocateShared: 3": each },
      [0, 0, 8],
    ]);
  });

  it("runs on a memory and on its clones by turns, each with its own bytes", () => {
    for (const forkable of [0, 1]) {
      expect(scenario("forks", forkable), `forkable ${forkable}`).to.deep.equal({
        inherited: [5, 5, 5, 5],
        own: [10, 11, 12, 13],
        views: [10, 11, 12, 13],
        afterReset: [5, 5, 5, 5],
        inRun: [1, 2],
        afterDestroy: [null, 5, 5, 5],
      });
    }
  });

  it("runs on a space and on its clones by turns, each with its own bytes", () => {
    expect(scenario("spaceForks")).to.deep.equal({
      inherited: [5, 5, 5],
      own: [10, 11, 12],
      exits: [0, 0, 0],
      views: [10, 11, 12],
      afterReset: [5, 5, 5],
    });
  });

  it("accesses an address space through its page table", () => {
    // The numbers of words that are left to JavaScript, and the words.
    expect(scenario("space")).to.deep.equal([10, 10, 0, 8, 8, 1, 10, 3, true]);
    expect(scenario("spaceFirst")).to.deep.equal([0, 2]);
  });

  it("gets the results of the view path from an address space, with exits to JavaScript", () => {
    const outcome = scenario("spaceDifferential") as Record<"least" | "marked", number>;
    expect(outcome).to.deep.include({ differences: [] });
    // The accesses of each kind, and the writes to tracked pages, that made no exit.
    expect(outcome.least).to.be.above(100);
    expect(outcome.marked).to.be.above(300);
  });

  it("is equal to the accessors and to both paths of an address space by crosscheck", () => {
    const outcome = scenario("crosscheck") as (string | number)[];
    const equal = ["8448 equal", "50000 equal"];
    // Three checks under the default policy, and four under others.
    expect(outcome).to.have.lengthOf(3 * 7);
    for (let i = 0; i < outcome.length; i += 3) {
      expect(outcome.slice(i, i + 2)).to.deep.equal(equal);
      // Faults exit; other accesses do not.
      expect(outcome[i + 2]).to.be.within(5_000, 40_000);
    }
  });

  it("exits at a write to guarded code, whose listener JavaScript calls once", () => {
    // The exits of a write, and its result or error.
    expect(scenario("guards")).to.deep.equal({
      first: [1, 0],
      unguarded: [0, 0],
      beside: [0, 0],
      guarded: [1, "the listener"],
      unchanged: 2,
      repeated: 0,
      instruction: [0, 0],
      disarmed: [0, 0],
      writes: ["4096 write 2"],
      value: 5,
    });
  });

  it("fetches instructions with the right to execute only", () => {
    // Results and values: of a fetch and a read of execute-only memory, and of memory without it.
    expect(scenario("fetch")).to.deep.equal(["0 7", "2 0", "2 0", "0 9", 1]);
  });

  it("gets an error for an exit that is not one", () => {
    const range = "RangeError ERR_OUT_OF_RANGE";
    const wrong = ["TypeError ERR_INVALID_ARG_TYPE", range, range, range, range];
    expect(scenario("badExits")).to.deep.equal([...wrong, 2]);
  });
}
