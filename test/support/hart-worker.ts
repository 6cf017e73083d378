import { parentPort, workerData } from "node:worker_threads";
import { AddressSpace, GuestMemory, type SharedRam } from "pound-guest-memory";
import { Cpu } from "../../examples/frontend/cpu/cpu.js";
import { DebuggedHart } from "../../examples/frontend/debug.js";

/** The data of a thread that runs a hart. */
export interface HartData {
  /** The RAM, which all harts share. */
  readonly shareable: SharedRam;
  readonly base: number;
}

/** A call of a method of the hart. */
export interface HartCall {
  readonly method: "readRegister" | "writeRegister" | "run";
  readonly parameters: readonly unknown[];
}

const { shareable, base } = workerData as HartData;
const memory = GuestMemory.attach(shareable);
const space = new AddressSpace();
space.addRam(base, memory);
const cpu = new Cpu(space, { base, size: Number(memory.size) });
const hart = new DebuggedHart({ status: null }, cpu);

parentPort!.on("message", ({ method, parameters }: HartCall) => {
  const call = hart[method] as (...all: readonly unknown[]) => unknown;
  parentPort!.postMessage(call.apply(hart, parameters as unknown[]));
});
