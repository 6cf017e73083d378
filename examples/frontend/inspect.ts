import { once } from "node:events";
import { readFileSync } from "node:fs";
import { MessageChannel, type MessagePort, Worker } from "node:worker_threads";
import { GuestMemory, type SharedRam } from "pound-guest-memory";
import { type Inspector, serveInspector } from "pound-guest-memory/inspector";
import { Machine, RAM_SIZE } from "./machine.js";

/** The data of the thread that runs a program for the inspector. */
export interface InspectedJob {
  /** An ELF file. */
  readonly file: string;
  readonly argument: number;
  /** The RAM, which the inspector reads while the guest writes it. */
  readonly ram: SharedRam;
  /** The dirty marks of the RAM; null if the operating system tracks the writes. */
  readonly marks: SharedArrayBuffer | null;
  /** The address and the length of the bytes whose writes are recorded; null for none. */
  readonly traced: readonly [gpa: number, length: number] | null;
  /** Whether the guest runs at once. */
  readonly running: boolean;
  readonly port: MessagePort;
}

/** A program in a thread of its own, and the inspector that follows it. */
export interface InspectedProgram {
  readonly inspector: Inspector;
  readonly worker: Worker;
  close(): Promise<void>;
}

/**
 * Runs a program in a worker under the inspector, which is in this thread. They share the RAM.
 *
 * @param script - The file of the worker.
 */
export async function inspectProgram(
  script: string,
  options: Pick<InspectedJob, "file" | "argument" | "traced" | "running">,
): Promise<InspectedProgram> {
  const memory = GuestMemory.allocateShared(RAM_SIZE);
  const dirty = memory.startTracking();
  // The operating system sees the writes of all threads. Otherwise, the guest has to mark them.
  const marks = memory.tracking === "os" ? null : dirty.buffer;
  // This machine never runs: it has the map of the one in the worker, over the same RAM.
  const { space } = new Machine(readFileSync(options.file), {
    path: "view",
    argument: options.argument,
    ram: memory,
  });
  const { port1, port2 } = new MessageChannel();
  const workerData: InspectedJob = { ...options, ram: memory.shareable!, marks, port: port2 };
  const worker = new Worker(script, { workerData, transferList: [port2] });
  // The worker is ready. The pages that it has loaded do not count as written by the guest.
  await once(worker, "message");
  const inspector = await serveInspector({ space, machine: port1 });
  return {
    inspector,
    worker,
    async close() {
      await inspector.close();
      port1.close();
      await worker.terminate();
    },
  };
}

/** Serves the inspector of a program until Ctrl+C. */
export async function inspectUntilInterrupted(
  script: string,
  options: Pick<InspectedJob, "file" | "argument" | "traced">,
): Promise<void> {
  const program = await inspectProgram(script, { ...options, running: false });
  console.log(`open ${program.inspector.url}`);
  const failed = once(program.worker, "error").then(([error]) => {
    throw error;
  });
  await Promise.race([once(process, "SIGINT"), failed]);
  await program.close();
}
