import { checkFunction, checkObject } from "../base/arguments.js";
import type { FaultReason, Operation } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { holeHandlers, type HoleHandlers, type Unmapped } from "./holes.js";

/** A guest access to an address space that did not complete: a `GuestMemoryFault` without a stack. */
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
export interface AddressSpaceOptions {
  /** What unmapped addresses answer. By default, an access to them is `FAULT_BOUNDARY`. */
  readonly unmapped?: Unmapped;
  /**
   * Called for the faults of plain, atomic and bulk accesses on both paths, but not for those of an
   * access that the listener itself makes, nor for one whose memory a watchpoint has destroyed.
   */
  readonly onFault?: FaultListener;
}

/** The options of a space, checked. */
export interface CheckedOptions {
  readonly holes: HoleHandlers;
  readonly onFault: FaultListener | null;
}

/** @throws TypeError, RangeError for invalid options. */
export function checkSpaceOptions(options: AddressSpaceOptions): CheckedOptions {
  const { unmapped, onFault } = checkObject(options, "options");
  return {
    holes: holeHandlers(unmapped),
    onFault: onFault === undefined ? null : checkFunction(onFault, "onFault"),
  };
}
