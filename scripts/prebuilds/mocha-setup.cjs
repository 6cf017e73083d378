// Mocha loads this in the Node of a target, see scripts/test-target.mts.
if (process.env.POUND_TEST_EXEC_PATH !== undefined) {
  process.execPath = process.env.POUND_TEST_EXEC_PATH;
}

const { bun, node } = process.versions;
// A file, because under Wine the output is not a pipe.
require("node:fs").writeFileSync(
  "runtime.txt",
  `${bun === undefined ? `Node ${node}` : `Bun ${bun}`} for ${process.platform}-${process.arch}`,
);

const patience = Number(process.env.POUND_TEST_PATIENCE);

exports.mochaHooks = {
  beforeAll() {
    // Mocha has set the timeout of every test by now, and this overrides it.
    const stretch = (suite) => {
      for (const test of suite.tests) {
        test.timeout(20_000 * patience);
        // A test that needs longer anyway sets its timeout when it runs.
        const { timeout } = test;
        test.timeout = (...args) =>
          timeout.apply(
            test,
            args.map((time) => time * patience),
          );
      }
      suite.suites.forEach(stretch);
    };
    stretch(this.test.parent);
  },
};
