import { checkFunction, checkObject, isInstance } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { AddressSpace } from "../space/address-space.js";
import type { GdbCpu } from "./cpu.js";
import { type GdbArchitecture, TargetDescription } from "./description.js";
import { Runner } from "./runner.js";
import { Stops } from "./stops.js";

const MAX_CPUS = 4096;

/** The parts of a machine that a debugger needs. */
export interface MachineParts {
  /**
   * The memory of the machine. The addresses of gdb are physical, unless the CPUs have
   * {@link GdbCpu.translate}; those of the inspector's page always are.
   */
  readonly space: AddressSpace;
  /** The CPUs, from 1 to 4096. gdb shows them as threads 1, 2 and so on. */
  readonly cpus: readonly GdbCpu[];
  /** The registers of the CPUs, such as `riscvArchitecture()`. */
  readonly architecture: GdbArchitecture;
}

/** A machine under the control of a debugger. */
export interface DebuggedMachine {
  readonly cpus: readonly GdbCpu[];
  readonly description: TargetDescription;
  readonly stops: Stops;
  readonly runner: Runner;
}

/**
 * @param watched - Whether watchpoints have the addresses of the CPUs, if these translate them.
 * @throws TypeError, RangeError for invalid parts.
 */
export function debugMachine(
  { space, cpus, architecture }: MachineParts,
  watched: "virtual" | "physical",
): DebuggedMachine {
  checkSpace(space);
  const description = new TargetDescription(architecture);
  const list = checkCpus(cpus);
  const stops = new Stops(space, watched === "virtual" ? list : []);
  return { cpus: list, description, stops, runner: new Runner(list, description, stops) };
}

/** @throws TypeError if `space` is not an address space. */
export function checkSpace(space: AddressSpace): void {
  if (!isInstance(space, AddressSpace)) {
    throw typeError("space must be an AddressSpace");
  }
}

function checkCpus(cpus: readonly GdbCpu[]): readonly GdbCpu[] {
  if (!Array.isArray(cpus)) {
    throw typeError("cpus must be an array");
  }
  if (cpus.length === 0 || cpus.length > MAX_CPUS) {
    throw rangeError(`there must be 1 to ${MAX_CPUS} cpus`);
  }
  for (const cpu of cpus as readonly GdbCpu[]) {
    checkObject(cpu, "each cpu");
    checkFunction(cpu.readRegister, "readRegister");
    checkFunction(cpu.writeRegister, "writeRegister");
    checkFunction(cpu.run, "run");
    if (cpu.translate !== undefined) {
      checkFunction(cpu.translate, "translate");
    }
  }
  return [...(cpus as readonly GdbCpu[])];
}
