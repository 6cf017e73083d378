#!/usr/bin/env node
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Command, CommanderError } from "commander";
import { describeFailure, errorCode } from "./failure.js";
import { EXIT_FAILURE } from "./exit-status.js";
import { registerCrosscheck } from "./crosscheck.js";
import { registerImage } from "./image.js";
import { registerInspect } from "./inspect.js";
import { registerReplay } from "./replay.js";
import { registerSnapshot } from "./snapshot.js";
import { print, printError } from "./terminal.js";

const NAME = "pound-guest-memory";

function createProgram(): Command {
  const program = new Command(NAME)
    .description(
      "guest physical RAM for emulators: replays traces, checks memory models, " +
        "shows snapshots and images",
    )
    .version(packageVersion())
    // Commands inherit these only if they come before the commands are added.
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: printError });
  registerReplay(program);
  registerCrosscheck(program);
  registerImage(program);
  registerInspect(program);
  registerSnapshot(program);
  return program;
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(
    readFileSync(join(__dirname, "..", "..", "package.json"), "utf8"),
  );
  return (manifest as { version: string }).version;
}

/** Ignores a reader that has closed the pipe, such as `head`. The exit status stays as it is. */
function ignoreClosedPipe(error: Error): void {
  if (errorCode(error) !== "EPIPE") {
    throw error;
  }
}

/** The exit status of a command line that ended in an error. */
function fail(error: unknown): number {
  if (error instanceof CommanderError) {
    // Commander has printed the message. Help and version also end here, with status 0.
    return error.exitCode === 0 ? 0 : EXIT_FAILURE;
  }
  printError(`${NAME}: ${describeFailure(error)}\n`);
  return EXIT_FAILURE;
}

process.stdout.on("error", ignoreClosedPipe);
process.stderr.on("error", ignoreClosedPipe);

createProgram()
  .parseAsync()
  .catch((error: unknown) => {
    process.exitCode = fail(error);
  });
