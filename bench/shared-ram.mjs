// Measures RAM that processes share beside what a program would do otherwise: mmap-io and
// shm-typed-array of npm, and messages that carry the bytes. Run `npm run build`,
// `npm install --no-save mmap-io shm-typed-array`, then `node bench/shared-ram.mjs`. A package that
// is not installed is left out. All ways take turns, and the figures are medians.

import { fork } from "node:child_process";
import { once } from "node:events";
import { closeSync, ftruncateSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GuestMemory } from "pound-guest-memory";
import { medianMs } from "./measure.mjs";

const SIZE = 2 ** 24;
const ACCESSES = 8192;
/** Bytes that a process hands to another. */
const LOAD = 2 ** 22;

/** A package, or null if it is not installed. */
async function optional(name) {
  try {
    const loaded = await import(name);
    return loaded.default ?? loaded;
  } catch {
    console.log(`${name} is not installed`);
    return null;
  }
}

/** Another process, which adds the first and the last byte of a message or of shared RAM. */
function serve() {
  let memory = null;
  process.on("message", ({ shared, bytes }) => {
    if (shared !== undefined) {
      memory = GuestMemory.openShared(shared);
    }
    const last = LOAD - 1;
    process.send(
      bytes === undefined ? memory.readb(0) + memory.readb(last) : bytes[0] + bytes[last],
    );
  });
}

/** A loop over addresses. V8 compiles each loop for its own memory. */
function loopOf(name, memory, body) {
  const text = `/* ${name} */ return () => {
    let sum = 0;
    for (let i = 0; i < gpas.length; i++) { const gpa = gpas[i]; ${body} }
    return sum;
  };`;
  return new Function("memory", "gpas", text)(memory, GPAS);
}

const GPAS = Uint32Array.from({ length: ACCESSES }, (_, i) => Math.imul(i, 162_012) & (SIZE - 4));

function print(title, times, base, unit, scale) {
  console.log(`\n${title}`);
  for (const [name, ms] of Object.entries(times)) {
    const ratio = (ms / times[base]).toFixed(2);
    console.log(`${(ms * scale).toFixed(2).padStart(9)} ${unit} ${ratio.padStart(6)}x  ${name}`);
  }
}

async function main() {
  const mmap = await optional("mmap-io");
  const shm = await optional("shm-typed-array");
  const folder = mkdtempSync(join(tmpdir(), "pound-bench-"));
  const child = fork(fileURLToPath(import.meta.url), ["serve"], { serialization: "advanced" });
  try {
    let files = 0;
    const mapFile = () => {
      const file = openSync(join(folder, String(files++)), "w+");
      ftruncateSync(file, SIZE);
      const buffer = mmap.map(SIZE, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED, file);
      closeSync(file);
      return buffer;
    };
    const memory = GuestMemory.allocateShared(SIZE, { name: "bench" });
    const mapped = mmap === null ? null : mapFile();
    const segment = shm === null ? null : shm.create(SIZE / 4, "Uint32Array");

    const loads = {
      "GuestMemory, view path": loopOf("view", memory, "sum ^= memory.readl(gpa)"),
      "GuestMemory, native path": loopOf("native", memory.native, "sum ^= memory.readl(gpa)"),
      ...(mapped && {
        "a Buffer of mmap-io": loopOf("mmap", mapped, "sum ^= memory.readUInt32LE(gpa)"),
      }),
      ...(segment && {
        "a Uint32Array of shm-typed-array": loopOf("shm", segment, "sum ^= memory[gpa >>> 2]"),
      }),
    };
    const base = mapped === null ? "GuestMemory, view path" : "a Buffer of mmap-io";
    const often = { rounds: 300, warmup: 100 };
    const scale = 1e6 / ACCESSES;
    print("a 32-bit load", await medianMs(loads, often), base, "ns", scale);
    const stores = {
      "GuestMemory, view path": loopOf("view", memory, "memory.writel(gpa, i)"),
      "GuestMemory, native path": loopOf("native", memory.native, "memory.writel(gpa, i)"),
      ...(mapped && {
        "a Buffer of mmap-io": loopOf("mmap", mapped, "memory.writeUInt32LE(i, gpa)"),
      }),
      ...(segment && {
        "a Uint32Array of shm-typed-array": loopOf("shm", segment, "memory[gpa >>> 2] = i"),
      }),
    };
    print("a 32-bit store", await medianMs(stores, often), base, "ns", scale);

    const making = {
      "allocateShared with a name": () =>
        GuestMemory.allocateShared(SIZE, { name: "b2" }).destroy(),
      "allocateShared with a file": () =>
        GuestMemory.allocateShared(SIZE, { file: join(folder, String(files++)) }).destroy(),
      ...(mmap && { "a file, and map of mmap-io": () => void mapFile() }),
      ...(shm && {
        "create and destroy of shm-typed-array": () => {
          const { key } = shm.create(SIZE / 4, "Uint32Array");
          shm.destroy(key);
        },
      }),
    };
    print(
      "making 16 MiB",
      await medianMs(making, { rounds: 100 }),
      mmap === null ? "allocateShared with a file" : "a file, and map of mmap-io",
      "us",
      1000,
    );

    const answer = async (message) => {
      child.send(message);
      const [sum] = await once(child, "message");
      if (sum !== 2 && message.shared === undefined) {
        throw new Error("the other process has other bytes");
      }
    };
    await answer({ shared: memory.processShared });
    const bytes = Buffer.alloc(LOAD, 1);
    const handing = {
      "a message with the bytes": () => answer({ bytes }),
      "shared RAM, and a message without bytes": async () => {
        memory.write(0, bytes);
        await answer({});
      },
    };
    print(
      "handing 4 MiB to another process, until its answer",
      await medianMs(handing, { rounds: 50 }),
      "a message with the bytes",
      "us",
      1000,
    );
    memory.destroy();
  } finally {
    child.disconnect();
    rmSync(folder, { recursive: true });
  }
}

if (process.argv[2] === "serve") {
  serve();
} else {
  await main();
}
