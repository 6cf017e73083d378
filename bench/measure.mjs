import { Bench, hrtimeNow } from "tinybench";

const ROUNDS = 25;

/**
 * The median time in milliseconds of each function. The functions take turns, so that a slow phase
 * of the machine affects them all. One that times itself returns `{ overriddenDuration }` in
 * milliseconds.
 *
 * @param functions - The functions by name.
 */
export async function medianMs(functions, { rounds = ROUNDS, warmup = 5 } = {}) {
  const samples = Object.fromEntries(Object.keys(functions).map((name) => [name, []]));
  for (let round = -warmup; round < rounds; round++) {
    const bench = new Bench({ time: 0, iterations: 1, warmup: false, now: hrtimeNow });
    for (const [name, run] of Object.entries(functions)) {
      bench.add(name, run);
    }
    await bench.run();
    for (const { name, result } of bench.tasks) {
      if (result.state !== "completed") {
        throw result.error ?? new Error(`${name} is ${result.state}`);
      }
      if (round >= 0) {
        samples[name].push(result.latency.p50);
      }
    }
  }
  return Object.fromEntries(Object.entries(samples).map(([name, ms]) => [name, median(ms)]));
}

export function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
}

/** Wall-clock milliseconds of one call. */
export function msOf(action) {
  const start = process.hrtime.bigint();
  action();
  return Number(process.hrtime.bigint() - start) / 1e6;
}
