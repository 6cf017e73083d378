import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { FuzzResult } from "../../scripts/fuzz/framework.mjs";

const PLANTED = join(__dirname, "../fixtures/fuzz/planted.mts");

// The fuzzer runs from its TypeScript sources, which compiled tests have no loader for.
(__filename.endsWith(".ts") ? describe : describe.skip)("the fuzzer of files", function () {
  this.timeout(120_000);
  let failures: string;

  before(() => {
    failures = mkdtempSync(join(tmpdir(), "planted-"));
  });

  after(() => rmSync(failures, { recursive: true }));

  async function fuzzWith(
    fault: string,
    seed: number,
    runs: number,
    silence = 60_000,
  ): Promise<FuzzResult> {
    const { fuzz } = await import("../../scripts/fuzz/framework.mjs");
    process.env.POUND_PLANTED = fault;
    try {
      return await fuzz(PLANTED, { seed, runs, failures, silence });
    } finally {
      delete process.env.POUND_PLANTED;
    }
  }

  for (const [fault, reason, silence] of [
    ["foreign error", /^RangeError: Invalid array length/, 60_000],
    ["crash", /ended by SIGKILL/, 60_000],
    ["hang", /hung/, 10_000],
    ["memory", /bytes of memory/, 60_000],
  ] as const) {
    it(`finds ${fault} behind a checksum, and keeps the mutant`, async () => {
      const { faults } = await fuzzWith(fault, 1, 300, silence);
      expect(faults).not.to.have.length(0);
      expect(faults[0]!.reason).to.match(reason);
      const kept = readFileSync(join(failures, `seed-${faults[0]!.seed}`));
      expect(kept.readUInt32LE(0)).to.be.at.least(2 ** 31);
    });
  }

  it("makes a faulty mutant again from its seed alone", async () => {
    const { faults } = await fuzzWith("foreign error", 1, 300);
    const { seed } = faults.at(-1)!;
    const kept = readFileSync(join(failures, `seed-${seed}`));
    const again = await fuzzWith("foreign error", seed, 1);
    expect(again.faults.map((fault) => fault.seed)).to.deep.equal([seed]);
    expect(readFileSync(join(failures, `seed-${seed}`)).equals(kept)).to.equal(true);
  });

  it("finds a slow mutant", async () => {
    const { faults } = await fuzzWith("foreign error", 1, 300);
    const slow = await fuzzWith("slowness", faults[0]!.seed, 1, 100_000);
    expect(slow.faults[0]!.reason).to.match(/it took \d+ ms/);
  });

  it("finds nothing in a correct reader", async () => {
    const { passed, accepted, faults } = await fuzzWith("nothing", 1, 300);
    expect(faults).to.deep.equal([]);
    expect(passed).to.equal(300);
    expect(accepted).to.be.within(10, 290);
  });
});
