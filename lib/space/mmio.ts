import { typeError } from "../base/errors.js";
import { checkObject } from "../base/arguments.js";

/**
 * A device's registers, as a guest reaches them: one handler for each width and direction.
 *
 * Every handler is optional, and an access that has none is `FAULT_BOUNDARY`, as a bus error. They
 * are called as methods of the device, with the offset in bytes from the start of its region, which
 * is aligned to the width. Values are unsigned. What a handler throws is thrown by the access.
 *
 * A handler may itself access the space, and may add and remove regions, its own included.
 */
export interface MmioDevice {
  /** Gives 8 bits, from 0 to 2^8 - 1. */
  readb?(offset: number): number;
  /** Gives 16 bits, from 0 to 2^16 - 1. */
  readw?(offset: number): number;
  /** Gives 32 bits, from 0 to 2^32 - 1. */
  readl?(offset: number): number;
  /** Gives 64 bits, from 0 to 2^64 - 1. */
  readq?(offset: number): bigint;
  writeb?(offset: number, value: number): void;
  writew?(offset: number, value: number): void;
  writel?(offset: number, value: number): void;
  writeq?(offset: number, value: bigint): void;
}

const HANDLERS = [
  "readb",
  "readw",
  "readl",
  "readq",
  "writeb",
  "writew",
  "writel",
  "writeq",
] as const satisfies readonly (keyof MmioDevice)[];

/**
 * Checks that a device is an object whose handlers are functions.
 *
 * @throws TypeError where it is not.
 */
export function checkDevice(device: MmioDevice): MmioDevice {
  checkObject(device, "device");
  for (const name of HANDLERS) {
    if (device[name] !== undefined && typeof device[name] !== "function") {
      throw typeError(`${name} of the device must be a function`);
    }
  }
  return device;
}
