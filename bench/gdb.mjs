// Measures how fast gdb reads memory through the server. Run `npm run build`, then
// `node bench/gdb.mjs`. It needs gdb-multiarch.

import { spawn } from "node:child_process";
import { AddressSpace } from "pound-guest-memory";
import { GdbServer, riscvArchitecture } from "pound-guest-memory/gdb";
import { median } from "./measure.mjs";

const RAM = 0x8000_0000;
const SIZE = 2 ** 25;
const ROUNDS = 5;

/** A CPU that does nothing: gdb only reads memory. */
const cpu = {
  readRegister: () => 0n,
  writeRegister() {},
  run() {},
};

const READ = `import time
for _ in range(${ROUNDS}):
    start = time.monotonic()
    gdb.selected_inferior().read_memory(${RAM}, ${SIZE})
    print("seconds", time.monotonic() - start)`;

/** The output of gdb for commands after `target remote`. */
async function runGdb(address, commands) {
  const options = ["-nx", "-batch", "-ex", `target remote ${address}`];
  for (const command of commands) {
    options.push("-ex", command);
  }
  const child = spawn("gdb-multiarch", options, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  for await (const part of child.stdout) {
    output += part;
  }
  return output;
}

const space = new AddressSpace();
space.addRam(RAM, SIZE, { fill: 0xa5 });
const server = await GdbServer.listen({ space, cpus: [cpu], architecture: riscvArchitecture() });
const output = await runGdb(server.address, [`python exec(${JSON.stringify(READ)})`, "kill"]);
await server.close();

const seconds = [...output.matchAll(/^seconds ([\d.]+)$/gm)].map(([, number]) => Number(number));
if (seconds.length !== ROUNDS) {
  throw new Error(`gdb printed: ${output}`);
}
console.log(`Node ${process.versions.node}, ${SIZE / 2 ** 20} MiB, ${ROUNDS} times`);
console.log(`${(SIZE / 2 ** 20 / median(seconds)).toFixed(1)} MiB/s`);
