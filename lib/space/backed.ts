import type { Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { GuestMemAccessResult } from "../base/result.js";
import type { GuestMemory, GuestMemoryInternals } from "../memory/guest-memory.js";
import type { RamRegion, RomRegion } from "./regions.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY } = GuestMemAccessResult;

/** A region that shows bytes of a memory. */
export type Backed = RamRegion | RomRegion;

/** A memory with its internals. */
export interface MemoryOfRegion {
  readonly memory: GuestMemory;
  readonly internals: GuestMemoryInternals;
}

export function isAligned(gpa: Gpa, bytes: number): boolean {
  // The bitwise operator uses the low 32 bits of a number, which are exact.
  return (typeof gpa === "number" ? gpa & (bytes - 1) : Number(gpa & BigInt(bytes - 1))) === 0;
}

/**
 * The result of an access to RAM or ROM, apart from its alignment.
 *
 * @param room - The bytes from `offset` on that the region shows one after the other.
 */
export function checkMemory(
  region: Backed,
  offset: number,
  room: number,
  length: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = region.internals.checkRange(offset, Math.min(length, room));
  // An error of the host (destroyed memory) takes precedence over a fault of the guest.
  if (result !== OK) {
    return result;
  }
  const allowed = operation === "read" ? region.readable : region.writable;
  return allowed && length <= room ? OK : FAULT_BOUNDARY;
}

/** The result of an access to RAM or ROM. */
export function checkAligned(
  region: Backed,
  gpa: Gpa,
  offset: number,
  room: number,
  bytes: number,
  operation: Operation,
): GuestMemAccessResult {
  const result = checkMemory(region, offset, room, bytes, operation);
  return result === OK && !isAligned(gpa, bytes) ? FAULT_UNALIGNED : result;
}
