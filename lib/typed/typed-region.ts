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
 * Each element is read and written by an access of its width, with the same checks as a guest's
 * access: an element outside RAM or at a misaligned address throws `GuestMemoryFault`. The region
 * itself need not fit in RAM.
 *
 * @example
 * ```ts
 * import { GuestMemory } from "pound-guest-memory";
 * import { TypedRegion } from "pound-guest-memory/typed";
 *
 * const memory = GuestMemory.allocate(4096);
 * const table = new TypedRegion(memory, "i32", 0x100, 8);
 * table.fill(-1);
 * table.set(3, 42);
 * console.log(memory.readl(0x10c), [...table]); // 42 [ -1, -1, -1, 42, -1, -1, -1, -1 ]
 * ```
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
   * @param memory - RAM or an address space, by either path.
   * @param gpa - Guest physical address of element 0.
   * @param length - Number of elements, from 0.
   * @throws TypeError, RangeError for an invalid argument, or if the region ends above 2^64.
   */
  constructor(memory: GuestAccessors, type: E, gpa: Gpa, length: number) {
    this.#memory = checkAccessors(memory);
    this.#codec = codecOf(type);
    this.type = type;
    this.gpa = gpa;
    this.length = toByteCount(length, "length");
    checkExtent(gpa, toByteCount(this.byteLength, "the length in bytes"));
  }

  /** Size of the region in bytes. */
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
   * The element at `index`, or `undefined` outside the region. A negative index counts from the
   * end.
   *
   * @throws TypeError, RangeError if `index` is not an integer; `GuestMemoryFault`.
   */
  at(index: number): ElementValue<E> | undefined {
    checkIndex(index);
    const position = index < 0 ? index + this.length : index;
    return position >= 0 && position < this.length ? this.get(position) : undefined;
  }

  /**
   * Sets every element to `value`, in order. A fault ends it and leaves the elements before it set.
   *
   * @throws TypeError, RangeError for a value that the element cannot hold; `GuestMemoryFault`.
   */
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
