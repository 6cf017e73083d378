import type { GuestMemoryAccess } from "../base/access.js";
import { bytesOf } from "../base/view.js";
import { destroyedError, outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { checkFunction, checkObject, toByteCount } from "../base/arguments.js";
import { type Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { BYTE } from "../base/widths.js";

/** The eight accessors, as operations of a batch name them. */
export const OpKind = {
  READB: 0,
  READW: 1,
  READL: 2,
  READQ: 3,
  WRITEB: 4,
  WRITEW: 5,
  WRITEL: 6,
  WRITEQ: 7,
} as const;

/** One of the values of {@link OpKind}: the low two bits are log2 of the width, bit 2 a write. */
export type OpKind = (typeof OpKind)[keyof typeof OpKind];

/** Bytes of one packed operation. */
export const OP_SIZE = 24;

const VALUE = 8;
const KIND = 16;
const RESULT = 17;

/** The methods that a batch is made of: all that a memory needs to be checked against another. */
export type TryAccess = Pick<
  GuestMemoryAccess,
  | "tryReadb"
  | "tryReadw"
  | "tryReadl"
  | "tryReadq"
  | "tryWriteb"
  | "tryWritew"
  | "tryWritel"
  | "tryWriteq"
>;

/**
 * Checks that a memory has the methods that a batch is made of.
 *
 * @param what - Names it in the error.
 * @throws TypeError where it does not.
 */
export function checkTryAccess(memory: TryAccess, what: string): TryAccess {
  const methods = checkObject(memory, what);
  for (const width of ["b", "w", "l", "q"] as const) {
    checkFunction(methods[`tryRead${width}`], `tryRead${width} of ${what}`);
    checkFunction(methods[`tryWrite${width}`], `tryWrite${width} of ${what}`);
  }
  return memory;
}

/** One operation, unpacked. */
export interface Op {
  readonly kind: OpKind;
  readonly gpa: bigint;
  /** What a write writes; of a read, 0 before and what it read after. */
  readonly value: bigint;
}

/** Bytes that an operation of this kind accesses. */
export function opWidth(kind: OpKind): 1 | 2 | 4 | 8 {
  return (1 << (kind & 3)) as 1 | 2 | 4 | 8;
}

/** Whether an operation of this kind writes. */
export function opWrites(kind: OpKind): boolean {
  return kind >= OpKind.WRITEB;
}

/**
 * Operations packed for one call of `memory.native.run`.
 *
 * Each takes 24 bytes, little-endian: the address (u64), the value (u64), the {@link OpKind} (u8),
 * the result code (u8, set by the run) and six bytes of zero. A read sets the value, and leaves it
 * alone on a fault. An operation of no known kind, which only packed bytes can hold, does nothing and
 * is `ERROR_INTERNAL`.
 */
export class OpBuffer {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #capacity: number;
  #length = 0;

  /**
   * @param capacity - The most operations that it can hold.
   * @throws TypeError, RangeError for an invalid capacity; Error `ERR_OUT_OF_MEMORY`.
   */
  constructor(capacity: number) {
    this.#bytes = newBytes(toByteCount(capacity, "capacity"));
    this.#capacity = capacity;
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Operations held. */
  get length(): number {
    return this.#length;
  }

  /** The most operations that it can hold. */
  get capacity(): number {
    return this.#capacity;
  }

  /**
   * The packed operations themselves: not a copy.
   *
   * @throws Error `ERR_DESTROYED` where their buffer was detached.
   */
  get bytes(): Uint8Array {
    this.#checkAttached();
    return this.#bytes.subarray(0, this.#length * OP_SIZE);
  }

  /**
   * What is to be run, whatever a class that extends this one says.
   *
   * @throws TypeError where `ops` is no {@link OpBuffer}; as {@link OpBuffer.bytes}.
   * @internal
   */
  static bytesOf(ops: unknown): Uint8Array {
    if (typeof ops !== "object" || ops === null || !(#bytes in ops)) {
      throw typeError("ops must be an OpBuffer");
    }
    ops.#checkAttached();
    return ops.#bytes.subarray(0, ops.#length * OP_SIZE);
  }

  /** Whether there is no room for another operation. */
  get full(): boolean {
    return this.#length === this.#capacity;
  }

  /** Forgets all operations. */
  clear(): void {
    this.#length = 0;
  }

  /**
   * Adds an operation.
   *
   * @param gpa - From 0 to 2^64 - 1; of a bigint, the low 64 bits.
   * @param value - What a write writes, as `gpa`; the run cuts it down to its width.
   * @throws TypeError; RangeError where it is full, where there is no such kind, and for a number that
   * is no integer from 0 to 2^53 - 1; Error `ERR_DESTROYED` where the bytes were detached.
   */
  push(kind: OpKind, gpa: Gpa, value: Gpa = 0): void {
    if (typeof kind !== "number") {
      throw typeError("kind must be one of OpKind");
    }
    if ((kind & 7) !== kind) {
      throw rangeError("kind must be one of OpKind");
    }
    checkU64(gpa, "gpa");
    checkU64(value, "value");
    if (this.#length === this.#capacity) {
      throw rangeError(`the buffer holds no more than ${this.#capacity} operations`);
    }
    this.#checkAttached();
    const at = this.#length++ * OP_SIZE;
    this.#setU64(at, gpa);
    this.#setU64(at + VALUE, value);
    // The kind, the result and the bytes of zero.
    this.#view.setUint32(at + KIND, kind, true);
    this.#view.setUint32(at + KIND + 4, 0, true);
  }

  /**
   * Adds operations of another buffer's bytes, results and all.
   *
   * @throws TypeError; RangeError where they are no whole operations, or do not fit; Error
   * `ERR_DESTROYED` where the bytes of this buffer were detached.
   */
  pushPacked(bytes: Uint8Array): void {
    const packed = bytesOf(bytes, "bytes");
    if (
      packed.length % OP_SIZE !== 0 ||
      packed.length > (this.#capacity - this.#length) * OP_SIZE
    ) {
      throw rangeError("bytes must be whole operations that fit");
    }
    this.#checkAttached();
    this.#bytes.set(packed, this.#length * OP_SIZE);
    this.#length += packed.length / OP_SIZE;
  }

  // Each of these throws a TypeError or RangeError where `index` is not that of an operation held, and
  // an Error `ERR_DESTROYED` where the bytes were detached.

  kind(index: number): OpKind {
    return this.#bytes[this.#at(index) + KIND]! as OpKind;
  }

  gpa(index: number): bigint {
    return this.#view.getBigUint64(this.#at(index), true);
  }

  /** The address as {@link Gpa} in its cheapest form: a number where that is exact. */
  gpaOf(index: number): Gpa {
    const at = this.#at(index);
    const high = this.#view.getUint32(at + 4, true);
    return high < 2 ** 21
      ? high * 2 ** 32 + this.#view.getUint32(at, true)
      : this.#view.getBigUint64(at, true);
  }

  value(index: number): bigint {
    return this.#view.getBigUint64(this.#at(index) + VALUE, true);
  }

  /** The low 32 bits of the value. */
  lowValue(index: number): number {
    return this.#view.getUint32(this.#at(index) + VALUE, true);
  }

  /** @param value - As that of {@link OpBuffer.push}. */
  setValue(index: number, value: Gpa): void {
    const at = this.#at(index);
    checkU64(value, "value");
    this.#setU64(at + VALUE, value);
  }

  result(index: number): GuestMemAccessResult {
    return this.#bytes[this.#at(index) + RESULT]! as GuestMemAccessResult;
  }

  /** @param result - A byte. */
  setResult(index: number, result: GuestMemAccessResult): void {
    const at = this.#at(index);
    this.#bytes[at + RESULT] = BYTE.checkValue(result, "result");
  }

  op(index: number): Op {
    return { kind: this.kind(index), gpa: this.gpa(index), value: this.value(index) };
  }

  /** Where an operation lies. */
  #at(index: number): number {
    if (typeof index !== "number") {
      throw typeError("index must be a number");
    }
    if (!Number.isInteger(index) || index < 0 || index >= this.#length) {
      throw rangeError(`index must be that of one of the ${this.#length} operations`);
    }
    this.#checkAttached();
    return index * OP_SIZE;
  }

  #checkAttached(): void {
    if (this.#bytes.length === 0 && this.#capacity !== 0) {
      throw destroyedError("the bytes of the buffer are detached");
    }
  }

  #setU64(at: number, value: Gpa): void {
    if (typeof value === "bigint") {
      this.#view.setBigUint64(at, value, true);
    } else {
      this.#view.setUint32(at, value, true);
      this.#view.setUint32(at + 4, value / 2 ** 32, true);
    }
  }
}

/** Zeroed bytes for so many operations. */
function newBytes(capacity: number): Uint8Array {
  try {
    return new Uint8Array(capacity * OP_SIZE);
  } catch {
    throw outOfMemoryError(`there is no memory for ${capacity} operations`);
  }
}

function checkU64(value: Gpa, what: string): void {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw rangeError(`${what} must be an integer from 0 to 2^53 - 1, or a bigint`);
    }
  } else if (typeof value !== "bigint") {
    throw typeError(`${what} must be a number or a bigint`);
  }
}

/**
 * A buffer of these operations.
 *
 * @throws TypeError where `ops` is no array of operations; RangeError as {@link OpBuffer.push}.
 */
export function packOps(ops: readonly Op[]): OpBuffer {
  checkObject(ops, "ops");
  if (!Array.isArray(ops)) {
    throw typeError("ops must be an array");
  }
  const buffer = new OpBuffer(ops.length);
  for (const op of ops as readonly Op[]) {
    const { kind, gpa, value } = checkObject(op, "an operation");
    buffer.push(kind, gpa, value);
  }
  return buffer;
}
