// Measures taking and saving a snapshot beside what a program would do otherwise, with the same
// bytes: a copy of a Buffer, a written Buffer, `cp`, and a migration of QEMU to a file. Run
// `npm run build`, then `node bench/snapshot-ways.mjs [MIB]`. All ways take turns, all files are
// flushed to the disk, and the figures are medians. QEMU is Debian's qemu-system-misc.

import { execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { createConnection } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { GuestMemory } from "pound-guest-memory";
import { saveSnapshot, takeSnapshot } from "pound-guest-memory/snapshot";
import { medianMs } from "./measure.mjs";

const MIB = Number(process.argv[2] ?? 128);
const SIZE = MIB * 2 ** 20;
const ROUNDS = 5;
const QEMU = "qemu-system-riscv64";
/** The address of RAM of QEMU's machine `virt`. */
const QEMU_RAM = 0x8000_0000;

const folder = mkdtempSync(join(tmpdir(), "pound-bench-"));
const path = (name) => join(folder, name);

/** RAM in which each page has other bytes, and none is zero. */
function filledRam() {
  const memory = GuestMemory.allocate(SIZE);
  const words = new Uint32Array(memory.buffer.buffer, memory.buffer.byteOffset, SIZE / 4);
  for (let i = 0, state = 1; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return memory;
}

function writeFlushed(name, bytes) {
  const file = openSync(path(name), "w");
  for (let done = 0; done < bytes.length;) {
    done += writeSync(file, bytes, done);
  }
  fsyncSync(file);
  closeSync(file);
}

/** A stopped QEMU with the same RAM. Its `save` migrates it to a file. */
async function startQemu() {
  const socket = path("qmp");
  const child = spawn(
    QEMU,
    [
      ...["-M", "virt", "-m", `${MIB}M`, "-bios", "none", "-display", "none", "-serial", "none"],
      ...["-monitor", "none", "-S", "-qmp", `unix:${socket},server=on,wait=off`],
      ...["-device", `loader,file=${path("ram")},addr=${QEMU_RAM},force-raw=on`],
    ],
    { stdio: "inherit" },
  );
  while (!existsSync(socket)) {
    await delay(10);
  }
  const connection = createConnection(socket);
  const lines = createInterface({ input: connection });
  const answers = lines[Symbol.asyncIterator]();
  const answer = async () => {
    for (;;) {
      const { value } = await answers.next();
      const message = JSON.parse(value);
      if (message.error !== undefined) {
        throw new Error(message.error.desc);
      }
      if ("return" in message || "QMP" in message) {
        return message.return;
      }
    }
  };
  const ask = (execute, args) => {
    connection.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    return answer();
  };
  await answer();
  await ask("qmp_capabilities");
  // By default, QEMU limits the bandwidth.
  await ask("migrate-set-parameters", { "max-bandwidth": 2 ** 40 });
  return {
    async save(name) {
      // A machine that was migrated has to run before it can be migrated again.
      await ask("cont");
      await ask("stop");
      await ask("migrate", { uri: `exec:dd of=${path(name)} bs=1M conv=fsync status=none` });
      for (;;) {
        const { status } = await ask("query-migrate");
        if (status === "completed") {
          return;
        }
        if (status === "failed") {
          throw new Error("the migration has failed");
        }
        await delay(1);
      }
    },
    async stop() {
      const ended = once(child, "exit");
      await ask("quit");
      connection.destroy();
      await ended;
    },
  };
}

function print(title, times, base) {
  console.log(`\n${title}`);
  for (const [name, ms] of Object.entries(times)) {
    const speed = (MIB / 1024 / (ms / 1000)).toFixed(2);
    const ratio = (ms / times[base]).toFixed(2);
    console.log(`${ms.toFixed(1).padStart(9)} ms ${speed.padStart(7)} GiB/s ${ratio}x  ${name}`);
  }
}

let qemu = null;
try {
  const memory = filledRam();
  const bytes = memory.buffer;
  console.log(`${MIB} MiB of RAM, all of it written, in Node ${process.versions.node}`);
  const copy = Buffer.alloc(SIZE, 1);
  const take = {
    "a copy to a Buffer that exists": () => void bytes.copy(copy),
    "a copy to a new Buffer": () => void Buffer.from(bytes),
    takeSnapshot: () => void takeSnapshot(memory),
  };
  print(
    "taking a snapshot",
    await medianMs(take, { rounds: ROUNDS, warmup: 1 }),
    "a copy to a new Buffer",
  );

  const snapshot = takeSnapshot(memory);
  writeFlushed("ram", bytes);
  const save = {
    "cp, with sync": () => {
      execFileSync("cp", ["--reflink=never", path("ram"), path("cp")]);
      execFileSync("sync", [path("cp")]);
    },
    "a written Buffer, with fsync": () => writeFlushed("buffer", bytes),
    saveSnapshot: () => saveSnapshot(snapshot, path("mappable"), { mappable: true }),
    "saveSnapshot, pages packed": () => saveSnapshot(snapshot, path("packed"), { mappable: false }),
  };
  const version = spawnSync(QEMU, ["--version"], { encoding: "utf8" });
  if (version.error === undefined) {
    qemu = await startQemu();
    save[`migrate of ${version.stdout.split("\n")[0]}`] = () => qemu.save("qemu");
  } else {
    console.log(`${QEMU} is not installed`);
  }
  const times = await medianMs(save, { rounds: ROUNDS, warmup: 1 });
  print("saving a snapshot", times, "cp, with sync");
  for (const name of ["packed", "mappable", ...(qemu === null ? [] : ["qemu"])]) {
    if (statSync(path(name)).size < SIZE) {
      throw new Error(`the file ${name} does not have all bytes`);
    }
  }
} finally {
  await qemu?.stop();
  rmSync(folder, { recursive: true });
}
