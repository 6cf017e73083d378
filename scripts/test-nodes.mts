import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { NODES, nodePrograms } from "./prebuilds/nodes.mjs";
import { ROOT } from "./prebuilds/targets.mjs";

const USAGE = `npm run test:nodes -- [MAJOR…]

Runs the mocha suite in each supported Node except the running one. The Nodes are npm packages. If
they cannot be fetched, or are for another platform, the run is skipped and the reason printed; with
POUND_REQUIRE_ALL=1 that is an error instead.

MAJOR: ${NODES.join(", ")}
`;

/**
 * The number of mocha runs at a time. A run spends much of its time waiting for child processes.
 */
const AT_ONCE = Math.min(2, availableParallelism());

function skip(reason: string): void {
  console.log(`other Nodes: SKIPPED (${reason})`);
  if (process.env["POUND_REQUIRE_ALL"] === "1") {
    process.exitCode = 1;
  }
}

/** The program of each Node; null if they are not available. */
function findNodes(majors: readonly string[]): Map<string, string> | null {
  try {
    return nodePrograms(majors);
  } catch (error) {
    skip(error instanceof Error ? error.message : String(error));
    return null;
  }
}

/** Runs the suite in one Node, prints its output at the end, and returns whether it passed. */
async function runMocha(major: string, program: string): Promise<boolean> {
  const began = performance.now();
  // Two suites run at a time, so each test gets more time than usual.
  const options = ["--no-color", "--timeout=120000"];
  const mocha = spawn(program, ["node_modules/mocha/bin/mocha.js", ...options], {
    cwd: ROOT,
    // By default, glibc keeps gigabytes of freed buffers in its heaps in the course of a suite.
    // With this threshold, it returns each to the system.
    env: { ...process.env, MALLOC_MMAP_THRESHOLD_: "131072" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const chunks: Buffer[] = [];
  for (const stream of [mocha.stdout, mocha.stderr]) {
    stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  }
  const status = await new Promise((resolve, reject) => {
    mocha.on("error", reject);
    mocha.on("close", resolve);
  });
  const said = Buffer.concat(chunks).toString();
  // Status 0 is not enough: mocha must have run a test.
  const passed = status === 0 && /^ +[1-9]\d* passing/m.test(said);
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(`== Node ${major} (${seconds} s)\n${said}`);
  if (!passed) {
    console.error(`Node ${major}: FAILED`);
  }
  return passed;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { help: { type: "boolean" } },
});
const [running] = process.versions.node.split(".");
const unknown = positionals.filter((major) => !NODES.includes(major));
if (values.help || unknown.length > 0) {
  console.error(unknown.map((major) => `unknown Node '${major}'\n`).join("") + USAGE);
  process.exit(values.help ? 0 : 2);
}
const nodes = findNodes(
  positionals.length > 0 ? positionals : NODES.filter((major) => major !== running),
);
const waiting = [...(nodes ?? [])];
const runs = Array.from({ length: AT_ONCE }, async () => {
  for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
    if (!(await runMocha(...next))) {
      process.exitCode = 1;
    }
  }
});
await Promise.all(runs);
