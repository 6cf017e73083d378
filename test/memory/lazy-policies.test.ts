import { execFileSync } from "node:child_process";
import { endianness } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { itNative } from "../support/native-tests.js";

const ROOT = join(__dirname, "../..");

/** The files with code for policies that each step of a program loads. */
function loadedByEach(...steps: string[]): string[][] {
  const program = `
    const { basename } = require("node:path");
    let known = [];
    const step = (run) => {
      run();
      const loaded = Object.keys(require.cache).map((path) => basename(path));
      const added = loaded.filter((name) => !known.includes(name));
      known = loaded;
      return added.filter((name) => /^(policy|split)-/.test(name)).sort();
    };
    const { AddressSpace, GuestMemory } = require(${JSON.stringify(join(ROOT, "dist"))});
    console.log(JSON.stringify([${steps.map((text) => `step(() => { ${text} })`).join(", ")}]));`;
  const output = execFileSync(process.execPath, ["-e", program], { encoding: "utf8" });
  return JSON.parse(output) as string[][];
}

describe("the modules of access policies", () => {
  itNative("are loaded when a memory or a space first has a policy", function () {
    if (endianness() === "BE") {
      this.skip(); // There, the accessors without a policy use one of the modules.
    }
    expect(
      loadedByEach(
        "",
        "const memory = GuestMemory.allocate(4096); memory.readl(0); memory.native.readl(0)",
        "const space = new AddressSpace(); space.addRam(0, 4096); space.readl(0)",
        'GuestMemory.allocate(4096).withPolicy({ endian: "big" }).readl(0)',
        'new AddressSpace({ endian: "big" }).addRam(0, 4096)',
        'new AddressSpace({ alignment: "allow" }).addRam(0, 4096)',
      ),
    ).to.deep.equal([
      [],
      [],
      [],
      ["policy-access.js"],
      ["policy-accessors.js", "policy-space-access.js"],
      ["split-access.js"],
    ]);
  });
});
