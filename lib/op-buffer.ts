import type { GuestMemoryAccess } from "./access.js";
import { rangeError, typeError } from "./errors.js";
import { toByteCount, type Gpa } from "./gpa.js";
import type { GuestMemAccessResult } from "./result.js";

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
  #length = 0;

  /**
   * @param capacity - The most operations that it can hold.
   * @throws TypeError, RangeError for an invalid capacity.
   */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(toByteCount(capacity, "capacity") * OP_SIZE);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Operations held. */
  get length(): number {
    return this.#length;
  }

  /** The most operations that it can hold. */
  get capacity(): number {
    return this.#bytes.length / OP_SIZE;
  }

  /** The packed operations themselves: not a copy. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length * OP_SIZE);
  }

  /** Whether there is no room for another operation. */
  get full(): boolean {
    return this.#length === this.capacity;
  }

  /** Forgets all operations. */
  clear(): void {
    this.#length = 0;
  }

  /**
   * Adds an operation.
   *
   * @param gpa - From 0 to 2^64 - 1; greater ones are cut down to 64 bits.
   * @param value - What a write writes, cut down to 64 bits here and to its width by the run.
   * @throws RangeError where it is full, or where there is no such kind.
   */
  push(kind: OpKind, gpa: Gpa, value: Gpa = 0): void {
    if ((kind & 7) !== kind) {
      throw rangeError("kind must be one of OpKind");
    }
    if (this.full) {
      throw rangeError(`the buffer holds no more than ${this.capacity} operations`);
    }
    const at = this.#length++ * OP_SIZE;
    this.#setU64(at, gpa);
    this.#setU64(at + VALUE, value);
    this.#view.setBigUint64(at + KIND, BigInt(kind), true);
  }

  /** Adds operations of another buffer's bytes, results and all. @throws RangeError where full. */
  pushPacked(bytes: Uint8Array): void {
    if (bytes.length % OP_SIZE !== 0 || bytes.length > (this.capacity - this.#length) * OP_SIZE) {
      throw rangeError("bytes must be whole operations that fit");
    }
    this.#bytes.set(bytes, this.#length * OP_SIZE);
    this.#length += bytes.length / OP_SIZE;
  }

  kind(index: number): OpKind {
    return this.#bytes[index * OP_SIZE + KIND]! as OpKind;
  }

  gpa(index: number): bigint {
    return this.#view.getBigUint64(index * OP_SIZE, true);
  }

  /** The address as {@link Gpa} in its cheapest form: a number where that is exact. */
  gpaOf(index: number): Gpa {
    const high = this.#view.getUint32(index * OP_SIZE + 4, true);
    return high < 2 ** 21
      ? high * 2 ** 32 + this.#view.getUint32(index * OP_SIZE, true)
      : this.gpa(index);
  }

  value(index: number): bigint {
    return this.#view.getBigUint64(index * OP_SIZE + VALUE, true);
  }

  /** The low 32 bits of the value. */
  lowValue(index: number): number {
    return this.#view.getUint32(index * OP_SIZE + VALUE, true);
  }

  setValue(index: number, value: Gpa): void {
    this.#setU64(index * OP_SIZE + VALUE, value);
  }

  result(index: number): GuestMemAccessResult {
    return this.#bytes[index * OP_SIZE + RESULT]! as GuestMemAccessResult;
  }

  setResult(index: number, result: GuestMemAccessResult): void {
    this.#bytes[index * OP_SIZE + RESULT] = result;
  }

  op(index: number): Op {
    return { kind: this.kind(index), gpa: this.gpa(index), value: this.value(index) };
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

/** A buffer of these operations. */
export function packOps(ops: readonly Op[]): OpBuffer {
  const buffer = new OpBuffer(ops.length);
  for (const { kind, gpa, value } of ops) {
    buffer.push(kind, gpa, value);
  }
  return buffer;
}

/** Checks what is to be run. @throws TypeError where it is no {@link OpBuffer}. */
export function checkOps(ops: unknown): asserts ops is OpBuffer {
  if (!(ops instanceof OpBuffer)) {
    throw typeError("ops must be an OpBuffer");
  }
}
