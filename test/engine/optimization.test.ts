import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";

const CODES = [
  "tryReadb",
  "tryReadw",
  "tryReadl",
  "tryReadq",
  "tryWriteb",
  "tryWritew",
  "tryWritel",
  "tryWriteqFrom",
];
const VALUES = ["readb", "readw", "readl", "readq", "writeb", "writew", "writel"];

const HALVES = CODES.filter((name) => !name.endsWith("w")).map((name) =>
  name.replace(/q(From)?$/, "qHalves"),
);

/** The loops over policy objects. */
const POLICY_LOOPS = Object.fromEntries(
  ["fault_little", "fault_big", "allow_little", "allow_big"].flatMap((policy) => [
    [`${policy}_reads`, CODES.slice(0, 4)],
    [`${policy}_writes`, CODES.slice(4)],
    [`${policy}_values`, VALUES],
  ]),
);

const SPACE_LOOPS = {
  reads: CODES.filter((name) => name.startsWith("tryRead")),
  writes: CODES.filter((name) => name.startsWith("tryWrite")),
  halves: HALVES.filter((name) => name !== "tryReadb"),
  values: VALUES,
};

/** The loops over spaces, without a policy and with each. */
const IN_SPACES = Object.fromEntries(
  ["space", "space_fault_big", "space_allow_little", "space_allow_big"].flatMap((space) =>
    Object.entries(SPACE_LOOPS).map(([form, called]) => [`${space}_${form}`, called]),
  ),
);

/** The loops over MMUs. */
const IN_MMU = {
  mmu_reads: SPACE_LOOPS.reads,
  mmu_writes: SPACE_LOOPS.writes,
  mmu_fetches: ["tryFetchb", "tryFetchw", "fetchw", "fetchl"],
  mmu_halves: SPACE_LOOPS.halves.filter((name) => name !== "tryReadl"),
  mmu_values: VALUES.filter((name) => !/^read[bw]$/.test(name)),
};

/**
 * What has to be inlined into a loop, by the name of the loop. On the native path that is also all
 * that surrounds the call of C++.
 */
const CALLED = {
  one_codes: CODES,
  one_halves: HALVES,
  one_values: VALUES,
  late_codes: CODES,
  late_halves: HALVES,
  late_values: VALUES,
  tracked_codes: CODES.filter((name) => !name.endsWith("w")),
  tracked_halves: HALVES.filter((name) => name !== "tryReadb"),
  tracked_values: VALUES,
  ...POLICY_LOOPS,
  ...IN_SPACES,
  ...IN_MMU,
  marking_writes: CODES.filter((name) => name.startsWith("tryWrite")),
  marking_halves: HALVES.filter((name) => name !== "tryReadb" && name !== "tryReadl"),
  marking_values: VALUES.filter((name) => name !== "readw"),
  halves_flat_l: ["tryReadl", "tryReadl", "tryWritel", "tryWritel"],
  halves_flat_q: ["tryReadq", "tryReadqHalves", "tryWriteq", "tryWriteqHalves"],
  halves_top_l: ["tryReadl", "tryReadl", "tryWritel", "tryWritel"],
  halves_top_q: ["tryReadq", "tryReadqHalves", "tryWriteq", "tryWriteqHalves"],
  space_native: ["tryReadl", "tryWritel", "tryReadq", "tryWriteqFrom"],
  mmu_native: ["tryReadl", "tryWritel", "tryReadq", "prepare"],
  native: ["tryReadl", "readb", "tryWritel", "tryReadq", "prepare", "result"],
};

interface Outcome {
  /** What V8 said of its compilations. */
  readonly trace: string;
  /** Whether V8 had a loop optimized in the end, for each that ran. */
  readonly reports: readonly { readonly name: string; readonly optimized: boolean }[];
}

/**
 * Runs the loops under V8's own accounts of what it does.
 *
 * @param spoiled - An accessor that V8 is forbidden to optimize and to inline.
 */
function runLoops(spoiled?: string): Outcome {
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      "--allow-natives-syntax",
      "--trace-opt",
      "--trace-turbo-inlining",
      // What is compiled aside is done when it likes.
      "--no-concurrent-recompilation",
      "test/support/hot-loops.js",
      ...(spoiled === undefined ? [] : [spoiled]),
    ],
    { cwd: join(__dirname, "../.."), encoding: "utf8", maxBuffer: 2 ** 26 },
  );
  expect(status, stderr).to.equal(0);
  const reports = stderr
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Outcome["reports"][number]);
  return { trace: stdout, reports };
}

/** What `loop` should have inlined, and V8 does not say it has. */
function notInlined(trace: string, loop: string, called: readonly string[]): string[] {
  const said = /Inlining .*?\{(\w+) <SharedFunctionInfo (\w+)>\} into .*?Info (\w+)>\}/g;
  // By V8's address of a function: two of one name are two, and one that was inlined twice is one.
  const inlined = new Map(
    [...trace.matchAll(said)]
      .filter(([, , , caller]) => caller === loop)
      .map(([, address, callee]) => [address!, callee!]),
  );
  const left = [...inlined.values()];
  return called.filter((name) => {
    const at = left.indexOf(name);
    if (at >= 0) {
      left.splice(at, 1);
    }
    return at < 0;
  });
}

describe("what V8 makes of the hot paths", function () {
  this.timeout(60_000);
  let outcome: Outcome;

  before(() => {
    outcome = runLoops();
  });

  it("has a reference for the status bits that TurboFan has compiled", () => {
    expect(outcome.trace).to.match(
      /completed (?:compiling|optimizing) .*<JSFunction reference .*target TURBOFAN(?:_JS)?\)/,
    );
  });

  it("keeps them optimized when widths, memories and addresses are mixed", () => {
    expect(outcome.reports).to.have.length(76);
    expect(
      outcome.reports.filter(({ optimized }) => !optimized).map(({ name }) => name),
    ).to.deep.equal(["what has lost its code"]);
  });

  for (const [loop, called] of Object.entries(CALLED)) {
    it(`inlines every accessor into ${loop}`, () => {
      expect(notInlined(outcome.trace, loop, called)).to.deep.equal([]);
    });
  }

  it("notices an accessor that V8 cannot inline", () => {
    const { trace } = runLoops("tryReadl");
    // Without that accessor, V8 of Node 26 decides otherwise about its neighbour too.
    const missed = Object.entries(CALLED).map(([loop, called]) => [
      loop,
      notInlined(trace, loop, called).filter((name) => name === "tryReadl"),
    ]);
    expect(Object.fromEntries(missed)).to.deep.equal({
      one_codes: ["tryReadl"],
      one_halves: ["tryReadl"],
      one_values: [],
      late_codes: [],
      late_halves: [],
      late_values: [],
      tracked_codes: [],
      tracked_halves: [],
      tracked_values: [],
      ...Object.fromEntries(
        Object.keys(POLICY_LOOPS).map((loop) => [
          loop,
          loop.endsWith("_reads") ? ["tryReadl"] : [],
        ]),
      ),
      ...Object.fromEntries(
        Object.entries({ ...IN_SPACES, ...IN_MMU }).map(([loop, called]) => [
          loop,
          called.filter((name) => name === "tryReadl"),
        ]),
      ),
      marking_writes: [],
      marking_halves: [],
      marking_values: [],
      halves_flat_l: ["tryReadl", "tryReadl"],
      halves_flat_q: [],
      halves_top_l: ["tryReadl", "tryReadl"],
      halves_top_q: [],
      space_native: ["tryReadl"],
      mmu_native: ["tryReadl"],
      native: ["tryReadl"],
    });
  });
});
