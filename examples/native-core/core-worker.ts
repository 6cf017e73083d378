import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import type { Job, Message } from "../frontend/in-worker.js";
import { runProgram } from "../frontend/run.js";
import { withCore } from "./core-hart.js";

const { file, argument } = workerData as Job;
const message: Message = { outcome: runProgram(readFileSync(file), withCore(argument)) };
parentPort?.postMessage(message);
