import { GuestMemAccessResult, resultName } from "./result.js";
import type { Gpa } from "./gpa.js";

/**
 * The `code` of every error this package throws.
 *
 * - `ERR_INVALID_ARG_TYPE` (TypeError): an argument is of the wrong JavaScript type.
 * - `ERR_OUT_OF_RANGE` (RangeError): a number or bigint is outside the range of the argument.
 * - `ERR_INVALID_HANDLE` (TypeError): a handle was not made by this package, or has another kind.
 * - `ERR_ARENA_EXHAUSTED` (RangeError): the arena has too few bytes left.
 * - `ERR_OUT_OF_MEMORY` (Error): the operating system or the runtime refused memory.
 * - `ERR_DESTROYED` (Error): the arena or memory is destroyed, the buffer of an arena, a memory or
 *   an `OpBuffer` is detached, or a `DirtyCursor` is closed.
 * - `ERR_BUSY` (Error): a memory cannot be forked, because other threads write to it all the time.
 * - `ERR_NOT_FORKED` (Error): a memory or space to reset neither is a clone nor was forked.
 * - `ERR_GUEST_MEMORY_FAULT` ({@link GuestMemoryFault}): a guest access did not complete.
 * - `ERR_BAD_IMAGE` (`BadImageError`): a file cannot be loaded into guest memory.
 * - `ERR_SNAPSHOT_INVALID` (`SnapshotFormatError`): a file is not a snapshot, or is damaged.
 * - `ERR_SNAPSHOT_MISMATCH` (Error): a snapshot has other regions than the machine or snapshot that
 *   it is used with.
 * - `ERR_NOT_REGULAR_FILE` (Error): a path names a folder, device, pipe or socket.
 * - `ERR_LACKEY_SYNTAX` (Error): a line of a memory trace is not an access.
 * - `ERR_NO_ADDON` (Error): the native path needs the addon, and none loads in this process.
 * - `ERR_NOT_IMPORTED` (Error): a bundle for browsers lacks this code, because the program does not
 *   import the entry of the package that provides it. Never in Node.js.
 * - `ERR_TRACKING_UNAVAILABLE` (Error): the operating system cannot track the writes to a memory.
 * - `ERR_MAPPED_FILE_LOST` (Error): a file that is mapped as memory was made shorter, or cannot be
 *   read.
 * - `ERR_SHARING_UNAVAILABLE` (Error): the system cannot share memory between processes in this
 *   way.
 */
export type ErrorCode =
  | "ERR_INVALID_ARG_TYPE"
  | "ERR_OUT_OF_RANGE"
  | "ERR_INVALID_HANDLE"
  | "ERR_ARENA_EXHAUSTED"
  | "ERR_OUT_OF_MEMORY"
  | "ERR_DESTROYED"
  | "ERR_BUSY"
  | "ERR_NOT_FORKED"
  | "ERR_GUEST_MEMORY_FAULT"
  | "ERR_BAD_IMAGE"
  | "ERR_SNAPSHOT_INVALID"
  | "ERR_SNAPSHOT_MISMATCH"
  | "ERR_NOT_REGULAR_FILE"
  | "ERR_LACKEY_SYNTAX"
  | "ERR_NO_ADDON"
  | "ERR_NOT_IMPORTED"
  | "ERR_TRACKING_UNAVAILABLE"
  | "ERR_MAPPED_FILE_LOST"
  | "ERR_SHARING_UNAVAILABLE";

/** Whether a guest access was a load or a store. */
export type Operation = "read" | "write";

/**
 * Why a guest access did not complete. A {@link GuestMemAccessResult} says less: most of these are
 * `FAULT_BOUNDARY`.
 *
 * - `hole`: no region has the bytes. For RAM without an address space, and for the bulk methods:
 *   not all bytes are in RAM.
 * - `straddle`: the bytes are not all in one region, or not all unmapped.
 * - `read-only`: a write to ROM, or to a window without the right to write.
 * - `write-only`: a read of a window without the right to read.
 * - `not-executable`: an instruction fetch from a window without the right to execute.
 * - `translation`: the guest's page tables give the access no physical address.
 * - `no-handler`: the device has no handler for the width and direction; or a bulk or atomic access
 *   to a device.
 * - `device`: the handler of the device returned `BUS_ERROR`.
 * - `alignment`: the address is not a multiple of the width. The result is `FAULT_UNALIGNED`.
 * - `destroyed`: the memory is destroyed or detached. The result is `ERROR_INTERNAL`.
 */
export type FaultReason =
  | "hole"
  | "straddle"
  | "read-only"
  | "write-only"
  | "not-executable"
  | "translation"
  | "no-handler"
  | "device"
  | "alignment"
  | "destroyed";

/** The reason of a fault of RAM without an address space. */
export function reasonOfResult(result: GuestMemAccessResult): FaultReason {
  return result === GuestMemAccessResult.FAULT_UNALIGNED
    ? "alignment"
    : result === GuestMemAccessResult.ERROR_INTERNAL
      ? "destroyed"
      : "hole";
}

/** A guest access did not complete. It has changed no guest byte. */
export class GuestMemoryFault extends Error {
  /** The stable identifier of this kind of error. */
  readonly code = "ERR_GUEST_MEMORY_FAULT" satisfies ErrorCode;
  override readonly name = "GuestMemoryFault";

  /**
   * @param result - The result code of the access, never `OK`.
   * @param gpa - The address that the caller passed: guest physical, or virtual if the access was
   * translated.
   * @param width - Bytes of the access: 1, 2, 4 or 8, or the length of a bulk access.
   * @param operation - `"read"` or `"write"`.
   * @param reason - Why the access did not complete. By default, the reason in RAM without an
   * address space.
   */
  constructor(
    readonly result: GuestMemAccessResult,
    readonly gpa: Gpa,
    readonly width: number,
    readonly operation: Operation,
    readonly reason: FaultReason = reasonOfResult(result),
  ) {
    super(`${resultName(result)}: ${operation} of ${width} byte(s) at gpa 0x${gpa.toString(16)}`);
  }
}

/** A TypeError `ERR_INVALID_ARG_TYPE`. */
export function typeError(message: string): TypeError {
  return withCode(new TypeError(message), "ERR_INVALID_ARG_TYPE");
}

/** A RangeError `ERR_OUT_OF_RANGE`. */
export function rangeError(message: string): RangeError {
  return withCode(new RangeError(message), "ERR_OUT_OF_RANGE");
}

/** An Error `ERR_DESTROYED`. */
export function destroyedError(message: string): Error {
  return withCode(new Error(message), "ERR_DESTROYED");
}

/** An Error `ERR_OUT_OF_MEMORY`. */
export function outOfMemoryError(message: string): Error {
  return withCode(new Error(message), "ERR_OUT_OF_MEMORY");
}

/** An Error `ERR_BUSY`. */
export function busyError(message: string): Error {
  return withCode(new Error(message), "ERR_BUSY");
}

/** Sets the `code` of an error. */
export function withCode<E extends Error>(error: E, code: ErrorCode): E {
  return Object.assign(error, { code });
}
