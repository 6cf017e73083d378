import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { expect } from "chai";
import { loadElf } from "pound-guest-memory/loader";
import { programFile } from "../../examples/frontend/programs.js";
import type * as Virt from "../../examples/frontend/virt.js";
import { compiled, compileFrontend } from "../support/frontend.js";
import { BATCHES, BODIES, randomPrograms } from "../support/random-programs.js";

// `npx tsx scripts/random-programs.mts` writes this file.
const QEMU_OUTPUT = readFileSync(join(__dirname, "../fixtures/random-programs.txt"), "utf8");

describe("the full hart on random programs", () => {
  before(function () {
    this.timeout(120_000);
    compileFrontend();
  });

  for (const path of ["view", "native"] as const) {
    it(`has the registers, the memory and the traps of QEMU on the ${path} path`, function () {
      this.timeout(120_000);
      // The compiled hart is many times faster than the one that the tests import.
      const { VirtMachine } = createRequire(__filename)(compiled("virt.js")) as typeof Virt;
      const program = readFileSync(programFile("random"));
      let output = "";
      for (const batch of BATCHES) {
        // Code is compiled when it is jumped to for the eighth time.
        const options = { firmware: new Uint8Array(), compileAfter: 8 };
        const machine = new VirtMachine({ path, ramSize: 2 ** 24, ...options });
        machine.space.write(BODIES, randomPrograms(batch));
        machine.cpu.pc = loadElf(machine.space, program, { machine: "riscv" }).entry!;
        machine.cpu.run(1e9);
        expect(machine.status).to.equal(0);
        output += machine.uart.output;
      }
      expect(output.split("\n")).to.deep.equal(QEMU_OUTPUT.split("\n"));
    });
  }
});
