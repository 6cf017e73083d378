import { expect } from "chai";
import { GuestMemory } from "pound-guest-memory";
import { BadImageError } from "pound-guest-memory/loader";

/** The error of a load that is refused. */
export function refusalOf(load: () => unknown): BadImageError {
  try {
    load();
  } catch (error) {
    expect(error).to.be.instanceOf(BadImageError);
    return error as BadImageError;
  }
  throw new Error("the file was loaded");
}

/** As `refusalOf`, for a load to RAM. Checks that no byte of it has changed. */
export function refusalIn(load: (memory: GuestMemory) => unknown, size = 4096): BadImageError {
  using memory = GuestMemory.allocate(size);
  memory.fill(0, size, 0xa5);
  const error = refusalOf(() => load(memory));
  expect(
    memory.buffer.every((byte) => byte === 0xa5),
    "RAM is unchanged",
  ).to.equal(true);
  return error;
}
