import { spawnSync } from "node:child_process";
import { join } from "node:path";

/** The folder of the package under test. */
export const PACKAGE = join(__dirname, "../..");

/** What came of a script: a crash shows as a signal in place of a status. */
export interface Outcome {
  readonly status: number | null;
  readonly signal: string | null;
  readonly output: string;
}

/** Runs JavaScript in a process of its own, so that a crash fails one test and ends no others. */
export function runAlone(script: string, flags: readonly string[] = []): Outcome {
  const { status, signal, stdout, stderr } = spawnSync(
    process.execPath,
    ["--expose-gc", ...flags, "-e", script],
    { cwd: PACKAGE, encoding: "utf8" },
  );
  return { status, signal, output: stdout + stderr };
}

/** Node 20 knows `ArrayBuffer.prototype.transfer` only by this flag; later ones have it anyway. */
export const WITH_TRANSFER =
  "transfer" in ArrayBuffer.prototype ? [] : ["--harmony-rab-gsab-transfer"];

/** Statements of a script that get the addon's own functions, below those of the package. */
export const RAW = `
  require("pound-guest-memory");
  const native = Object.values(require.cache).find(({ filename }) => filename.endsWith(".node")).exports;
`;
