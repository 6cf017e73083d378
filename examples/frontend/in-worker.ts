import { Worker } from "node:worker_threads";
import type { BootName } from "./boots.js";
import type { Path } from "./machine.js";
import type { Outcome } from "./run.js";

/** The program to run, and how. */
export interface Job {
  /** An ELF file. */
  readonly file: string;
  readonly path: Path;
  readonly argument: number;
}

/** The guest to boot, and how. */
export interface BootJob {
  readonly boot: BootName;
  readonly path: Path;
}

/** A message of a worker. */
export type Message = { readonly frame: number } | { readonly outcome: Outcome };

/**
 * Runs a program in a thread of its own, since V8 inlines the accessors into the hart only while it
 * has seen memory of one class there.
 *
 * @param script - The file of the thread.
 */
export function runInWorker(
  script: string,
  job: Job | BootJob,
  onFrame: (frame: number) => void = () => undefined,
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const worker = new Worker(script, { workerData: job });
    worker.on("message", (message: Message) => {
      if ("outcome" in message) {
        resolve(message.outcome);
      } else {
        onFrame(message.frame);
      }
    });
    worker.on("error", reject);
    worker.on("exit", () => reject(new Error(`${script} ended without an outcome`)));
  });
}
