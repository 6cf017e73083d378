import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { DirtyBitmap, GuestMemory } from "pound-guest-memory";
import { riscvArchitecture } from "pound-guest-memory/gdb";
import { type DisassembledLine, InspectedMachine } from "pound-guest-memory/inspector";
import { Cpu } from "./cpu/cpu.js";
import { disassemble } from "./cpu/disassemble.js";
import { CSR_NAMES, DebuggedHart, SteppedHart } from "./debug.js";
import type { InspectedJob } from "./inspect.js";
import { Machine } from "./machine.js";

/** Lines of the disassembly. */
const LINES = 16;

const { file, argument, ram: shared, marks, traced, running, port } = workerData as InspectedJob;
const ram = GuestMemory.attach(shared);
if (marks !== null) {
  ram.startTracking(new DirtyBitmap(ram.size, marks));
}
const machine = new Machine(readFileSync(file), {
  path: "view",
  argument,
  ram,
  onByte: (byte) => process.stdout.write(Uint8Array.of(byte)),
});
const { space } = machine;
const { cpu } = machine;
if (!(cpu instanceof Cpu)) {
  throw new TypeError("the machine has another hart");
}

function disassembleFrom(address: bigint): DisassembledLine[] {
  const words = new DataView(new ArrayBuffer(4 * LINES));
  const [missing] = space.peek(address, words);
  const count = Math.floor((missing?.offset ?? words.byteLength) / 4);
  return Array.from({ length: count }, (_, i) => {
    const at = address + BigInt(4 * i);
    return { address: at, text: disassemble(words.getInt32(4 * i, true), at) };
  });
}

const trace =
  traced === null
    ? undefined
    : space.trace({
        range: { gpa: traced[0], length: traced[1] },
        kinds: "write",
        tag: () => cpu.pc,
      });

new InspectedMachine({
  space,
  // The hart knows its pc before each instruction only if it executes them one by one.
  cpus: [trace === undefined ? new DebuggedHart(machine, cpu) : new SteppedHart(machine, cpu)],
  architecture: riscvArchitecture({ csrs: CSR_NAMES }),
  disassemble: disassembleFrom,
  running,
  ...(trace !== undefined && { trace }),
}).connect(port);
parentPort!.postMessage("ready");
