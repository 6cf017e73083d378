import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { Path } from "./machine.js";
import { runProgram, type Outcome } from "./run.js";

/** The program to run, and how. */
export interface Job {
  /** An ELF file. */
  readonly file: string;
  readonly path: Path;
  readonly argument: number;
}

/** A message of a worker. */
export type Message = { readonly frame: number } | { readonly outcome: Outcome };

const { file, path, argument } = workerData as Job;
const tell = (message: Message) => parentPort?.postMessage(message);
const onFrame = ({ frames }: { frames: number }) => tell({ frame: frames });
tell({ outcome: runProgram(readFileSync(file), { path, argument, onFrame }) });
