import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { BOOT_NAMES, bootCommand } from "./boot.js";
import { debugProgram } from "./debug.js";
import { Display } from "./devices/display.js";
import { runCommand } from "./exit-status.js";
import { runInWorker } from "./in-worker.js";
import { inspectUntilInterrupted } from "./inspect.js";
import { lockstep } from "./lockstep.js";
import type { Path } from "./machine.js";
import { encodePng } from "./png.js";
import { PROGRAMS, programFile } from "./programs.js";
import { differences, type Outcome } from "./run.js";

const USAGE = `usage: npm run example -- [options]
       npm run example -- NAME [options], where NAME is ${BOOT_NAMES.join(", ")}

Runs guest programs on both paths, one after the other, and compares the runs.

  --program NAME   ${PROGRAMS.join(", ")}; all of them by default
  --argument N     what the program finds in a3: rounds of the workload, frames of the terrain
  --file FILE      run this ELF file instead
  --png FILE       where the last frame goes; build-example/terrain.png by default
  --lockstep       look for the first instruction after which the paths differ; as is done
                   where the runs do
  --gdb ADDRESS    run one program on the view path under gdb, which connects to this port of
                   127.0.0.1 or this path of a Unix socket
  --inspect        run one program on the view path, in a thread of its own, under the inspector,
                   whose address it prints
  --trace GPA,N    with --inspect, record who writes to these N bytes
  --json           print the outcome as JSON

Ends with status 0, 1 where a run failed or the two differ, or 2 for wrong usage.`;

/** The file of the thread that runs a program on a path. */
const WORKER = join(__dirname, "path-worker.js");
/** That of the thread that runs a program under the inspector. */
const INSPECT_WORKER = join(__dirname, "inspect-worker.js");

/** The results of a program on both paths. */
interface Comparison {
  readonly name: string;
  readonly status: number | null;
  readonly output: string;
  readonly instructions: number;
  readonly deviceAccesses: number;
  readonly frames: readonly number[];
  readonly viewMips: number;
  readonly nativeMips: number;
  readonly differences: readonly string[];
}

/** Shows the progress of a run on a terminal. */
function progress(name: string, path: Path): (frame: number) => void {
  return (frame) => {
    if (process.stderr.isTTY) {
      process.stderr.write(`\r${name} on the ${path} path: frame ${frame}\x1b[K`);
    }
  };
}

function clearProgress(): void {
  if (process.stderr.isTTY) {
    process.stderr.write("\r\x1b[K");
  }
}

async function runOnBoth(file: string, argument: number): Promise<[Outcome, Outcome]> {
  const name = basename(file, ".elf");
  // The runs are sequential, so that neither slows down the other.
  const view = await runInWorker(WORKER, { file, path: "view", argument }, progress(name, "view"));
  const native = await runInWorker(
    WORKER,
    { file, path: "native", argument },
    progress(name, "native"),
  );
  clearProgress();
  return [view, native];
}

function compare(file: string, view: Outcome, native: Outcome): Comparison {
  const { status, output, instructions, deviceAccesses, frames } = view;
  return {
    name: basename(file, ".elf"),
    status,
    output,
    instructions,
    deviceAccesses,
    frames,
    viewMips: view.mips,
    nativeMips: native.mips,
    differences: differences(view, native),
  };
}

function report(comparison: Comparison): void {
  const { output, status, instructions, deviceAccesses, viewMips, nativeMips } = comparison;
  process.stdout.write(output);
  const millions = (instructions / 1e6).toFixed(1);
  const ratio = (viewMips / nativeMips).toFixed(2);
  const alike = comparison.differences.length === 0;
  console.log(
    `  ended with ${status ?? "nothing"}: ${millions} M instructions, ` +
      `${deviceAccesses} accesses to devices\n` +
      `  view ${viewMips.toFixed(1)} MIPS, native ${nativeMips.toFixed(1)} MIPS, ratio ${ratio}\n` +
      `  both paths: ${alike ? "equal" : `DIFFERENT: ${comparison.differences.join("; ")}`}\n`,
  );
}

/** Prints the first instruction after which the paths differ. Returns true if there is none. */
function agreesInLockstep(file: string, argument: number): boolean {
  const [view, native] = (["view", "native"] as const).map((path) => ({ path, argument }));
  const divergence = lockstep(readFileSync(file), view!, native!);
  if (divergence === null) {
    console.log(`${file}: no instruction after which the registers differ`);
    return true;
  }
  const { instruction, pc, code, registers } = divergence;
  const word = code === null ? "" : ` (${code.toString(16).padStart(8, "0")})`;
  console.log(`${file}: instruction ${instruction}, at 0x${pc.toString(16)}${word}:`);
  registers.forEach((register) => console.log(`  ${register}`));
  return false;
}

function savePicture({ pixels }: Outcome, file: string): void {
  const { width, height } = new Display();
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, encodePng(pixels, width, height));
}

function options() {
  const { values } = parseArgs({
    options: {
      program: { type: "string" },
      argument: { type: "string", default: "0" },
      file: { type: "string" },
      png: { type: "string", default: join(__dirname, "terrain.png") },
      lockstep: { type: "boolean", default: false },
      gdb: { type: "string" },
      inspect: { type: "boolean", default: false },
      trace: { type: "string" },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  const named = PROGRAMS.filter((name) => (values.program ?? name) === name).map(programFile);
  const files = values.file === undefined ? named : [values.file];
  const argument = Number(values.argument);
  const traced = values.trace?.split(",").map(Number) ?? null;
  const tooMany = (values.gdb !== undefined || values.inspect) && files.length > 1;
  const badTrace = traced !== null && !(traced.length === 2 && traced.every(Number.isSafeInteger));
  if (
    badTrace ||
    files.length === 0 ||
    tooMany ||
    !Number.isSafeInteger(argument) ||
    argument < 0
  ) {
    throw new TypeError(`no such program or argument\n\n${USAGE}`);
  }
  return { ...values, files, argument, traced: traced as [number, number] | null };
}

async function main(): Promise<boolean> {
  const { files, argument, png, lockstep: inLockstep, gdb, json, help, ...rest } = options();
  if (help) {
    console.log(USAGE);
    return true;
  }
  if (gdb !== undefined) {
    return (await debugProgram(readFileSync(files[0]!), argument, gdb)) === 0;
  }
  if (rest.inspect) {
    await inspectUntilInterrupted(INSPECT_WORKER, {
      file: files[0]!,
      argument,
      traced: rest.traced,
    });
    return true;
  }
  if (inLockstep) {
    return files.map((file) => agreesInLockstep(file, argument)).every(Boolean);
  }
  const all: Comparison[] = [];
  for (const file of files) {
    const [view, native] = await runOnBoth(file, argument);
    const comparison = compare(file, view, native);
    all.push(comparison);
    if (view.frames.length > 0) {
      savePicture(view, png);
    }
    if (json) {
      continue;
    }
    report(comparison);
    if (view.frames.length > 0) {
      console.log(`  the last frame is ${png}\n`);
    }
    if (comparison.differences.length > 0) {
      agreesInLockstep(file, argument);
    }
  }
  if (json) {
    console.log(JSON.stringify(all, null, 2));
  }
  return all.every(({ status, differences: found }) => status === 0 && found.length === 0);
}

/** Boots a guest if the first argument is a name. */
const args = process.argv.slice(2);
const boots = args[0] !== undefined && !args[0].startsWith("-");
runCommand(boots ? () => bootCommand(args) : main);
