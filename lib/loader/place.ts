import { AddressSpace } from "../space/address-space.js";
import { GuestMemoryFault, typeError } from "../base/errors.js";
import { isInstance } from "../base/arguments.js";
import { type GuestMemory, guestMemoryInternals, isGuestMemory } from "../memory/guest-memory.js";
import { printable } from "../base/printable.js";
import { GuestMemAccessResult } from "../base/result.js";

/** The target of a load: an address space, or RAM that starts at address 0. */
export type LoadTarget = AddressSpace | GuestMemory;

/** A range of one memory that backs a range of guest addresses. */
export interface Place {
  readonly memory: GuestMemory;
  /** Offset in the memory, in bytes. */
  readonly offset: number;
  readonly length: number;
}

/** The first address of a range that has no RAM or ROM, and the reason. */
export interface NoPlace {
  readonly gpa: bigint;
  readonly reason: string;
}

/**
 * Finds the memory of a range of guest addresses. It may span several adjacent regions of RAM and
 * ROM.
 *
 * @throws TypeError if `target` is no load target; GuestMemoryFault if a memory is destroyed.
 */
export function findPlaces(target: LoadTarget, gpa: bigint, size: bigint): Place[] | NoPlace {
  const placeAt = placesOf(target);
  const places: Place[] = [];
  const end = gpa + size;
  for (let at = gpa; at < end;) {
    const place = placeAt(at);
    if (typeof place === "string") {
      return { gpa: at, reason: place };
    }
    const { memory, offset } = place;
    const left = end - at;
    const length = left < place.length ? Number(left) : place.length;
    // Memory that is destroyed faults here, before anything has changed.
    const result = guestMemoryInternals(memory).checkRange(offset, length);
    if (result !== GuestMemAccessResult.OK) {
      throw new GuestMemoryFault(result, gpa, Number(size), "write");
    }
    places.push({ memory, offset, length });
    at += BigInt(length);
  }
  return places;
}

/**
 * A function that finds the memory from an address on, up to the end of the bytes that are adjacent
 * in it. The function returns the reason if there is none.
 */
function placesOf(target: LoadTarget): (gpa: bigint) => Place | string {
  if (isGuestMemory(target)) {
    return (gpa) =>
      gpa < target.size
        ? { memory: target, offset: Number(gpa), length: Number(target.size - gpa) }
        : "there is no memory";
  }
  if (!isInstance(target, AddressSpace)) {
    throw typeError("target must be an AddressSpace or a GuestMemory");
  }
  return (gpa) => {
    const found = target.locate(gpa);
    if (found === null) {
      return "there is no memory";
    }
    const { region, offset, room } = found;
    return region.kind === "mmio"
      ? `${printable(region.name)} is a device`
      : { memory: region.memory, offset, length: room };
  };
}

/** Writes parts, one after the other, to the start of the places, and zeros to the rest. */
export function fillPlaces(places: readonly Place[], parts: Iterable<Uint8Array>): void {
  let index = 0;
  /** The bytes of the place at `index` that are written. */
  let used = 0;
  for (const part of parts) {
    for (let done = 0; done < part.length;) {
      const { memory, offset, length } = places[index]!;
      const count = Math.min(part.length - done, length - used);
      memory.write(offset + used, part.subarray(done, done + count));
      done += count;
      used += count;
      if (used === length) {
        index++;
        used = 0;
      }
    }
  }
  for (const { memory, offset, length } of places.slice(index)) {
    memory.fill(offset + used, length - used, 0);
    used = 0;
  }
}
