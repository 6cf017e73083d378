import { setTimeout } from "node:timers/promises";

/**
 * Collects garbage and lets finalizers run until `isDone`, at most 25 times. One collection may not
 * suffice: V8 runs finalizers in later turns of the event loop, and the stack may keep objects
 * alive.
 */
export async function collectUntil(isDone: () => boolean): Promise<void> {
  for (let attempt = 0; attempt < 25; attempt++) {
    for (let i = 0; i < 4; i++) {
      globalThis.gc!();
      await setTimeout(1);
    }
    if (isDone()) {
      return;
    }
  }
}
