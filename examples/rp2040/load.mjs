import { readFileSync } from "node:fs";

const PROGRAM = new URL("guest/bin/program.bin", import.meta.url);
const NANOSECONDS_PER_CYCLE = 8;

/**
 * Loads guest/program.c into the flash of a machine, and starts the CPU at its entry.
 *
 * @param {import("rp2040js").RP2040} machine
 * @param {number} rounds - How often the program repeats its computations.
 */
export function load(machine, rounds) {
  const program = readFileSync(PROGRAM);
  const [stack, entry] = [program.readUInt32LE(0), program.readUInt32LE(4)];
  machine.loadBootrom(new Uint32Array([stack, entry, rounds])); // also erases the flash
  machine.flash.set(program);
}

/**
 * Executes an instruction, or waits for the next alarm. It is what the Simulator of rp2040js does.
 *
 * @param {import("rp2040js").RP2040} machine
 */
export function step({ core, clock }) {
  // The type IClock lacks the methods of SimulationClock, which every machine has by default.
  const simulated = /** @type {any} */ (clock);
  simulated.tick(
    core.waiting ? simulated.nanosToNextAlarm : core.executeInstruction() * NANOSECONDS_PER_CYCLE,
  );
}
