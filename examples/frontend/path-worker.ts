import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { Job, Message } from "./in-worker.js";
import { runProgram } from "./run.js";

const { file, path, argument } = workerData as Job;
const tell = (message: Message) => parentPort?.postMessage(message);
const onFrame = ({ frames }: { frames: number }) => tell({ frame: frames });
tell({ outcome: runProgram(readFileSync(file), { path, argument, onFrame }) });
