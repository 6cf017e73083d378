import type { Hart } from "./cpu/hart.js";
import type { DeviceLog } from "./devices/logged.js";
import type { Uart } from "./devices/uart.js";
import { Machine, type MachineOptions, type Path } from "./machine.js";
import { VirtMachine, type VirtOptions } from "./virt.js";

/** Instructions between two hashes of the registers. */
export const CHECKPOINT = 2 ** 18;

/** The results of a run. Those of two equal runs differ only in the time. */
export interface Outcome {
  readonly path: Path;
  /** The guest's exit status; null if it did not end within the limit. */
  readonly status: number | null;
  readonly instructions: number;
  /**
   * Million instructions per second: the speed that the fastest tenth of the stretches of
   * {@link CHECKPOINT} instructions reach, so that it is little affected by other programs.
   */
  readonly mips: number;
  /** A hash of the registers, each {@link CHECKPOINT} instructions and at the end. */
  readonly checkpoints: readonly number[];
  /** The output of the serial port. */
  readonly output: string;
  readonly deviceAccesses: number;
  readonly deviceHash: number;
  /** A hash of each frame that was shown. */
  readonly frames: readonly number[];
  readonly pixels: Uint32Array;
  readonly ram: Uint8Array;
}

/** What a run needs of a machine. */
interface Computer {
  readonly cpu: Hart;
  readonly uart: Uart;
  readonly log: DeviceLog;
  readonly status: number | null;
  ram(): Buffer;
}

/** Runs a program to its end, or for `limit` instructions. */
export function runProgram(
  program: Uint8Array,
  options: MachineOptions,
  limit = Number.MAX_SAFE_INTEGER,
): Outcome {
  const frames: number[] = [];
  const machine = new Machine(program, {
    ...options,
    onFrame: (display) => {
      frames.push(hashWords(display.pixels));
      options.onFrame?.(display);
    },
  });
  const outcome = runComputer(machine, options.path, limit);
  return { ...outcome, frames, pixels: machine.display.pixels };
}

/** Runs a `virt` machine until the guest switches it off, or for `limit` instructions. */
export function runVirt(options: VirtOptions, limit: number): Outcome {
  const outcome = runComputer(new VirtMachine(options), options.path, limit);
  return { ...outcome, frames: [], pixels: new Uint32Array() };
}

function runComputer(
  computer: Computer,
  path: Path,
  limit: number,
): Omit<Outcome, "frames" | "pixels"> {
  const { cpu, uart, log } = computer;
  const checkpoints: number[] = [];
  const speeds: number[] = [];
  for (let runs = true; runs && cpu.time < limit;) {
    const before = cpu.time;
    const start = performance.now();
    runs = cpu.run(Math.min(CHECKPOINT, limit - before));
    speeds.push((cpu.time - before) / (performance.now() - start) / 1000);
    checkpoints.push(cpu.hash());
  }
  speeds.sort((a, b) => a - b);
  return {
    path,
    status: computer.status,
    instructions: cpu.time,
    mips: speeds[Math.floor(0.9 * speeds.length)] ?? 0,
    checkpoints,
    output: uart.output,
    deviceAccesses: log.accesses,
    deviceHash: log.hash,
    ram: computer.ram(),
  };
}

/** Describes the differences between two runs of a program. The list is empty if they are equal. */
export function differences(a: Outcome, b: Outcome): string[] {
  const found: string[] = [];
  const note = (differ: boolean, what: string) => {
    if (differ) {
      found.push(what);
    }
  };
  note(a.status !== b.status, `status: ${a.status ?? "none"} and ${b.status ?? "none"}`);
  note(a.instructions !== b.instructions, `instructions: ${a.instructions} and ${b.instructions}`);
  const checkpoint = firstDifference(a.checkpoints, b.checkpoints);
  note(checkpoint !== null, `registers, by instruction ${((checkpoint ?? 0) + 1) * CHECKPOINT}`);
  note(a.output !== b.output, "output");
  note(
    a.deviceAccesses !== b.deviceAccesses || a.deviceHash !== b.deviceHash,
    `accesses to devices: ${a.deviceAccesses} and ${b.deviceAccesses}`,
  );
  const frame = firstDifference(a.frames, b.frames);
  note(frame !== null, `frame ${(frame ?? 0) + 1}`);
  note(Buffer.compare(bytesOf(a.pixels), bytesOf(b.pixels)) !== 0, "framebuffer");
  note(Buffer.compare(a.ram, b.ram) !== 0, "RAM");
  return found;
}

function firstDifference(a: readonly number[], b: readonly number[]): number | null {
  const length = Math.max(a.length, b.length);
  for (let i = 0; i < length; i++) {
    if (a[i] !== b[i]) {
      return i;
    }
  }
  return null;
}

function bytesOf({ buffer, byteOffset, byteLength }: Uint32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function hashWords(words: Uint32Array): number {
  let hash = 0;
  for (const word of words) {
    hash = Math.imul(hash ^ word, 0x9e3779b1) ^ (hash >>> 15);
  }
  return hash >>> 0;
}
