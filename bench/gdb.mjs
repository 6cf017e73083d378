// Measures how fast gdb reads memory through the server. Run `npm run build`, then
// `node bench/gdb.mjs`. It needs gdb-multiarch.

import { spawn } from "node:child_process";
import { AddressSpace } from "pound-guest-memory";
import { GdbServer, riscvArchitecture } from "pound-guest-memory/gdb";
import { Mmu, RiscvPageTables } from "pound-guest-memory/mmu";
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

async function measure(space, cpu) {
  const server = await GdbServer.listen({ space, cpus: [cpu], architecture: riscvArchitecture() });
  const output = await runGdb(server.address, [`python exec(${JSON.stringify(READ)})`, "kill"]);
  await server.close();
  const seconds = [...output.matchAll(/^seconds ([\d.]+)$/gm)].map(([, number]) => Number(number));
  if (seconds.length !== ROUNDS) {
    throw new Error(`gdb printed: ${output}`);
  }
  return SIZE / 2 ** 20 / median(seconds);
}

const space = new AddressSpace();
space.addRam(RAM, SIZE, { fill: 0xa5 });

// Sv39 with pages of 4 KiB: a root table, one of the next level, and those of the last level.
space.addRam(0, 2 ** 20);
const pointer = (gpa) => (BigInt(gpa / 4096) << 10n) | 1n;
space.writeq(8 * (RAM / 2 ** 30), pointer(0x1000));
for (let page = 0; page < SIZE / 4096; page++) {
  const table = 0x2000 + 4096 * Math.floor(page / 512);
  space.writeq(0x1000 + 8 * Math.floor(page / 512), pointer(table));
  space.writeq(table + 8 * (page % 512), pointer(RAM + 4096 * page) | 2n);
}
const tables = new RiscvPageTables(space);
tables.satp = 8n << 60n;
const mmu = new Mmu(space, { walk: tables.walk });

console.log(`Node ${process.versions.node}, ${SIZE / 2 ** 20} MiB, ${ROUNDS} times`);
console.log(`physical: ${(await measure(space, cpu)).toFixed(1)} MiB/s`);
const paged = { ...cpu, translate: (va) => mmu.probe(va) };
console.log(`virtual: ${(await measure(space, paged)).toFixed(1)} MiB/s`);
