import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { itNative } from "../support/native-tests.js";

const ROOT = join(__dirname, "../..");
const EXAMPLES = join(ROOT, "examples");

/** The output of each example. */
const OUTPUTS: Readonly<Record<string, string>> = {
  "ram-and-faults.mjs": `16 bits at 0x1002: dead
through the C++ accessors: deadbeef
read 0x1000: OK, 0xdeadbeef
read 0x1001: FAULT_UNALIGNED, no value
read 0x10000: FAULT_BOUNDARY, no value
FAULT_BOUNDARY: write of 8 byte(s) at gpa 0xfffc
`,
  "uart.mjs": `the UART sent: Hello from the guest
a 16-bit store: FAULT_BOUNDARY
`,
  "rewind.mjs": `stopped: step 6, timer 12, pointer 0xbad00000
the last good state: step 5, timer 10, pointer 0x2014
two steps before: step 3, timer 6, pointer 0x200c
one step forward: step 4, timer 8, pointer 0x2010
`,
  "two-vcpus.mjs": "2 vCPUs counted to 2000000\n",
};

describe("the small examples", () => {
  for (const [file, expected] of Object.entries(OUTPUTS)) {
    itNative(`${file} prints its results`, () => {
      const { status, stdout, stderr } = spawnSync(process.execPath, [join("examples", file)], {
        cwd: ROOT,
        encoding: "utf8",
      });
      expect(stderr).to.equal("");
      expect(stdout).to.equal(expected);
      expect(status).to.equal(0);
    });
  }

  it("are all tested here, and listed in the folder's README with a command", () => {
    const files = readdirSync(EXAMPLES).filter((file) => file.endsWith(".mjs"));
    expect(files).to.have.members(Object.keys(OUTPUTS));
    const readme = readFileSync(join(EXAMPLES, "README.md"), "utf8");
    for (const file of files) {
      expect(readme).to.contain(`(${file})`).and.to.contain(`\`node examples/${file}\``);
    }
  });
});
