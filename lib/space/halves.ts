import type { GuestAccessors } from "../base/access.js";
import type { FindRange, HalvesAccess } from "../base/halves-access.js";
import { halvesPart } from "../base/halves-part.js";
import type { Bus } from "./bus.js";

/**
 * The accessors of an address space with addresses in halves. The space must clear their cache
 * before each change of the map.
 *
 * @param whole - The accessors of the space on the same path.
 * @param native - Whether that is the native path.
 */
export function spaceHalves(bus: Bus, whole: GuestAccessors, native: boolean): HalvesAccess {
  const find: FindRange = (gpa, gpaLow, operation) => {
    const region = bus.lookup.find(gpa);
    if (
      region === null ||
      region.kind === "mmio" ||
      !(operation === "read" ? region.readable : region.writable) ||
      (operation === "write" && region.internals.marks.guards !== null)
    ) {
      return null;
    }
    const { offset } = bus.lookup;
    const around = bus.reaches.unwatchedAround(gpa, operation);
    // The range leaves out the last 7 bytes, so that every access that starts in it ends in the
    // same bytes.
    const after = around === null ? 0 : around.after - 7;
    if (around === null || after <= 0) {
      return null;
    }
    // The part with the same upper half of the address.
    const before = Math.min(around.before, gpaLow);
    const low = gpaLow - before;
    const length = Math.min(before + after, 2 ** 32 - low);
    return {
      access: bus.policy.accessOf(native, region.memory),
      from: offset - before,
      low,
      length,
    };
  };
  return new (halvesPart.get().HalvesAccess)(whole, find, () => bus.outcome.reason);
}
