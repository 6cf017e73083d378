import { EXIT_DIFFERENT } from "./exit-status.js";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Argument, type Command, InvalidArgumentError, Option } from "commander";
import { GuestMemory } from "../memory/guest-memory.js";
import { LackeySyntaxError, unpackTrace } from "../trace/lackey.js";
import { replay, type ReplayPath } from "../trace/replay.js";
import { compileTrace, FirstTouchMap, FlatMap, TraceCounts } from "../trace/workload.js";
import { CliError, errorCode } from "./failure.js";
import { withProgress } from "./progress.js";
import { type ReplayFacts, toJson, toText } from "./replay-report.js";
import { parseSize } from "./size.js";
import { print } from "./terminal.js";

/** The trace that comes with the package. */
export const BUNDLED_TRACE = join(__dirname, "..", "..", "traces", "gzip-numbers.lackey.br");

/** The arguments of the command. */
export interface ReplayArguments {
  /** The trace's path, or `-` for stdin. */
  readonly file: string;
  /** The size of guest RAM in bytes. */
  readonly size: number;
  readonly rounds: number;
  readonly flat: boolean;
  readonly split: boolean;
  readonly skipForeign?: boolean;
  readonly json: boolean;
}

/** The paths to replay through, and a function that frees their memory. */
export interface OpenPaths {
  readonly paths: readonly ReplayPath[];
  close(): void;
}

const DEFAULT_ROUNDS = 5;

/** Adds the command `replay` to a program. */
export function registerReplay(program: Command): void {
  program
    .command("replay")
    .description("replay a memory trace through guest RAM, by the view and by the native path")
    .addArgument(
      new Argument(
        "[file]",
        "what valgrind --tool=lackey --trace-mem=yes wrote, or - for stdin",
      ).default(BUNDLED_TRACE, "the bundled trace of gzip"),
    )
    .addOption(
      new Option("--size <bytes>", "size of guest RAM, such as 4096, 64K, 64M or 2G")
        .argParser(parseSize)
        .default(parseSize("64M"), "64M"),
    )
    .option(
      "--rounds <n>",
      "how often to replay a trace that is short enough to keep",
      parseRounds,
      DEFAULT_ROUNDS,
    )
    .option("--flat", "use traced addresses as guest physical ones, so that most fault", false)
    .option(
      "--no-split",
      "leave accesses of 1, 2, 4 and 8 bytes whole, so that unaligned ones fault",
    )
    .addOption(skipForeignOption())
    .option("--json", "print the report as JSON", false)
    .action(async (file: string, options: Omit<ReplayArguments, "file">) => {
      const { status, report } = await runReplay({ file, ...options });
      print(report);
      process.exitCode = status;
    });
}

/** The option `--skip-foreign` of the commands that read a trace. */
export function skipForeignOption(): Option {
  return new Option(
    "--skip-foreign",
    "skip the lines of a trace that are not lackey's, such as the program's own output",
  ).default(false);
}

/**
 * Runs the command.
 *
 * @param openPaths - Makes a zeroed memory of `size` bytes for each path.
 * @returns The report, and the exit status: 0, or {@link EXIT_DIFFERENT}.
 * @throws {@link CliError} if the trace cannot be used; errors of the system and of the package.
 */
export async function runReplay(
  { file, size, rounds, flat, split, skipForeign = false, json }: ReplayArguments,
  openPaths: (size: number) => OpenPaths = openBothPaths,
): Promise<{ status: number; report: string }> {
  const name = file === "-" ? "stdin" : file === BUNDLED_TRACE ? basename(file) : file;
  const map = flat ? new FlatMap() : new FirstTouchMap(size);
  const counts = new TraceCounts();
  const bytes = await openTrace(file);
  const opened = openPaths(size);
  try {
    const batches = compileTrace(unpackTrace(file, bytes), { map, split, skipForeign }, counts);
    const result = await replay(batches, opened.paths, { rounds });
    if (result.total === 0) {
      throw new CliError(`${name}: no accesses; was it recorded with --trace-mem=yes?`);
    }
    const facts: ReplayFacts = { file: name, counts, size, rounds, flat, split, result };
    const report = json ? `${JSON.stringify(toJson(facts), undefined, 2)}\n` : toText(facts);
    return { status: result.equal ? 0 : EXIT_DIFFERENT, report };
  } catch (error) {
    throw isBadTrace(error) ? new CliError(`${name}: ${error.message}`, { cause: error }) : error;
  } finally {
    opened.close();
  }
}

/** Whether an error is about the contents of a trace. Such an error does not name the file. */
function isBadTrace(error: unknown): error is Error {
  // zlib's codes: those of gzip start with Z_, those of Brotli with ERR__ERROR_ or ERR_BROTLI_.
  return (
    error instanceof LackeySyntaxError || /^(Z_|ERR_(_ERROR|BROTLI)_)/.test(errorCode(error) ?? "")
  );
}

async function openTrace(file: string): Promise<AsyncIterable<Uint8Array>> {
  if (file === "-") {
    return process.stdin;
  }
  const found = await stat(file);
  if (found.isDirectory()) {
    throw new CliError(`${file}: is a directory`);
  }
  return withProgress(createReadStream(file), found.isFile() ? found.size : undefined);
}

function openBothPaths(size: number): OpenPaths {
  const view = GuestMemory.allocate(size);
  const native = GuestMemory.allocate(size);
  return {
    paths: [
      { name: "view", memory: view },
      { name: "native", memory: native.native },
    ],
    close() {
      view.destroy();
      native.destroy();
    },
  };
}

function parseRounds(text: string): number {
  const rounds = Number(text);
  if (!/^\d+$/.test(text) || rounds < 1 || !Number.isSafeInteger(rounds)) {
    throw new InvalidArgumentError("It must be a whole number, at least 1.");
  }
  return rounds;
}
