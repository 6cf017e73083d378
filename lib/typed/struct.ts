import type { GuestAccessors } from "../base/access.js";
import { checkAccessors, codecOf, type ElementType, type ElementValue } from "./elements.js";
import { checkExtent, gpaAt, toByteCount, checkObject, isInstance } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { TypedRegion } from "./typed-region.js";

/** The type of a field: an element, a structure, or an array of either as `[type, length]`. */
export type FieldType =
  | ElementType
  | StructLayout<StructFields>
  | readonly [ElementType, number]
  | readonly [StructLayout<StructFields>, number];

/** The fields of a structure, in order. */
export type StructFields = Readonly<Record<string, FieldType>>;

/** The type of a field's property in a view: a value for an element, a view for anything else. */
export type FieldValue<F extends FieldType> = F extends ElementType
  ? ElementValue<F>
  : F extends StructLayout<infer S>
    ? StructView<S>
    : F extends readonly [infer E extends ElementType, number]
      ? TypedRegion<E>
      : F extends readonly [StructLayout<infer S>, number]
        ? readonly StructView<S>[]
        : never;

/** A structure in guest RAM: each property reads and writes its field there. */
export type StructView<S extends StructFields> = {
  -readonly [K in keyof S as S[K] extends ElementType ? K : never]: FieldValue<S[K]>;
} & {
  readonly [K in keyof S as S[K] extends ElementType ? never : K]: FieldValue<S[K]>;
};

/** The most elements of an array. */
const MAX_ARRAY = 2 ** 32 - 1;

/** Where a view's structure lies. They are symbols, since a field may have any name. */
const MEMORY = Symbol("memory");
const GPA = Symbol("gpa");

interface ViewTarget {
  readonly [MEMORY]: GuestAccessors;
  readonly [GPA]: Gpa;
}

/** The layout of a field, and how a view gets and sets it. */
interface Field {
  readonly size: number;
  readonly alignment: number;
  get(memory: GuestAccessors, gpa: Gpa): unknown;
  set?(memory: GuestAccessors, gpa: Gpa, value: unknown): void;
}

/**
 * The layout of a structure, as a C compiler makes it: each field lies at the next multiple of its
 * alignment, and the size is padded to a multiple of the largest alignment.
 */
export class StructLayout<S extends StructFields> {
  /** Size in bytes, padding included. */
  readonly size: number;
  /** The alignment in bytes: at a multiple of it, all fields of the structure are aligned. */
  readonly alignment: number;
  /** The offset of each field in bytes. */
  readonly offsets: { readonly [K in keyof S]: number };
  readonly #prototype: object;

  /** @throws as {@link struct}. */
  constructor(fields: S, options?: undefined) {
    checkObject(fields, "fields");
    if (options !== undefined) {
      throw typeError("a structure has no options: it is laid out as a C compiler does it");
    }
    const offsets = Object.create(null) as { [K in keyof S]: number };
    const properties = Object.create(null) as PropertyDescriptorMap;
    let end = 0;
    let alignment = 1;
    for (const name of Object.keys(fields) as (keyof S & string)[]) {
      const field = fieldOf(fields[name]!);
      offsets[name] = Math.ceil(end / field.alignment) * field.alignment;
      end = offsets[name] + field.size;
      alignment = Math.max(alignment, field.alignment);
      properties[name] = propertyOf(field, offsets[name]);
    }
    this.size = toByteCount(Math.ceil(end / alignment) * alignment, "the size of a structure");
    this.alignment = alignment;
    this.offsets = offsets;
    // It inherits from nothing, so that a field may have any name.
    this.#prototype = Object.create(null, properties) as object;
  }

