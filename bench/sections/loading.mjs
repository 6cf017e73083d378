import { GuestMemory } from "pound-guest-memory";
import { loadRaw } from "pound-guest-memory/loader";
import { medianMs } from "../measure.mjs";

const SIZE = 2 ** 29;

/** `loadRaw` should take as long as one copy of the image. */
export async function loading() {
  const image = new Uint8Array(SIZE).fill(7);
  const memory = GuestMemory.allocate(SIZE);
  const bytes = memory.buffer;
  const results = await medianMs(
    {
      loadRaw: () => loadRaw(memory, 0, image),
      "one copy (Uint8Array.prototype.set)": () => bytes.set(image),
    },
    { rounds: 9, warmup: 2 },
  );
  memory.destroy();
  console.log(`\na raw image of ${SIZE / 2 ** 20} MiB, ms`);
  for (const [name, ms] of Object.entries(results)) {
    console.log(`  ${name.padEnd(42)} ${ms.toFixed(1).padStart(8)}`);
  }
  return results;
}
