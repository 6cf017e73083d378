import { GuestMemory } from "pound-guest-memory";

/** Whether this system tracks writes. */
function isAvailable(): boolean {
  using memory = GuestMemory.allocate(4096, { writeWatch: true });
  memory.startTracking("auto");
  return memory.tracking === "os";
}

/** Skips the tests of a suite, with a note in its title, where the system does not track writes. */
export function describeOsTracking(title: string, tests: () => void): void {
  if (isAvailable()) {
    describe(title, tests);
  } else {
    describe.skip(`${title} (this system does not track writes)`, tests);
  }
}
