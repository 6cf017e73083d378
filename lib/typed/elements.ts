import type { GuestAccessors } from "../base/access.js";
import { rangeError, typeError } from "../base/errors.js";
import { checkObject } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";

/** Element types whose values are numbers. */
export type NumberElement = "u8" | "u16" | "u32" | "i8" | "i16" | "i32" | "f32" | "f64";

/** Element types whose values are bigints. */
export type BigintElement = "u64" | "i64";

/** The type of a scalar in guest RAM: `u`nsigned, `i`nteger (signed) or `f`loat, and its bits. */
export type ElementType = NumberElement | BigintElement;

/** The JavaScript type of an element's value. */
export type ElementValue<E extends ElementType> = E extends BigintElement ? bigint : number;

/** Reads and writes one element through the throwing accessors, with all their checks. */
export interface Codec<V extends number | bigint> {
  /** Size and alignment in bytes. */
  readonly bytes: 1 | 2 | 4 | 8;
  get(memory: GuestAccessors, gpa: Gpa): V;
  set(memory: GuestAccessors, gpa: Gpa, value: V): void;
}

// Converts one value at a time between a float and its bits.
const f32 = new Float32Array(1);
const f32Bits = new Uint32Array(f32.buffer);
const f64 = new Float64Array(1);
const f64Bits = new BigUint64Array(f64.buffer);

function checkSigned(value: number, bits: number): void {
  if (typeof value !== "number") {
    throw typeError("value must be a number");
  }
  const limit = 2 ** (bits - 1);
  if (!Number.isInteger(value) || value < -limit || value >= limit) {
    throw rangeError(`value must be an integer from ${-limit} to ${limit - 1}`);
  }
}

/** Refuses the negative values that the accessors would take. They check everything else. */
function checkUnsigned(value: number | bigint, bits: number): void {
  if ((typeof value === "number" || typeof value === "bigint") && value < 0) {
    throw rangeError(`value must be an integer from 0 to 2^${bits} - 1`);
  }
}

function checkSigned64(value: bigint): void {
  if (typeof value !== "bigint") {
    throw typeError("value must be a bigint");
  }
  if (BigInt.asIntN(64, value) !== value) {
    throw rangeError("value must be from -2^63 to 2^63 - 1");
  }
}

function checkFloat(value: number): void {
  if (typeof value !== "number") {
    throw typeError("value must be a number");
  }
}

const CODECS: { readonly [E in ElementType]: Codec<ElementValue<E>> } = {
  u8: {
    bytes: 1,
    get: (memory, gpa) => memory.readb(gpa),
    set(memory, gpa, value) {
      checkUnsigned(value, 8);
      memory.writeb(gpa, value);
    },
  },
  u16: {
    bytes: 2,
    get: (memory, gpa) => memory.readw(gpa),
    set(memory, gpa, value) {
      checkUnsigned(value, 16);
      memory.writew(gpa, value);
    },
  },
  u32: {
    bytes: 4,
    get: (memory, gpa) => memory.readl(gpa),
    set(memory, gpa, value) {
      checkUnsigned(value, 32);
      memory.writel(gpa, value);
    },
  },
  u64: {
    bytes: 8,
    get: (memory, gpa) => memory.readq(gpa),
    set(memory, gpa, value) {
      checkUnsigned(value, 64);
      memory.writeq(gpa, value);
    },
  },
  i8: {
    bytes: 1,
    get: (memory, gpa) => (memory.readb(gpa) << 24) >> 24,
    set(memory, gpa, value) {
      checkSigned(value, 8);
      memory.writeb(gpa, value & 0xff);
    },
  },
  i16: {
    bytes: 2,
    get: (memory, gpa) => (memory.readw(gpa) << 16) >> 16,
    set(memory, gpa, value) {
      checkSigned(value, 16);
      memory.writew(gpa, value & 0xffff);
    },
  },
  i32: {
    bytes: 4,
    get: (memory, gpa) => memory.readl(gpa) | 0,
    set(memory, gpa, value) {
      checkSigned(value, 32);
      memory.writel(gpa, value >>> 0);
    },
  },
  i64: {
    bytes: 8,
    get: (memory, gpa) => BigInt.asIntN(64, memory.readq(gpa)),
    set(memory, gpa, value) {
      checkSigned64(value);
      memory.writeq(gpa, BigInt.asUintN(64, value));
    },
  },
  f32: {
    bytes: 4,
    get(memory, gpa) {
      f32Bits[0] = memory.readl(gpa);
      return f32[0]!;
    },
    set(memory, gpa, value) {
      checkFloat(value);
      f32[0] = value;
      memory.writel(gpa, f32Bits[0]!);
    },
  },
  f64: {
    bytes: 8,
    get(memory, gpa) {
      f64Bits[0] = memory.readq(gpa);
      return f64[0]!;
    },
    set(memory, gpa, value) {
      checkFloat(value);
      f64[0] = value;
      memory.writeq(gpa, f64Bits[0]!);
    },
  },
};

/**
 * The codec of an element type.
 *
 * @throws TypeError if there is no such type.
 */
export function codecOf<E extends ElementType>(type: E): Codec<ElementValue<E>> {
  if (typeof type !== "string" || !Object.hasOwn(CODECS, type)) {
    throw typeError(`type must be one of ${Object.keys(CODECS).join(", ")}`);
  }
  return CODECS[type];
}

/**
 * Checks that a value has the accessors that codecs use.
 *
 * @throws TypeError if it lacks one.
 */
export function checkAccessors(memory: GuestAccessors): GuestAccessors {
  if (typeof checkObject(memory, "memory").readb !== "function") {
    throw typeError("memory must be guest memory, by either path, or an address space");
  }
  return memory;
}