  /**
   * A view of the structure at `gpa`. Creating it accesses no memory.
   *
   * Each use of a property is an access of the field's width, with the same checks as a guest's
   * access: a field outside RAM or at a misaligned address throws `GuestMemoryFault`.
   *
   * @param memory - RAM or an address space, by either path.
   * @param gpa - Guest physical address of the structure.
   * @throws TypeError, RangeError for an invalid memory or address, or if the structure ends above
   * 2^64.
   */
  at(memory: GuestAccessors, gpa: Gpa): StructView<S> {
    checkAccessors(memory);
    checkExtent(gpa, this.size);
    return Object.create(this.#prototype, {
      [MEMORY]: { value: memory },
      [GPA]: { value: gpa },
    }) as StructView<S>;
  }
}

/**
 * Lays out a structure as a C compiler does, in little-endian byte order.
 *
 * @example
 * ```ts
 * import { GuestMemory } from "pound-guest-memory";
 * import { struct } from "pound-guest-memory/typed";
 *
 * const Header = struct({ magic: "u32", entry: "u64", name: ["u8", 16] });
 * console.log(Header.size, Header.offsets.entry); // 32 8
 *
 * const memory = GuestMemory.allocate(4096);
 * const header = Header.at(memory, 0x100);
 * header.entry = 0x8000_0000n;
 * header.name.set(0, 0x61);
 * console.log(memory.readq(0x108) === header.entry); // true
 * ```
 * @param options - Not supported: any value but `undefined`, such as `{ packed: true }`, throws.
 * @throws TypeError, RangeError for an invalid field type, or a structure of 2^53 bytes or more.
 */
export function struct<const S extends StructFields>(
  fields: S,
  options?: undefined,
): StructLayout<S> {
  return new StructLayout(fields, options);
}

function propertyOf(field: Field, offset: number): PropertyDescriptor {
  const property: PropertyDescriptor = {
    enumerable: true,
    get(this: ViewTarget) {
      return field.get(this[MEMORY], gpaAt(this[GPA], offset));
    },
  };
  if (field.set !== undefined) {
    const set = field.set;
    property.set = function (this: ViewTarget, value: unknown) {
      set(this[MEMORY], gpaAt(this[GPA], offset), value);
    };
  }
  return property;
}

function fieldOf(type: FieldType): Field {
  if (typeof type === "string") {
    return elementField(type);
  }
  if (isInstance(type, StructLayout<StructFields>)) {
    return structField(type);
  }
  if (!isPair(type)) {
    throw typeError("a field is an element type, a structure, or [one of these, count]");
  }
  const [of, count] = type as readonly [ElementType | StructLayout<StructFields>, number];
  const length = toByteCount(count, "the count of a field");
  return isInstance(of, StructLayout<StructFields>)
    ? structsField(of, length)
    : elementsField(of, length);
}

function isPair(type: unknown): boolean {
  return Array.isArray(checkObject(type, "a field's type"));
}

function elementField(type: ElementType): Field {
  const codec = codecOf(type);
  return {
    size: codec.bytes,
    alignment: codec.bytes,
    get: (memory, gpa) => codec.get(memory, gpa),
    // The codec checks the type of the value.
    set: (memory, gpa, value) => codec.set(memory, gpa, value as never),
  };
}

function elementsField(type: ElementType, count: number): Field {
  const { bytes } = codecOf(type);
  return {
    size: bytes * count,
    alignment: bytes,
    get: (memory, gpa) => new TypedRegion(memory, type, gpa, count),
  };
}

function structField(layout: StructLayout<StructFields>): Field {
  return {
    size: layout.size,
    alignment: layout.alignment,
    get: (memory, gpa) => layout.at(memory, gpa),
  };
}

function structsField(layout: StructLayout<StructFields>, count: number): Field {
  if (count > MAX_ARRAY) {
    throw rangeError("the count of a field of structures must be below 2^32");
  }
  return {
    size: layout.size * count,
    alignment: layout.alignment,
    get: (memory, gpa) =>
      Array.from({ length: count }, (_, i) => layout.at(memory, gpaAt(gpa, i * layout.size))),
  };
}
