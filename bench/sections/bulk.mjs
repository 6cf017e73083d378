import { GuestMemory } from "pound-guest-memory";
import { medianMs } from "../measure.mjs";

const RAM = 2 ** 28;
const SIZES = [16, 64, 128, 255, 1024, 4096, 65_536, 2 ** 20, 2 ** 26];
/** Bytes moved in one timed run. Many small moves are timed together. */
const PER_RUN = 2 ** 18;

/** Each method and Buffer's counterpart, at increasing addresses. */
function pair(memory, ram, length) {
  const source = Buffer.alloc(length, 3);
  const target = Buffer.alloc(length);
  const far = RAM / 2;
  return {
    write: [(gpa) => memory.write(gpa, source), (gpa) => source.copy(ram, gpa)],
    readInto: [
      (gpa) => memory.readInto(gpa, target),
      (gpa) => ram.copy(target, 0, gpa, gpa + length),
    ],
    read: [
      (gpa) => memory.read(gpa, length),
      (gpa) => Buffer.from(ram.subarray(gpa, gpa + length)),
    ],
    fill: [(gpa) => memory.fill(gpa, length, 7), (gpa) => ram.fill(7, gpa, gpa + length)],
    copy: [
      (gpa) => memory.copy(gpa, gpa + far, length),
      (gpa) => ram.copy(ram, gpa, gpa + far, gpa + far + length),
    ],
  };
}

/** Nanoseconds per call of the bulk methods, and the ratio to Buffer's. */
export async function bulk() {
  const memory = GuestMemory.allocate(RAM);
  const ram = Buffer.alloc(RAM);
  memory.fill(0, RAM, 1);
  ram.fill(1);
  console.log("\nbulk access: ns per call (x: how many times as long Buffer takes)");
  const results = [];
  for (const length of SIZES) {
    const calls = Math.ceil(PER_RUN / length);
    const ns = {};
    for (const [name, ways] of Object.entries(pair(memory, ram, length))) {
      const [ours, buffers] = ways.map((way) => () => {
        for (let i = 0; i < calls; i++) {
          way((i & 1023) * 64);
        }
      });
      const ms = await medianMs({ ours, buffers }, { rounds: length > 2 ** 20 ? 9 : 41 });
      ns[name] = { ours: (ms.ours * 1e6) / calls, buffers: (ms.buffers * 1e6) / calls };
    }
    const cells = Object.entries(ns).map(
      ([name, { ours, buffers }]) => `${name} ${ours.toFixed(0)} (${(buffers / ours).toFixed(2)}x)`,
    );
    console.log(`  ${String(length).padStart(9)} B  ${cells.join("  ")}`);
    results.push({ length, ns });
  }
  memory.destroy();
  return results;
}
