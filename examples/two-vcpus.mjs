// Two vCPUs, each in its own thread, increment a counter in the same RAM.
import { once } from "node:events";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { GuestMemory } from "pound-guest-memory";

const COUNTER = 0x2000;
const ROUNDS = 1_000_000;

if (isMainThread) {
  const memory = GuestMemory.allocateShared(64 * 1024);
  const vcpus = ["view", "native"].map(
    (path) => new Worker(new URL(import.meta.url), { workerData: [path, memory.shareable] }),
  );
  await Promise.all(vcpus.map((vcpu) => once(vcpu, "exit")));
  console.log(`2 vCPUs counted to ${memory.atomics.loadl(COUNTER)}`);
} else {
  const [path, shareable] = workerData;
  const memory = GuestMemory.attach(shareable); // the same bytes, through this thread's own handle
  // Atomic operations of both paths may be mixed.
  const atomics = path === "native" ? memory.native.atomics : memory.atomics;
  for (let i = 0; i < ROUNDS; i++) {
    atomics.addl(COUNTER, 1);
  }
}
