import { readFileSync, writeFileSync } from "node:fs";
import { deserialize, serialize } from "node:v8";
import { loadSnapshot, saveSnapshot } from "pound-guest-memory/snapshot";
import type { VirtMachine } from "./virt.js";

/** The file with the hart and the devices, beside the snapshot of the memory. */
const stateFile = (file: string) => `${file}.state`;

/** Saves a machine: a snapshot of its memory, and a file with its hart and its devices. */
export async function saveMachine(machine: VirtMachine, file: string): Promise<void> {
  writeFileSync(stateFile(file), serialize(machine.save()));
  await saveSnapshot(machine.space.snapshot(), file);
}

/**
 * Lets a machine go on from where another one, with the same options, was saved.
 *
 * @throws Error if a file cannot be read, or is from a machine with other options.
 */
export async function restoreMachine(machine: VirtMachine, file: string): Promise<void> {
  machine.space.restore(await loadSnapshot(file));
  machine.restore(deserialize(readFileSync(stateFile(file))) as ReturnType<VirtMachine["save"]>);
}
