import type { GuestAccessors } from "../base/access.js";
import type { MmioDevice } from "./mmio.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { BYTE, LONG, QUAD, WORD, type Out, type Value, type Width } from "../base/widths.js";

/** How an address space forwards an access of one width to memory or to a device. */
export interface SpaceWidth<T extends Value, A extends Out> {
  readonly width: Width<T, A>;
  readonly bytes: 1 | 2 | 4 | 8;
  /** Holds a value in transit. Read it before any other call, which may overwrite it. */
  readonly scratch: A;
  tryRead(access: GuestAccessors, gpa: number, out: A): GuestMemAccessResult;
  tryWrite(access: GuestAccessors, gpa: number, value: T): GuestMemAccessResult;
  /** Whether a device has the handler for reads of this width; `writes`, for writes. */
  reads(device: MmioDevice): boolean;
  writes(device: MmioDevice): boolean;
  /** Calls the handler, which the device must have. */
  read(device: MmioDevice, offset: number): unknown;
  write(device: MmioDevice, offset: number, value: T): void;
}

export const SPACE_BYTE: SpaceWidth<number, Uint8Array> = {
  width: BYTE,
  bytes: 1,
  scratch: new Uint8Array(1),
  tryRead: (access, gpa, out) => access.tryReadb(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWriteb(gpa, value),
  reads: (device) => device.readb !== undefined,
  writes: (device) => device.writeb !== undefined,
  read: (device, offset) => device.readb!(offset),
  write: (device, offset, value) => device.writeb!(offset, value),
};

export const SPACE_WORD: SpaceWidth<number, Uint16Array> = {
  width: WORD,
  bytes: 2,
  scratch: new Uint16Array(1),
  tryRead: (access, gpa, out) => access.tryReadw(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWritew(gpa, value),
  reads: (device) => device.readw !== undefined,
  writes: (device) => device.writew !== undefined,
  read: (device, offset) => device.readw!(offset),
  write: (device, offset, value) => device.writew!(offset, value),
};

export const SPACE_LONG: SpaceWidth<number, Uint32Array> = {
  width: LONG,
  bytes: 4,
  scratch: new Uint32Array(1),
  tryRead: (access, gpa, out) => access.tryReadl(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWritel(gpa, value),
  reads: (device) => device.readl !== undefined,
  writes: (device) => device.writel !== undefined,
  read: (device, offset) => device.readl!(offset),
  write: (device, offset, value) => device.writel!(offset, value),
};

export const SPACE_QUAD: SpaceWidth<bigint, BigUint64Array> = {
  width: QUAD,
  bytes: 8,
  scratch: new BigUint64Array(1),
  tryRead: (access, gpa, out) => access.tryReadq(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWriteq(gpa, value),
  reads: (device) => device.readq !== undefined,
  writes: (device) => device.writeq !== undefined,
  read: (device, offset) => device.readq!(offset),
  write: (device, offset, value) => device.writeq!(offset, value),
};
