import type { GdbCpu } from "./cpu.js";
import type { TargetDescription } from "./description.js";
import type { DebuggedMemory } from "./memory.js";
import type { Runner } from "./runner.js";
import type { Stops } from "./stops.js";

/** The parts of a machine that a debugger uses. */
export interface DebuggedMachine {
  readonly cpus: readonly GdbCpu[];
  readonly description: TargetDescription;
  readonly memory: DebuggedMemory;
  readonly stops: Stops;
  readonly runner: Runner;
}
