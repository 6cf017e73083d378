import type { DebuggedMachine } from "../debug/machine.js";
import type { DebuggedMemory } from "./memory.js";

/** A machine, and its memory as gdb accesses it. */
export interface GdbMachine extends DebuggedMachine {
  readonly memory: DebuggedMemory;
}
