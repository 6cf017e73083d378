import { AddressSpace } from "../space/address-space.js";
import { GuestMemoryFault, typeError } from "../base/errors.js";
import { isInstance } from "../base/arguments.js";
import { type GuestMemory, guestMemoryInternals, isGuestMemory } from "../memory/guest-memory.js";
import { printable } from "../base/printable.js";
import { GuestMemAccessResult } from "../base/result.js";

/** What can be loaded into: an address space, or a flat RAM from address 0 on. */
export type LoadTarget = AddressSpace | GuestMemory;

/** A stretch of host memory that a stretch of guest addresses stands for. */
export interface Place {
  readonly memory: GuestMemory;
  /** Bytes into the memory. */
  readonly offset: number;
  readonly length: number;
}

/** Why bytes cannot be put where they should go: nothing at `gpa` takes them. */
export interface NoPlace {
  readonly gpa: bigint;
  readonly reason: string;
}

/** Memory at an address, up to its end. */
interface Home {
  readonly gpa: bigint;
  readonly memory: GuestMemory;
}

/**
 * Finds the memory under a range of addresses. RAM and ROM take bytes, and a range may run over
 * several of them that adjoin.
 *
 * @throws TypeError where `target` is neither of the two; GuestMemoryFault where a memory is gone.
 */
export function findPlaces(target: LoadTarget, gpa: bigint, size: bigint): Place[] | NoPlace {
  const homeAt = homesOf(target);
  const places: Place[] = [];
  const end = gpa + size;
  for (let at = gpa; at < end;) {
    const home = homeAt(at);
    if (typeof home === "string") {
      return { gpa: at, reason: home };
    }
    const { memory } = home;
    const last = home.gpa + memory.size;
    const stop = end < last ? end : last;
    const offset = Number(at - home.gpa);
    const length = Number(stop - at);
    // Memory that is gone faults here, before anything has changed.
    const result = guestMemoryInternals(memory).checkRange(offset, length);
    if (result !== GuestMemAccessResult.OK) {
      throw new GuestMemoryFault(result, gpa, Number(size), "write");
    }
    places.push({ memory, offset, length });
    at = stop;
  }
  return places;
}

/** A way to find the memory at an address, or why there is none. */
function homesOf(target: LoadTarget): (gpa: bigint) => Home | string {
  if (isGuestMemory(target)) {
    const home = { gpa: 0n, memory: target };
    return (gpa) => (gpa < target.size ? home : "there is no memory");
  }
  if (!isInstance(target, AddressSpace)) {
    throw typeError("target must be an AddressSpace or a GuestMemory");
  }
  return (gpa) => {
    const region = target.regionAt(gpa);
    switch (region?.kind) {
      case "ram":
      case "rom":
        return region;
      case "mmio":
        return `${printable(region.name)} is a device`;
      default:
        return "there is no memory";
    }
  };
}

/** Puts `bytes` at the start of the places and zeros after them to their end. */
export function fillPlaces(places: readonly Place[], bytes: Uint8Array): void {
  let done = 0;
  for (const { memory, offset, length } of places) {
    const part = bytes.subarray(done, done + length);
    memory.write(offset, part);
    memory.fill(offset + part.length, length - part.length, 0);
    done += part.length;
  }
}
