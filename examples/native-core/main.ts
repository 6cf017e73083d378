import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { runCommand } from "../frontend/exit-status.js";
import { runInWorker } from "../frontend/in-worker.js";
import { lockstep } from "../frontend/lockstep.js";
import { PROGRAMS, programFile } from "../frontend/programs.js";
import { differences } from "../frontend/run.js";
import { withCore } from "./core-hart.js";

const USAGE = `usage: npm run example:core -- [options]

Runs the guest programs of examples/frontend with a hart in TypeScript on either path, and with a
hart in C++, and compares the runs.

  --program NAME   ${PROGRAMS.join(", ")}; all of them by default
  --argument N     the rounds of the workload, or the frames of the terrain
  --steps N        also executes the first N instructions of each program one by one, and
                   compares the registers after each of them
  --json           print the outcome as JSON

Ends with status 0, 1 if a run failed or two differ, or 2 for wrong usage.`;

const PATH_WORKER = join(__dirname, "../frontend/path-worker.js");
const CORE_WORKER = join(__dirname, "core-worker.js");

/** The results of a program. */
interface Comparison {
  readonly name: string;
  readonly status: number | null;
  readonly output: string;
  readonly instructions: number;
  readonly deviceAccesses: number;
  readonly frames: readonly number[];
  /** Million instructions per second. */
  readonly mips: { readonly view: number; readonly native: number; readonly core: number };
  readonly differences: readonly string[];
}

async function compare(file: string, argument: number, steps: number): Promise<Comparison> {
  // The runs are sequential, so that none slows down another.
  const view = await runInWorker(PATH_WORKER, { file, path: "view", argument });
  const native = await runInWorker(PATH_WORKER, { file, path: "native", argument });
  const core = await runInWorker(CORE_WORKER, { file, path: "view", argument });
  const found = [
    ...differences(view, native).map((what) => `native path: ${what}`),
    ...differences(view, core).map((what) => `C++: ${what}`),
  ];
  const inSteps = found.length > 0 ? Infinity : steps;
  const { status, output, instructions, deviceAccesses, frames } = view;
  return {
    name: basename(file, ".elf"),
    status,
    output,
    instructions,
    deviceAccesses,
    frames,
    mips: { view: view.mips, native: native.mips, core: core.mips },
    differences: [...found, ...(inSteps > 0 ? divergence(file, argument, inSteps) : [])],
  };
}

/** Describes the first instruction after which a register of the two harts differs. */
function divergence(file: string, argument: number, limit: number): string[] {
  const first = lockstep(readFileSync(file), { path: "view", argument }, withCore(argument), limit);
  return first === null
    ? []
    : [`instruction ${first.instruction}, at 0x${first.pc.toString(16)}`, ...first.registers];
}

function report({ name, output, mips, ...comparison }: Comparison): void {
  const { status, instructions, deviceAccesses, differences: found } = comparison;
  const { view, native, core } = mips;
  process.stdout.write(output);
  console.log(
    `  ${name} ended with ${status ?? "nothing"}: ${(instructions / 1e6).toFixed(1)} M ` +
      `instructions, ${deviceAccesses} accesses to devices\n` +
      `  TypeScript: view path ${view.toFixed(1)} MIPS, native path ${native.toFixed(1)} MIPS\n` +
      `  C++: ${core.toFixed(1)} MIPS, ${(core / view).toFixed(2)} times the view path\n` +
      `  the three runs: ${found.length === 0 ? "equal" : `DIFFERENT: ${found.join("; ")}`}\n`,
  );
}

function options() {
  const { values } = parseArgs({
    options: {
      program: { type: "string" },
      argument: { type: "string", default: "0" },
      steps: { type: "string", default: "0" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const names = PROGRAMS.filter((name) => (values.program ?? name) === name);
  const [argument, steps] = [Number(values.argument), Number(values.steps)];
  if (names.length === 0 || ![argument, steps].every((n) => Number.isSafeInteger(n) && n >= 0)) {
    throw new TypeError(`no such program, argument or number of steps\n\n${USAGE}`);
  }
  return { ...values, files: names.map(programFile), argument, steps };
}

async function main(): Promise<boolean> {
  const { files, argument, steps, json, help } = options();
  if (help) {
    console.log(USAGE);
    return true;
  }
  const all: Comparison[] = [];
  for (const file of files) {
    const comparison = await compare(file, argument, steps);
    all.push(comparison);
    if (!json) {
      report(comparison);
    }
  }
  if (json) {
    console.log(JSON.stringify(all, null, 2));
  }
  return all.every(({ status, differences: found }) => status === 0 && found.length === 0);
}

runCommand(main);
