import type { GuestAccessors } from "../base/access.js";
import {
  checkAccessors,
  codecOf,
  type Codec,
  type ElementType,
  type ElementValue,
} from "./elements.js";
import { checkExtent, gpaAt, toByteCount } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";

/**
 * An array of elements of one type in guest RAM.
 *
 * Each element is read and written as the guest would, with an access of the element's width and
 * all its checks: an element outside RAM, or at a misaligned address, throws `GuestMemoryFault`.
 * The region itself need not fit in RAM.
 *
 * @typeParam E - The element type, for instance `"u32"`.
 */
export class TypedRegion<E extends ElementType> implements Iterable<ElementValue<E>> {
  /** The element type. */
  readonly type: E;
  /** Guest physical address of element 0. */
  readonly gpa: Gpa;
  /** Number of elements. */
  readonly length: number;
  readonly #memory: GuestAccessors;
  readonly #codec: Codec<ElementValue<E>>;

  /**
   * @param memory - RAM, by either path.
   * @param gpa - Where element 0 lies.
   * @param length - Number of elements, from 0.
   * @throws TypeError, RangeError for an invalid argument, or where the region ends above 2^64.
   */
  constructor(memory: GuestAccessors, type: E, gpa: Gpa, length: number) {
    this.#memory = checkAccessors(memory);
    this.#codec = codecOf(type);
    this.type = type;
    this.gpa = gpa;
    this.length = toByteCount(length, "length");
    checkExtent(gpa, toByteCount(this.byteLength, "the length in bytes"));
  }

  /** Bytes of the region. */
  get byteLength(): number {
    return this.length * this.#codec.bytes;
  }

  /**
   * The element at `index`.
   *
   * @throws TypeError, RangeError for an index outside the region; `GuestMemoryFault`.
   */
  get(index: number): ElementValue<E> {
    return this.#codec.get(this.#memory, this.#address(index));
  }

  /**
   * Sets the element at `index`.
   *
   * @throws TypeError, RangeError for an index outside the region or a value that the element
   * cannot hold; `GuestMemoryFault`.
   */
  set(index: number, value: ElementValue<E>): void {
    this.#codec.set(this.#memory, this.#address(index), value);
  }

  /**
   * The element at `index`, counted from the end where negative; `undefined` outside the region.
   *
   * @throws TypeError, RangeError for an index that is no integer; `GuestMemoryFault`.
   */
  at(index: number): ElementValue<E> | undefined {
    checkIndex(index);
    const position = index < 0 ? index + this.length : index;
    return position >= 0 && position < this.length ? this.get(position) : undefined;
  }

  /** Sets every element to `value`, in order, until one faults. */
  fill(value: ElementValue<E>): void {
    for (let i = 0; i < this.length; i++) {
      this.set(i, value);
    }
  }

  *[Symbol.iterator](): Generator<ElementValue<E>, void, undefined> {
    for (let i = 0; i < this.length; i++) {
      yield this.get(i);
    }
  }

  #address(index: number): Gpa {
    checkIndex(index);
    if (index < 0 || index >= this.length) {
      throw rangeError(`index must be below the length, which is ${this.length}`);
    }
    return gpaAt(this.gpa, index * this.#codec.bytes);
  }
}

function checkIndex(index: number): void {
  if (typeof index !== "number") {
    throw typeError("index must be a number");
  }
  if (!Number.isInteger(index)) {
    throw rangeError("index must be an integer");
  }
}
