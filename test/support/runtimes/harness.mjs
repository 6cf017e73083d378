/* Runs files of tests with mocha where there is no Node, and prints what has failed. */
import "mocha/mocha.js";
import { skipMissing } from "../skip-missing.cjs";

/**
 * The codes of errors that skip a test. The last one: engines limit the size of an ArrayBuffer,
 * some to 4 GiB.
 */
const MISSING = ["ERR_NO_ADDON", "ERR_NO_NODE", "ERR_OUT_OF_MEMORY"];

/** The last line, in which scripts/test-runtimes.mts finds the result. */
const RESULT = "RESULT ";

class Reporter {
  constructor(runner) {
    const counts = { passes: 0, pending: 0, failures: 0 };
    runner.on("pass", () => counts.passes++);
    runner.on("pending", () => counts.pending++);
    runner.on("fail", (test, error) => {
      counts.failures++;
      console.log(`FAILED: ${test.fullTitle()}\n${error.stack ?? error}`);
    });
    runner.on("end", () => {
      console.log(RESULT + JSON.stringify(counts));
    });
  }
}

/** @param files - Functions that import the files, by their names. */
export async function start(files) {
  const { Mocha } = globalThis;
  skipMissing(Mocha.Runnable, MISSING);
  const mocha = new Mocha({ ui: "bdd", reporter: Reporter, timeout: 120_000 });
  // Tests of code guards: the loader needs Node.
  mocha.grep(/stop the write when they throw: a loader$/).invert();
  for (const [name, load] of Object.entries(files)) {
    // Also ends the suite in which the file before has failed.
    mocha.suite.emit("pre-require", globalThis, name, mocha);
    try {
      await load();
    } catch (error) {
      if (!MISSING.includes(error?.code)) {
        throw error;
      }
      console.log(`LEFT OUT: ${name}: ${error.message}`);
    }
  }
  mocha.run();
}
