import { GuestMemAccessResult } from "pound-guest-memory";
import { Machine, type MachineOptions } from "./machine.js";
import { CHECKPOINT } from "./run.js";

/** The first instruction after which two machines differ. */
export interface Divergence {
  /** The number of instructions before it. */
  readonly instruction: number;
  /** Its address. */
  readonly pc: bigint;
  /** Its 32 bits in the first machine; null if they cannot be read. */
  readonly code: number | null;
  /** The registers that differ: name and both values of each. */
  readonly registers: readonly string[];
}

/**
 * Runs a program on two machines in parallel and finds the first instruction after which their
 * registers differ; null if there is none. This is slow: the machines share a thread, so V8
 * compiles the hart for both classes of memory.
 *
 * @throws Error if they differ in one run and not in the next, which is a fault of the emulator.
 */
export function lockstep(
  program: Uint8Array,
  first: MachineOptions,
  second: MachineOptions,
  limit = Number.MAX_SAFE_INTEGER,
): Divergence | null {
  const pair = () => [new Machine(program, first), new Machine(program, second)] as const;

  // Large steps find the range that has the difference, and single steps find the instruction.
  const [a, b] = pair();
  let agreed = 0;
  for (;;) {
    const going = [a, b].map(({ cpu }) => cpu.run(Math.min(CHECKPOINT, limit - agreed)));
    if (a.cpu.hash() !== b.cpu.hash() || a.cpu.time !== b.cpu.time) {
      break;
    }
    agreed = a.cpu.time;
    if (going.includes(false) || agreed >= limit) {
      return null;
    }
  }

  const [c, d] = pair();
  c.cpu.run(agreed);
  d.cpu.run(agreed);
  for (let instruction = agreed; instruction < agreed + CHECKPOINT; instruction++) {
    const { pc } = c.cpu;
    c.cpu.run(1);
    d.cpu.run(1);
    const registers = differing(c, d);
    if (registers.length > 0) {
      return { instruction, pc, code: codeAt(c, pc), registers };
    }
  }
  throw new Error("the machines differed the first time, and not the second");
}

function differing(a: Machine, b: Machine): string[] {
  const found: string[] = [];
  const compare = (name: string, one: bigint, other: bigint) => {
    if (one !== other) {
      found.push(`${name}: 0x${one.toString(16)} and 0x${other.toString(16)}`);
    }
  };
  for (let register = 1; register < 32; register++) {
    compare(`x${register}`, a.cpu.register(register), b.cpu.register(register));
  }
  compare("pc", a.cpu.pc, b.cpu.pc);
  compare("time", BigInt(a.cpu.time), BigInt(b.cpu.time));
  if (found.length === 0 && a.cpu.hash() !== b.cpu.hash()) {
    found.push("a control register");
  }
  return found;
}

function codeAt(machine: Machine, pc: bigint): number | null {
  const out = new Uint32Array(1);
  return machine.space.tryReadl(pc, out) === GuestMemAccessResult.OK ? out[0]! : null;
}
