import { typeError } from "../base/errors.js";
import { checkObject } from "../base/arguments.js";

/**
 * The registers of a device: one handler for each width and direction of access.
 *
 * Every handler is optional. An access without a handler is `FAULT_BOUNDARY`, like a bus error. A
 * handler is called as a method of the device, with the offset in bytes from the start of the
 * region. The offset is aligned to the width of the access, and the value of a write is unsigned. If a handler
 * throws, the access throws the same error.
 *
 * A handler may access the space, and may add and remove regions, including its own.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 *
 * const timer = {
 *   compare: 0,
 *   readl: (offset) => (offset === 0 ? Math.floor(performance.now()) : 0),
 *   writel(offset, value) {
 *     if (offset === 4) this.compare = value;
 *   },
 * };
 * const space = new AddressSpace();
 * space.addMmio(0x1000_0000, 8, timer);
 * space.writel(0x1000_0004, 500);
 * console.log(timer.compare); // 500
 * ```
 */
export interface MmioDevice {
  /** Returns 8 bits, from -2^7 to 2^8 - 1. */
  readb?(offset: number): number;
  /** Returns 16 bits, from -2^15 to 2^16 - 1. */
  readw?(offset: number): number;
  /** Returns 32 bits, from -2^31 to 2^32 - 1. */
  readl?(offset: number): number;
  /** Returns 64 bits, from -2^63 to 2^64 - 1. */
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
 * @throws TypeError if it is not.
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
