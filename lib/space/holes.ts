import { checkFunction, checkObject } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { type Gpa, MAX_U64 } from "../base/gpa.js";
import type { Value } from "../base/widths.js";
import type { AccessWidth, BusError } from "./mmio.js";

/**
 * Reads an unmapped address.
 *
 * @param gpa - A number up to 2^53 - 1, a bigint above.
 * @param width - Bytes.
 * @returns A number below 2^(8 width), for 8 bytes a bigint; or `BUS_ERROR` for `FAULT_BOUNDARY`.
 */
export type UnmappedRead = (gpa: Gpa, width: AccessWidth) => number | bigint | BusError;

/**
 * Writes to an unmapped address. The parameters are those of {@link UnmappedRead}.
 *
 * @returns `BUS_ERROR` for `FAULT_BOUNDARY`; any other value is ignored.
 */
export type UnmappedWrite = (gpa: Gpa, value: number | bigint, width: AccessWidth) => unknown;

/**
 * What unmapped addresses answer to plain accesses. Bulk and atomic accesses to them fault, and so
 * does an access that touches a region too.
 */
export interface Unmapped {
  /**
   * The value of every read, or a handler. Of a value, a read returns the low `8 width` bits in
   * two's complement: -1 reads as all ones at every width, 0xffff_ffff as all ones up to 4 bytes
   * and as 0x0000_0000_ffff_ffff at 8. From -2^63 to 2^64 - 1; a number must be a safe integer.
   *
   * By default, reads fault.
   */
  readonly read?: number | bigint | UnmappedRead;
  /** `"ignore"`, or a handler. By default, writes fault. */
  readonly write?: "ignore" | UnmappedWrite;
}

/** The handlers of unmapped addresses; null if the access faults. */
export interface HoleHandlers {
  readonly read: UnmappedRead | null;
  readonly write: UnmappedWrite | null;
}

/** @throws TypeError, RangeError if `unmapped` is not an `Unmapped`. */
export function holeHandlers(unmapped: Unmapped = {}): HoleHandlers {
  const { read, write } = checkObject(unmapped, "unmapped");
  return {
    read:
      read === undefined || typeof read === "function" ? (read ?? null) : readerOf(toPattern(read)),
    write:
      write === undefined
        ? null
        : write === "ignore"
          ? () => undefined
          : checkFunction(write, 'unmapped.write, if it is not "ignore",'),
  };
}

function toPattern(value: unknown): bigint {
  if (typeof value !== "number" && typeof value !== "bigint") {
    throw typeError("unmapped.read must be a number, a bigint or a function");
  }
  if (typeof value === "number" && !Number.isSafeInteger(value)) {
    throw rangeError("unmapped.read must be a safe integer or a bigint");
  }
  if (value < -(2n ** 63n) || value > MAX_U64) {
    throw rangeError("unmapped.read must be from -2^63 to 2^64 - 1");
  }
  return BigInt.asUintN(64, BigInt(value));
}

function readerOf(pattern: bigint): UnmappedRead {
  const values: Record<AccessWidth, Value> = {
    1: Number(BigInt.asUintN(8, pattern)),
    2: Number(BigInt.asUintN(16, pattern)),
    4: Number(BigInt.asUintN(32, pattern)),
    8: pattern,
  };
  return (_gpa, width) => values[width];
}
