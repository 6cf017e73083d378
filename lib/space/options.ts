import { checkBooleans, checkFunction, checkObject, toByteCount } from "../base/arguments.js";
import { type FaultReason, type Operation, rangeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { type AccessPolicy, checkPolicy } from "../base/policy.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { checkPageSize, DEFAULT_PAGE_SIZE } from "./page-table.js";
import { holeHandlers, type HoleHandlers, type Unmapped } from "./holes.js";

/**
 * A guest access to an address space that did not complete: a `GuestMemoryFault` without a stack.
 */
export interface AccessFault {
  /** Never `OK`. */
  readonly result: GuestMemAccessResult;
  /** The guest physical address that the caller passed. */
  readonly gpa: Gpa;
  /** Bytes of the access: 1, 2, 4 or 8, or the length of a bulk access. */
  readonly width: number;
  readonly operation: Operation;
  readonly reason: FaultReason;
}

/**
 * Called before the fault of an access is returned or thrown. It may change the map, and return
 * `"retry"` to make the access once more. If that faults too, the fault is final.
 *
 * If the listener throws, the access throws the same error.
 */
export type FaultListener = (fault: AccessFault) => "retry" | undefined;

/** Options of the constructor of {@link AddressSpace}. */
export interface AddressSpaceOptions extends AccessPolicy {
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
  /**
   * As {@link ArenaOptions.forkable}, for all memory that the space allocates: its arena and the
   * memories of {@link AddressSpace.addRam} and {@link AddressSpace.addRom}; false by default.
   */
  readonly forkable?: boolean;
  /** What unmapped addresses answer. By default, an access to them is `FAULT_BOUNDARY`. */
  readonly unmapped?: Unmapped;
  /**
   * Called for the faults of plain, atomic and bulk accesses on both paths, but not for those of an
   * access that the listener itself makes, nor for one whose memory a watchpoint has destroyed.
   */
  readonly onFault?: FaultListener;
}

const MAX_ARENA = 2 ** 32;

/** The options of a space, checked. */
export interface SpaceSettings {
  readonly pageSize: number;
  /** Bytes; 0 for no arena. */
  readonly arena: number;
  readonly forkable: boolean;
  readonly holes: HoleHandlers;
  readonly onFault: FaultListener | null;
  readonly policy: Readonly<Required<AccessPolicy>>;
}

/** @throws TypeError, RangeError for invalid options. */
export function checkSpaceOptions(options: AddressSpaceOptions): SpaceSettings {
  const {
    pageSize = DEFAULT_PAGE_SIZE,
    arena = 0,
    forkable = false,
    unmapped,
    onFault,
  } = checkObject(options, "options");
  const policy = Object.freeze(checkPolicy(options));
  const bytes = toByteCount(arena, "arena");
  if (bytes > MAX_ARENA) {
    throw rangeError("arena must be at most 2^32 bytes");
  }
  checkBooleans({ forkable });
  return {
    pageSize: checkPageSize(pageSize),
    arena: bytes,
    forkable,
    holes: holeHandlers(unmapped),
    onFault: onFault === undefined ? null : checkFunction(onFault, "onFault"),
    policy,
  };
}
