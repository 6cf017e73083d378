import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { performance } from "node:perf_hooks";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import {
  loadSnapshot,
  openSnapshot,
  restoreSnapshot,
  saveSnapshot,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { median } from "../measure.mjs";

const GIB = 2 ** 30;
const PAGE = 4096;
/** Resident bytes of 4 GiB of RAM. */
const RESIDENT = GIB / 2;
const ROUNDS = 9;
const CHANGED = 1000;

/** Snapshots of 4 GiB of RAM with 512 MiB resident, beside `cp` of the same file. */
export async function snapshots() {
  console.log("\nsnapshots of 4 GiB of RAM, 512 MiB resident");
  const folder = mkdtempSync(join(tmpdir(), "bench-snapshot-"));
  try {
    return await measure(
      join(folder, "source.snap"),
      join(folder, "ram.snap"),
      join(folder, "copy.snap"),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function measure(source, path, copy) {
  const memory = GuestMemory.allocate(4 * GIB);
  const block = Buffer.alloc(2 ** 20);
  for (let i = 0; i < block.length; i += 4) {
    block.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);
  }
  for (let gpa = 0; gpa < RESIDENT; gpa += block.length) {
    block.writeUInt32LE(gpa, 0);
    memory.write(gpa, block);
  }
  const times = {};
  const time = async (name, action) => {
    const start = performance.now();
    const result = await action();
    (times[name] ??= []).push(performance.now() - start);
    return result;
  };
  // The disk is busy for a while after a large file was removed.
  const remove = (file) => {
    rmSync(file, { force: true });
    execFileSync("sync");
  };
  const snapshot = takeSnapshot(memory);
  await saveSnapshot(snapshot, source);
  const saveIt = async () => {
    remove(path);
    await time("save", () => saveSnapshot(snapshot, path));
  };
  const copyIt = async () => {
    remove(copy);
    await time("cp", () => execFileSync("cp", [source, copy]));
    await time("sync of the copy", () => execFileSync("sync", [copy]));
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const action of round % 2 === 0 ? [saveIt, copyIt] : [copyIt, saveIt]) {
      await action();
    }
  }
  for (let round = 0; round < ROUNDS; round++) {
    await time("take", () => takeSnapshot(memory));
    await time("load", () => loadSnapshot(path));
    const space = new AddressSpace();
    space.addRam(0, 4 * GIB, { name: "ram" });
    const file = await time("open", () => openSnapshot(path));
    await time("map", () => space.restore(file, { map: true }));
    await time("first access", () => space.readl(0));
    await file.close();
    space.regions[0].memory.destroy();
  }
  memory.startTracking();
  let last = takeSnapshot(memory);
  for (let round = 0; round < 8 * ROUNDS; round++) {
    for (let i = 0; i < CHANGED; i++) {
      memory.writel(i * 97 * PAGE, round + i);
    }
    last = await time("take 1000 dirty pages", () => takeSnapshot(memory, last));
  }
  restoreSnapshot(memory, last);
  const ms = Object.fromEntries(
    Object.entries(times).map(([name, samples]) => [name, median(samples)]),
  );
  const gibs = (name) => RESIDENT / GIB / (ms[name] / 1000);
  // By rounds, because the disk is slower at some times than at others.
  const againstCopy = (name) =>
    median(times.cp.map((cp, i) => (cp + times["sync of the copy"][i]) / times[name][i]));
  for (const [name, value] of Object.entries(ms)) {
    console.log(`  ${name.padEnd(22)} ${value.toFixed(2)} ms`);
  }
  console.log(
    `  take ${gibs("take").toFixed(2)} GiB/s; cp with sync takes ` +
      `${againstCopy("save").toFixed(2)} of the time of save, and ` +
      `${againstCopy("load").toFixed(2)} of that of load`,
  );
  return ms;
}
