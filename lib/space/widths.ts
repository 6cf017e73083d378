import type { GuestAccessors } from "../base/access.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { BYTE, LONG, QUAD, WORD, type Out, type Value, type Width } from "../base/widths.js";

/** How an address space forwards an access of one width to memory or to a device. */
export interface SpaceWidth<T extends Value, A extends Out> {
  readonly width: Width<T, A>;
  readonly bytes: 1 | 2 | 4 | 8;
  /** The binary logarithm of `bytes`. */
  readonly log2: 0 | 1 | 2 | 3;
  /** The bits of a value that is a number, as a signed 32-bit integer; 0 if values are bigints. */
  readonly mask: number;
  /** Holds a value in transit. Read it before any other call, which may overwrite it. */
  readonly scratch: A;
  tryRead(access: GuestAccessors, gpa: number, out: A): GuestMemAccessResult;
  tryWrite(access: GuestAccessors, gpa: number, value: T): GuestMemAccessResult;
}

export const SPACE_BYTE: SpaceWidth<number, Uint8Array> = {
  width: BYTE,
  bytes: 1,
  log2: 0,
  mask: 0xff,
  scratch: new Uint8Array(1),
  tryRead: (access, gpa, out) => access.tryReadb(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWriteb(gpa, value),
};

export const SPACE_WORD: SpaceWidth<number, Uint16Array> = {
  width: WORD,
  bytes: 2,
  log2: 1,
  mask: 0xffff,
  scratch: new Uint16Array(1),
  tryRead: (access, gpa, out) => access.tryReadw(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWritew(gpa, value),
};

export const SPACE_LONG: SpaceWidth<number, Uint32Array> = {
  width: LONG,
  bytes: 4,
  log2: 2,
  mask: -1,
  scratch: new Uint32Array(1),
  tryRead: (access, gpa, out) => access.tryReadl(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWritel(gpa, value),
};

export const SPACE_QUAD: SpaceWidth<bigint, BigUint64Array> = {
  width: QUAD,
  bytes: 8,
  log2: 3,
  mask: 0,
  scratch: new BigUint64Array(1),
  tryRead: (access, gpa, out) => access.tryReadq(gpa, out),
  tryWrite: (access, gpa, value) => access.tryWriteq(gpa, value),
};
