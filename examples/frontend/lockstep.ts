import { GuestMemAccessResult } from "pound-guest-memory";
import { Machine, type MachineOptions } from "./machine.js";
import { CHECKPOINT } from "./run.js";

/** The first instruction after which two machines differ. */
export interface Divergence {
  /** Instructions before it. */
  readonly instruction: number;
  /** Where it lies. */
  readonly pc: bigint;
  /** The 32 bits of it, as the first machine has them; null where it cannot be read. */
  readonly code: number | null;
  /** What differs: registers by name, with both values. */
  readonly registers: readonly string[];
}

/**
 * Runs a program on two machines at once and finds the first instruction after which their
 * registers differ; null where there is none. It is for finding a fault, and slow: the two share
 * one thread, so V8 compiles the hart for both kinds of memory at once.
 *
 * @throws Error where they differ once and not again, as no two runs of a machine should.
 */
export function lockstep(
  program: Uint8Array,
  first: MachineOptions,
  second: MachineOptions,
  limit = Number.MAX_SAFE_INTEGER,
): Divergence | null {
  const pair = () => [new Machine(program, first), new Machine(program, second)] as const;

  // In large steps to where they differ, and then from just before that in single ones.
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
