import type { GuestAccessors } from "../base/access.js";
import { reasonOfResult } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { Out, Value } from "../base/widths.js";
import type { Bus } from "./bus.js";
import type { SpaceWidth } from "./widths.js";

const { OK, FAULT_BOUNDARY } = GuestMemAccessResult;

/**
 * Makes an instruction fetch, which needs the right to execute and not the right to read. A fetch
 * from a device or from a hole is a read.
 *
 * @param isNative - Which path makes the fetch.
 * @param space - The accessors of the space of `bus` on that path.
 */
export function tryFetch<T extends Value, A extends Out>(
  bus: Bus,
  isNative: boolean,
  space: GuestAccessors,
  kind: SpaceWidth<T, A>,
  gpa: Gpa,
  out: A,
): GuestMemAccessResult {
  const region = bus.lookup.find(gpa);
  if (region === null || region.kind === "mmio" || (region.readable && region.executable)) {
    return kind.tryRead(space, gpa as number, out);
  }
  if (!region.executable) {
    return bus.outcome.refuse(FAULT_BOUNDARY, "not-executable");
  }
  if (bus.lookup.room < kind.bytes) {
    return bus.outcome.refuse(FAULT_BOUNDARY, "straddle");
  }
  // Memory that can be executed but not read has no accessor in the space.
  const memory = bus.policy.accessOf(isNative, region.memory);
  const result = kind.tryRead(memory, bus.lookup.offset, out);
  return result === OK ? OK : bus.outcome.refuse(result, reasonOfResult(result));
}
