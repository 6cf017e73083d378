import { createRequire } from "node:module";
import { expect } from "chai";
import { BOOTS } from "../../examples/frontend/boots.js";
import type * as Boots from "../../examples/frontend/boots.js";
import { ROM } from "../../examples/frontend/memory-map.js";
import type * as Virt from "../../examples/frontend/virt.js";
import { compiled, compileFrontend } from "../support/frontend.js";
import { needFile } from "../support/need.js";
import { PATHS } from "../support/paths.js";

/** Where the boot ROM has the address of the device tree. */
const FDT_POINTER = ROM + 32;
const MOST_BYTES = 0x4000;
/** Enough for OpenSBI to print the start of its banner. */
const LIMIT = 4e6;

// Offsets of fields of the header, which are big-endian.
const SIZE = 4;
const STRUCTURE = 8;
const STRINGS = 12;
const VERSION = 20;
const PROPERTY = 3;

/** Changes after which OpenSBI finds no device tree, or nothing that it can use in it. */
const CHANGES: Readonly<Record<string, (fdt: Buffer) => void>> = {
  "no magic number": (fdt) => fdt.writeUInt32BE(0, 0),
  "an old version": (fdt) => fdt.writeUInt32BE(1, VERSION),
  "the size 2^32 - 1": (fdt) => fdt.writeUInt32BE(0xffff_ffff, SIZE),
  "its structure outside": (fdt) => fdt.writeUInt32BE(0xffff_fff0, STRUCTURE),
  "its strings outside": (fdt) => fdt.writeUInt32BE(0x7fff_ffff, STRINGS),
  "zeros only": (fdt) => fdt.fill(0),
  "ones only": (fdt) => fdt.fill(0xff),
  "an unknown first token": (fdt) => fdt.writeUInt32BE(77, fdt.readUInt32BE(STRUCTURE)),
  "a hole in its structure": (fdt) => {
    const start = fdt.readUInt32BE(STRUCTURE);
    fdt.fill(0, start + 200, start + 1200);
  },
  "properties of 2 GiB": (fdt) => {
    for (let at = fdt.readUInt32BE(STRUCTURE); at < fdt.readUInt32BE(STRINGS); at += 4) {
      if (fdt.readUInt32BE(at) === PROPERTY) {
        fdt.writeUInt32BE(0x7fff_ff00, at + 4);
      }
    }
  },
};

/** Changes some bytes, which depend on `seed` only. */
function scatter(fdt: Buffer, seed: number): void {
  let state = seed;
  const random = (below: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
  const size = fdt.readUInt32BE(SIZE);
  for (let i = 0; i < 8; i++) {
    fdt[random(size)] = random(256);
  }
}

describe("OpenSBI with a corrupt device tree", () => {
  before(function () {
    this.timeout(120_000);
    needFile(this, BOOTS.opensbi.firmware, "the package opensbi");
    compileFrontend();
  });

  /** Boots it on each path, and asserts that the paths agree. */
  function boot(change: (fdt: Buffer) => void) {
    const require = createRequire(__filename);
    const { VirtMachine } = require(compiled("virt.js")) as typeof Virt;
    const { readBoot } = require(compiled("boots.js")) as typeof Boots;
    const outcomes = PATHS.map((path) => {
      const machine = new VirtMachine({ ...readBoot("opensbi"), path, ramSize: 2 ** 26 });
      const { space, cpu, uart } = machine;
      const at = space.readq(FDT_POINTER);
      const fdt = space.read(at, MOST_BYTES);
      change(fdt);
      space.write(at, fdt);
      cpu.run(LIMIT);
      return { hash: cpu.hash(), waited: cpu.time - cpu.retired, output: uart.output };
    });
    expect(outcomes.at(-1)).to.deep.equal(outcomes[0]);
    return outcomes[0]!;
  }

  it("starts with one that is not", function () {
    this.timeout(60_000);
    expect(boot(() => undefined).output).to.include("OpenSBI v");
  });

  for (const [name, change] of Object.entries(CHANGES)) {
    it(`waits for ever if it has ${name}`, function () {
      this.timeout(60_000);
      const { output, waited } = boot(change);
      expect(output).to.equal("");
      expect(waited).to.be.above(LIMIT / 2);
    });
  }

  it("does the same on both paths with any bytes changed, and the host goes on", function () {
    this.timeout(120_000);
    for (let seed = 1; seed <= 12; seed++) {
      boot((fdt) => scatter(fdt, seed));
    }
  });
});
