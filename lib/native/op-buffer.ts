import type { GuestHalvesAccessors, GuestMemoryAccess } from "../base/access.js";
import { bytesOf } from "../base/view.js";
import { destroyedError, outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { checkFunction, checkObject, toByteCount } from "../base/arguments.js";
import { type Gpa } from "../base/gpa.js";
import type { GuestMemAccessResult } from "../base/result.js";
import { BYTE } from "../base/widths.js";

/** The eight accessors as kinds of batch operations. */
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

/** A value of {@link OpKind}. Bits 0 and 1 are log2 of the width; bit 2 is set for a write. */
export type OpKind = (typeof OpKind)[keyof typeof OpKind];

/** Bytes of one packed operation. */
export const OP_SIZE = 24;

// Offsets in a packed operation; the address is at 0. native/addon/batch_binding.cpp asserts them.
const VALUE = 8;
const KIND = 16;
const RESULT = 17;

/**
 * The methods that the operations of a batch call. Those with values or addresses in halves are
 * optional.
 */
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
> &
  Partial<Pick<GuestMemoryAccess, "tryReadqHalves" | "tryWriteqHalves">> & {
    readonly halves?: Pick<
      GuestHalvesAccessors,
      | "tryReadb"
      | "tryReadw"
      | "tryReadl"
      | "tryReadq"
      | "tryWriteb"
      | "tryWritew"
      | "tryWritel"
      | "tryWriteq"
    >;
  };

/**
 * Checks that a memory has the methods of {@link TryAccess}.
 *
 * @param what - The name of the memory in the error message.
 * @throws TypeError if `memory` is not an object, or if a method is missing or not a function.
 */
export function checkTryAccess(memory: TryAccess, what: string): TryAccess {
  const methods = checkObject(memory, what);
  checkEight(methods, what);
  for (const name of ["tryReadqHalves", "tryWriteqHalves"] as const) {
    if (methods[name] !== undefined) {
      checkFunction(methods[name], `${name} of ${what}`);
    }
  }
  if (methods.halves !== undefined) {
    checkEight(checkObject(methods.halves, `halves of ${what}`), `halves of ${what}`);
  }
  return memory;
}

function checkEight(methods: { readonly [K in keyof TryAccess]?: unknown }, what: string): void {
  for (const width of ["b", "w", "l", "q"] as const) {
    checkFunction(methods[`tryRead${width}`], `tryRead${width} of ${what}`);
    checkFunction(methods[`tryWrite${width}`], `tryWrite${width} of ${what}`);
  }
}

/** One unpacked operation. */
export interface Op {
  readonly kind: OpKind;
  readonly gpa: bigint;
  /** The value of a write. For a read: 0 before the run, and the value read after it. */
  readonly value: bigint;
}

/** The width of an operation of this kind, in bytes. */
export function opWidth(kind: OpKind): 1 | 2 | 4 | 8 {
  return (1 << (kind & 3)) as 1 | 2 | 4 | 8;
}

/** Whether an operation of this kind writes. */
export function opWrites(kind: OpKind): boolean {
  return kind >= OpKind.WRITEB;
}

/**
 * A batch of packed operations for one call of {@link NativeAccess.run}.
 *
 * Each operation takes 24 bytes, little-endian: the address (u64), the value (u64), the
 * {@link OpKind} (u8), the result code (u8) and six zero bytes. The run sets the result code of
 * every operation, and the value of every read that completes. Bytes added with
 * {@link OpBuffer.pushPacked} may contain an unknown kind: such an operation does nothing, and its
 * result is `ERROR_INTERNAL`.
 *
 * @example
 *
 * ```ts
 * const memory = GuestMemory.allocate(4096);
 * const ops = new OpBuffer(2);
 * ops.push(OpKind.WRITEB, 0xfff, 0x7f);
 * ops.push(OpKind.READL, 0x1000);
 * const faults = memory.native.run(ops); // 1
 * const result = ops.result(1); // GuestMemAccessResult.FAULT_BOUNDARY
 * ```
 */
export class OpBuffer {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #capacity: number;
  #length = 0;

  /**
   * @param capacity - The maximum number of operations, from 0 to 2^53 - 1.
   * @throws TypeError, RangeError for an invalid capacity; Error `ERR_OUT_OF_MEMORY` if the runtime
   * cannot allocate the bytes.
   */
  constructor(capacity: number) {
    this.#bytes = newBytes(toByteCount(capacity, "capacity"));
    this.#capacity = capacity;
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** The number of operations in the buffer. */
  get length(): number {
    return this.#length;
  }

  /** The maximum number of operations. */
  get capacity(): number {
    return this.#capacity;
  }

  /**
   * The packed operations. This is a view of the buffer, not a copy.
   *
   * @throws Error `ERR_DESTROYED` if the bytes are detached.
   */
  get bytes(): Uint8Array {
    this.#checkAttached();
    return this.#bytes.subarray(0, this.#length * OP_SIZE);
  }

  /**
   * As {@link OpBuffer.bytes}, but a subclass cannot override it.
   *
   * @throws TypeError if `ops` is not an {@link OpBuffer}; Error as {@link OpBuffer.bytes}.
   * @internal
   */
  static bytesOf(ops: unknown): Uint8Array {
    if (typeof ops !== "object" || ops === null || !(#bytes in ops)) {
      throw typeError("ops must be an OpBuffer");
    }
    ops.#checkAttached();
    return ops.#bytes.subarray(0, ops.#length * OP_SIZE);
  }

  /** Whether the buffer has as many operations as its capacity. */
  get full(): boolean {
    return this.#length === this.#capacity;
  }

  /** Removes all operations. */
  clear(): void {
    this.#length = 0;
  }

  /**
   * Appends an operation.
   *
   * @param gpa - A number from 0 to 2^53 - 1, or a bigint, of which the low 64 bits are used.
   * @param value - The value of a write: an integer from -2^53 + 1 to 2^53 - 1, or a bigint, of
   * which the low 64 bits are used. The run truncates it to the width.
   * @throws TypeError for an argument of the wrong type; RangeError if the buffer is full, if
   * `kind` is unknown, or if a number is out of range; Error `ERR_DESTROYED` if the bytes are
   * detached.
   */
  push(kind: OpKind, gpa: Gpa, value: Gpa = 0): void {
    if (typeof kind !== "number") {
      throw typeError("kind must be one of OpKind");
    }
    if ((kind & 7) !== kind) {
      throw rangeError("kind must be one of OpKind");
    }
    checkU64(gpa, "gpa");
    checkInteger(value, "value");
    if (this.#length === this.#capacity) {
      throw rangeError(`the buffer holds no more than ${this.#capacity} operations`);
    }
    this.#checkAttached();
    const at = this.#length++ * OP_SIZE;
    this.#setU64(at, gpa);
    this.#setU64(at + VALUE, value);
    // The kind, then a result of 0 and the zero bytes.
    this.#view.setUint32(at + KIND, kind, true);
    this.#view.setUint32(at + KIND + 4, 0, true);
  }

  /**
   * Appends packed operations, such as {@link OpBuffer.bytes} of another buffer, with their
   * results.
   *
   * @throws TypeError if `bytes` is not a view; RangeError if its length is not a multiple of 24,
   * or if the operations do not fit; Error `ERR_DESTROYED` if the bytes of this buffer are
   * detached.
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

  // Each method below throws a TypeError or a RangeError if `index` is not the index of an
  // operation in the buffer, and an Error `ERR_DESTROYED` if the bytes are detached.

  kind(index: number): OpKind {
    return this.#bytes[this.#at(index) + KIND]! as OpKind;
  }

  gpa(index: number): bigint {
    return this.#view.getBigUint64(this.#at(index), true);
  }

  /** The address as a number if that is exact, which avoids a bigint. */
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

  /** The high 32 bits of the value. */
  highValue(index: number): number {
    return this.#view.getUint32(this.#at(index) + VALUE + 4, true);
  }

  /** @param value - As in {@link OpBuffer.push}. */
  setValue(index: number, value: Gpa): void {
    const at = this.#at(index);
    checkInteger(value, "value");
    this.#setU64(at + VALUE, value);
  }

  result(index: number): GuestMemAccessResult {
    return this.#bytes[this.#at(index) + RESULT]! as GuestMemAccessResult;
  }

  /** @param result - From 0 to 255. */
  setResult(index: number, result: GuestMemAccessResult): void {
    const at = this.#at(index);
    if (BYTE.checkValue(result, "result") !== (result as number)) {
      throw rangeError("result must be an integer from 0 to 255");
    }
    this.#bytes[at + RESULT] = result;
  }

  op(index: number): Op {
    return { kind: this.kind(index), gpa: this.gpa(index), value: this.value(index) };
  }

  /** The byte offset of an operation. */
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
      this.#view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
    }
  }
}

/** Zeroed bytes for `capacity` operations. */
function newBytes(capacity: number): Uint8Array {
  try {
    return new Uint8Array(capacity * OP_SIZE);
  } catch {
    throw outOfMemoryError(`there is no memory for ${capacity} operations`);
  }
}

function checkU64(value: Gpa, what: string): void {
  checkInteger(value, what);
  if (typeof value === "number" && value < 0) {
    throw rangeError(`${what} must be an integer from 0 to 2^53 - 1, or a bigint`);
  }
}

function checkInteger(value: Gpa, what: string): void {
  if (typeof value === "number") {
    if (!Number.isSafeInteger(value)) {
      throw rangeError(`${what} must be a safe integer, or a bigint`);
    }
  } else if (typeof value !== "bigint") {
    throw typeError(`${what} must be a number or a bigint`);
  }
}

/**
 * Packs operations into a new buffer.
 *
 * @throws TypeError if `ops` is not an array of operations; RangeError as {@link OpBuffer.push}.
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
