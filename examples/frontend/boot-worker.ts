import { parentPort, workerData } from "node:worker_threads";
import { BOOTS, readBoot } from "./boots.js";
import type { BootJob, Message } from "./in-worker.js";
import { runVirt } from "./run.js";

const { boot, path } = workerData as BootJob;
const { limit } = BOOTS[boot];
const message: Message = { outcome: runVirt({ ...readBoot(boot), path }, limit) };
parentPort?.postMessage(message);
