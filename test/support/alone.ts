import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** The folder of the package under test. */
export const PACKAGE = join(__dirname, "../..");

/** The outcome of a script. After a crash, `signal` is set and `status` is null. */
export interface Outcome {
  readonly status: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/**
 * Runs JavaScript in a process of its own, so that a crash fails one test and not the whole run.
 */
export function runAlone(script: string, flags: readonly string[] = []): Outcome {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ["--expose-gc", ...flags, "-e", script],
    { cwd: PACKAGE, encoding: "utf8" },
  );
  return { status, signal, output: stdout + stderr };
}

/** The flag with which Node 20 has `ArrayBuffer.prototype.transfer`. Later Nodes need none. */
export const WITH_TRANSFER =
  "transfer" in ArrayBuffer.prototype ? [] : ["--harmony-rab-gsab-transfer"];

/** Statements of a script that assign the addon's exports to `native`. */
export const RAW = `
  require("pound-guest-memory");
  const native = Object.values(require.cache).find(({ filename }) => filename.endsWith(".node")).exports;
`;
