import { rangeError, typeError } from "../base/errors.js";
import { checkFunction, checkObject } from "../base/arguments.js";
import type { StatefulDevice } from "../snapshot/stateful-device.js";

/**
 * The answer of a handler that refuses an access: the access is `FAULT_BOUNDARY`, like a bus error,
 * with the reason `device`.
 *
 * @example
 * ```js
 * import { AddressSpace, BUS_ERROR } from "pound-guest-memory";
 *
 * const space = new AddressSpace();
 * space.addMmio(0, 8, { readl: (offset) => (offset === 0 ? 7 : BUS_ERROR) });
 * console.log(space.readl(0)); // 7
 * console.log(space.tryReadl(4, new Uint32Array(1))); // 2: FAULT_BOUNDARY
 * console.log(space.lastFault.reason); // device
 * ```
 */
// From the registry of symbols, because a program may load the package twice, as ESM and CommonJS.
export const BUS_ERROR = Symbol.for("pound-guest-memory.BUS_ERROR") as BusError;

/**
 * The type of {@link BUS_ERROR}. It is no `unique symbol`, because TypeScript infers `symbol` for a
 * method that returns one.
 */
export type BusError = symbol & { readonly isBusError: true };

/** Bytes of an access. */
export type AccessWidth = 1 | 2 | 4 | 8;

/**
 * Called for each plain write to a region of ROM, instead of a fault. Reads stay accesses to
 * memory. It may change the memory, for instance by `region.memory.writeb`, or the map.
 *
 * @param offset - Offset in bytes from the start of the region.
 * @param value - A number below 2^(8 width); for 8 bytes, a bigint.
 * @param width - Bytes.
 * @returns `BUS_ERROR` for `FAULT_BOUNDARY`; any other value is ignored.
 */
export type WriteTrap = (offset: number, value: number | bigint, width: AccessWidth) => unknown;

/**
 * The widths that the handlers of a device implement, and how the accesses of other widths are
 * made. Registers are counted from the start of the region, in the byte order of the space.
 */
export interface MmioImplementation {
  /**
   * The narrowest access that the handlers get, in bytes: 1, the default, 2, 4 or 8. The address
   * and the size of the region must be multiples of it.
   *
   * A narrower read reads the whole register of `min` bytes and extracts the bytes of the access.
   * `narrowWrites` says what a narrower write does.
   */
  readonly min?: AccessWidth;
  /**
   * The widest access that the handlers get, in bytes: 1, 2, 4 or 8, the default, and at least
   * `min`. A wider access becomes several calls, at ascending offsets. With a `max` of 4 or less,
   * no handler gets or returns a bigint.
   */
  readonly max?: AccessWidth;
  /**
   * What a write narrower than `min` writes to the register that contains it. By default, such a
   * write is `FAULT_BOUNDARY`, with the reason `no-handler`.
   *
   * - `"shift"`: the value in its byte lanes, and zeros in the others, without a read.
   * - `"replicate"`: the value in all byte lanes, as buses that replicate narrow writes do.
   * - `"merge"`: reads the register, replaces the bytes of the access, and writes it back. The read
   *   has the effects of any read.
   */
  readonly narrowWrites?: "shift" | "replicate" | "merge";
}

/**
 * The registers of a device: one handler for each width and direction of access, or one for all
 * widths.
 *
 * Every handler is optional. An access without a handler is `FAULT_BOUNDARY`, like a bus error. A
 * handler is called as a method of the device, with the offset in bytes from the start of the
 * region. The address of an access is a multiple of its width, and the value of a write is
 * unsigned. A handler that returns {@link BUS_ERROR} refuses the access; any other value that a
 * handler for writes returns is ignored. If a handler throws, the access throws the same error.
 *
 * {@link AddressSpace.addMmio} reads the handlers and `impl` once; later changes of these
 * properties have no effect. `readb`, `readw`, `readl` and `readq` have priority over `read`, and
 * `writeb`, `writew`, `writel` and `writeq` over `write`.
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
export interface MmioDevice extends StatefulDevice {
  /** Returns 8 bits, from -2^7 to 2^8 - 1. */
  readb?(offset: number): number | BusError;
  /** Returns 16 bits, from -2^15 to 2^16 - 1. */
  readw?(offset: number): number | BusError;
  /** Returns 32 bits, from -2^31 to 2^32 - 1. */
  readl?(offset: number): number | BusError;
  /** Returns 64 bits, from -2^63 to 2^64 - 1. */
  readq?(offset: number): bigint | BusError;
  writeb?(offset: number, value: number): unknown;
  writew?(offset: number, value: number): unknown;
  writel?(offset: number, value: number): unknown;
  writeq?(offset: number, value: bigint): unknown;
  /**
   * Reads of every width without a handler of its own.
   *
   * @param width - Bytes.
   * @returns A number from -2^(8 width - 1) to 2^(8 width) - 1; for 8 bytes, a bigint.
   */
  read?(offset: number, width: AccessWidth): number | bigint | BusError;
  /**
   * Writes of every width without a handler of its own.
   *
   * @param value - A number below 2^(8 width); for 8 bytes, a bigint.
   * @param width - Bytes.
   */
  write?(offset: number, value: number | bigint, width: AccessWidth): unknown;
  /** The widths that the handlers implement. By default, no access is split or extracted. */
  readonly impl?: MmioImplementation;
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
  "read",
  "write",
] as const satisfies readonly (keyof MmioDevice)[];

/** A handler of any kind, as it was when its device was mapped. */
export type AnyHandler = (offset: number, ...rest: unknown[]) => unknown;

/** The handlers that a device has. */
export type DeviceHandlers = Partial<Record<(typeof HANDLERS)[number], AnyHandler>>;

/**
 * Reads the handlers of a device, each property once.
 *
 * @throws TypeError if the device is not an object, or if a handler is not a function.
 */
export function readHandlers(device: MmioDevice): DeviceHandlers {
  checkObject(device, "device");
  const found: DeviceHandlers = {};
  for (const name of HANDLERS) {
    const handler: unknown = device[name];
    if (handler !== undefined) {
      found[name] = checkFunction(handler, `${name} of the device`) as AnyHandler;
    }
  }
  return found;
}

/** `impl` of a device, with the defaults filled in. */
export interface Implementation {
  readonly min: AccessWidth;
  readonly max: AccessWidth;
  readonly narrowWrites: "shift" | "replicate" | "merge" | null;
}

/**
 * Checks `impl` of a device.
 *
 * @throws TypeError, RangeError if it is not an `MmioImplementation`.
 */
export function checkImplementation(impl: MmioImplementation = {}): Implementation {
  const { min = 1, max = 8, narrowWrites } = checkObject(impl, "impl of the device");
  checkWidth(min, "impl.min");
  checkWidth(max, "impl.max");
  if (min > max) {
    throw rangeError("impl.min must be at most impl.max");
  }
  if (
    narrowWrites !== undefined &&
    narrowWrites !== "shift" &&
    narrowWrites !== "replicate" &&
    narrowWrites !== "merge"
  ) {
    throw typeError('impl.narrowWrites must be "shift", "replicate" or "merge"');
  }
  return { min, max, narrowWrites: narrowWrites ?? null };
}

function checkWidth(width: unknown, what: string): void {
  if (typeof width !== "number") {
    throw typeError(`${what} must be a number`);
  }
  if (width !== 1 && width !== 2 && width !== 4 && width !== 8) {
    throw rangeError(`${what} must be 1, 2, 4 or 8`);
  }
}
