import { rmSync } from "node:fs";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { fuzz, type FuzzResult } from "./fuzz/framework.mjs";

const TARGETS = ["elf", "image", "snapshot", "oplog", "trace", "gdb"];
const ROOT = join(import.meta.dirname, "..");
const FAILURES = join(ROOT, "build", "fuzz");

const USAGE = `npm run fuzz -- [--seconds N] [--runs N] [--seed N] [--only ${TARGETS.join("|")}]

Reads mutants of well-formed files, and of the bytes that a debugger sends. It fails if a mutant is
neither read nor refused by a documented error, or takes too much memory or time. Each target tries
--runs mutants (10000 by default), or as many as it can in its share of --seconds. Mutant i of a run
depends only on seed N + i, so --seed with the seed of a faulty mutant and --runs 1 makes it again.
Faulty mutants are also kept in build/fuzz.
`;

function toCount(text: string | undefined, what: string): number | undefined {
  if (text !== undefined && !/^\d{1,10}$/.test(text)) {
    console.error(`--${what} must be a whole number\n${USAGE}`);
    process.exit(2);
  }
  return text === undefined ? undefined : Number(text);
}

const text = { type: "string" } as const;
const { values } = parseArgs({
  options: { seconds: text, runs: text, seed: text, only: text, help: { type: "boolean" } },
});
if (values.help === true || (values.only !== undefined && !TARGETS.includes(values.only))) {
  console.error(USAGE);
  process.exit(values.help === true ? 0 : 2);
}
const targets = values.only === undefined ? TARGETS : [values.only];
const seconds = toCount(values.seconds, "seconds");
const runs = toCount(values.runs, "runs") ?? (seconds === undefined ? 10_000 : Infinity);
const seed = toCount(values.seed, "seed") ?? Math.floor(Math.random() * 2 ** 31);

function report(target: string, result: FuzzResult, took: number): void {
  const { passed, accepted, faults, memory, milliseconds } = result;
  for (const fault of faults) {
    console.log(`${target}: seed ${fault.seed}: ${fault.reason}`);
    console.log(`  the file: ${relative(ROOT, join(FAILURES, target, `seed-${fault.seed}`))}`);
    console.log(`  again: npm run fuzz -- --only ${target} --seed ${fault.seed} --runs 1`);
  }
  console.log(
    `${target}: ${passed} passed, ${faults.length} failed (${accepted} read, ` +
      `${passed - accepted} refused; seed ${seed}; ${took.toFixed(1)} s, at most ` +
      `${milliseconds.toFixed(0)} ms each; ${Math.ceil(memory / 2 ** 20)} MiB)`,
  );
}

for (const target of targets) {
  const failures = join(FAILURES, target);
  rmSync(failures, { recursive: true, force: true });
  const start = performance.now();
  const result = await fuzz(join(import.meta.dirname, "fuzz", `${target}.mts`), {
    seed,
    // JSON has no Infinity.
    runs: Math.min(runs, Number.MAX_SAFE_INTEGER),
    ...(seconds === undefined ? {} : { seconds: seconds / targets.length }),
    failures,
  });
  report(target, result, (performance.now() - start) / 1000);
  if (result.faults.length > 0) {
    process.exitCode = 1;
  }
}
