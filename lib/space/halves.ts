import type { GuestAccessors } from "../base/access.js";
import { HalvesAccess } from "../base/halves-access.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import type { Bus } from "./bus.js";

/**
 * The accessors of an address space with addresses in halves. The space must clear their cache
 * before each change of the map.
 *
 * @param whole - The accessors of the space on the same path.
 * @param accessOf - Returns the accessors of a region's memory on that path.
 */
export function spaceHalves(
  bus: Bus,
  whole: GuestAccessors,
  accessOf: (memory: GuestMemory) => GuestAccessors,
): HalvesAccess {
  return new HalvesAccess(whole, (gpa, gpaLow, operation) => {
    const region = bus.find(gpa);
    const { offset } = bus;
    if (
      region === null ||
      region.kind === "mmio" ||
      (operation === "write" && region.kind === "rom")
    ) {
      return null;
    }
    const watched = bus.watches.index(operation);
    const stretch =
      operation === "read"
        ? region.readStretchAt(offset, watched, bus.version)
        : region.writeStretchAt(offset, watched, bus.version);
    if (stretch === null) {
      return null;
    }
    // The part of the stretch with the same upper half of the address.
    const from = Math.max(stretch.from, offset - gpaLow);
    const low = gpaLow - (offset - from);
    const length = Math.min(stretch.from + stretch.length - from, 2 ** 32 - low);
    return { access: accessOf(region.memory), from, low, length };
  });
}
