/** The parts of the generated text that depend on the access width. */
export interface WidthRow {
  /** The last letter of the name of every accessor of the width. */
  readonly suffix: "b" | "w" | "l" | "q";
  /** The `Width` of lib/base/widths.ts. */
  readonly constant: string;
  readonly bytes: number;
  readonly bits: number;
  /** log2 of the bytes. */
  readonly shift: number;
  /** The type of a value. */
  readonly value: "number" | "bigint";
  /** The typed array that a read stores its value in. */
  readonly out: string;
  /**
   * Conditions on a `value` of the right type, one of which holds if the width can hold it, signed
   * or unsigned. A store wraps it.
   */
  readonly holds: readonly string[];
}

export const WIDTHS: readonly WidthRow[] = [
  {
    suffix: "b",
    constant: "BYTE",
    bytes: 1,
    bits: 8,
    shift: 0,
    value: "number",
    out: "Uint8Array",
    // V8 does not repeat comparisons that a mask in the caller decides.
    holds: ["value >= -0x80 && value <= 0xff && (value | 0) === value"],
  },
  {
    suffix: "w",
    constant: "WORD",
    bytes: 2,
    bits: 16,
    shift: 1,
    value: "number",
    out: "Uint16Array",
    holds: ["value >= -0x8000 && value <= 0xffff && (value | 0) === value"],
  },
  {
    suffix: "l",
    constant: "LONG",
    bytes: 4,
    bits: 32,
    shift: 2,
    value: "number",
    out: "Uint32Array",
    holds: ["value >>> 0 === value", "(value | 0) === value"],
  },
  {
    suffix: "q",
    constant: "QUAD",
    bytes: 8,
    bits: 64,
    shift: 3,
    value: "bigint",
    out: "BigUint64Array",
    // V8 compares bigints cut to 64 bits without a call, unlike the ends of the range.
    holds: ["BigInt.asUintN(64, value) === value", "BigInt.asIntN(64, value) === value"],
  },
];

/** The width of the halves of a 64-bit value. */
export const LONG_ROW = WIDTHS[2]!;

/** The width with accessors that take their value from an array or as two halves. */
export const QUAD_ROW = WIDTHS[3]!;

/** The condition that a read of two halves at an address that is a number can store them. */
export const HALVES_READABLE = `
  typeof gpa === "number" &&
  typeof at === "number" &&
  out[at] !== undefined &&
  out[at + 1] !== undefined &&
  out instanceof Uint32Array
`;

/**
 * The condition that a variable has the type of the width's values and one of `conditions` holds.
 */
export function fits(
  { value, holds }: WidthRow,
  variable = "value",
  conditions: readonly string[] = holds,
): string {
  const either = conditions.length === 1 ? conditions[0]! : `(${conditions.join(" || ")})`;
  return `typeof value === "${value}" && ${either}`.replaceAll(/\bvalue\b/gu, variable);
}
