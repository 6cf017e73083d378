import { checkObject, toByteCount } from "../base/arguments.js";
import { rangeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { checkPageSize, DEFAULT_PAGE_SIZE } from "./page-table.js";

/** Options of an {@link AddressSpace}. */
export interface AddressSpaceOptions {
  /**
   * Bytes of a page of the page table: a power of two from 256 to 65536; 4096 by default. Accesses
   * to a page that belongs to more than one region take the slow path, and so do those to a page
   * with a watchpoint. Small pages are for small address spaces.
   */
  readonly pageSize?: number;
  /**
   * Bytes of an arena from which {@link AddressSpace.addRam} and {@link AddressSpace.addRom} take
   * the memory that they allocate, while it has room; at most 4 GiB. All regions with memory in the
   * arena are equally fast. Without an arena, the memory of the largest RAM region is the fastest,
   * and accesses to other memories take about twice as long.
   */
  readonly arena?: Gpa;
}

/** The checked options. */
export interface SpaceSettings {
  readonly pageSize: number;
  /** Bytes; 0 for no arena. */
  readonly arena: number;
}

const MAX_ARENA = 2 ** 32;

/** @throws TypeError, RangeError for invalid options. */
export function checkSpaceOptions(options: AddressSpaceOptions): SpaceSettings {
  const { pageSize = DEFAULT_PAGE_SIZE, arena = 0 } = checkObject(options, "options");
  const bytes = toByteCount(arena, "arena");
  if (bytes > MAX_ARENA) {
    throw rangeError("arena must be at most 2^32 bytes");
  }
  return { pageSize: checkPageSize(pageSize), arena: bytes };
}
