/** A type that bytes can be shown as. All numbers are little-endian. */
export interface ViewType {
  readonly name: string;
  /** Its name in the list of views. */
  readonly label: string;
  /** Bytes in an element. */
  readonly bytes: 1 | 2 | 4 | 8;
  /** Characters in the longest element. */
  readonly width: number;
  format(data: DataView, offset: number): string;
}

function hex(
  bytes: 1 | 2 | 4 | 8,
  read: (data: DataView, at: number) => number | bigint,
): ViewType {
  const bits = 8 * bytes;
  return {
    name: `x${bits}`,
    label: bytes === 1 ? "hex bytes" : `hex ${bits}`,
    bytes,
    width: 2 * bytes,
    format: (data, at) =>
      read(data, at)
        .toString(16)
        .padStart(2 * bytes, "0"),
  };
}

function integer(
  name: string,
  bytes: 1 | 2 | 4 | 8,
  width: number,
  read: (data: DataView, at: number) => number | bigint,
): ViewType {
  return { name, label: name, bytes, width, format: (data, at) => read(data, at).toString() };
}

function float(
  name: string,
  bytes: 4 | 8,
  digits: number,
  read: (data: DataView, at: number) => number,
): ViewType {
  // Sign, point and an exponent such as e+308 come on top of the digits.
  return {
    name,
    label: name,
    bytes,
    width: digits + 7,
    format: (data, at) => formatFloat(read(data, at), digits),
  };
}

/** All types, in the order of the list of views. */
export const VIEW_TYPES: readonly ViewType[] = [
  hex(1, (data, at) => data.getUint8(at)),
  hex(2, (data, at) => data.getUint16(at, true)),
  hex(4, (data, at) => data.getUint32(at, true)),
  hex(8, (data, at) => data.getBigUint64(at, true)),
  integer("u8", 1, 3, (data, at) => data.getUint8(at)),
  integer("u16", 2, 5, (data, at) => data.getUint16(at, true)),
  integer("u32", 4, 10, (data, at) => data.getUint32(at, true)),
  integer("u64", 8, 20, (data, at) => data.getBigUint64(at, true)),
  integer("i8", 1, 4, (data, at) => data.getInt8(at)),
  integer("i16", 2, 6, (data, at) => data.getInt16(at, true)),
  integer("i32", 4, 11, (data, at) => data.getInt32(at, true)),
  integer("i64", 8, 20, (data, at) => data.getBigInt64(at, true)),
  float("f32", 4, 7, (data, at) => data.getFloat32(at, true)),
  float("f64", 8, 15, (data, at) => data.getFloat64(at, true)),
  {
    name: "ascii",
    label: "ascii",
    bytes: 1,
    width: 2,
    format: (data, at) => printable(data.getUint8(at)),
  },
];

/** The types in the table of values, which has no hexadecimal rows. */
export const VALUE_TYPES = VIEW_TYPES.filter(({ name }) => !name.startsWith("x"));

/** Finds a type by its name. Any other name means hexadecimal bytes. */
export function viewType(name: string | null): ViewType {
  return VIEW_TYPES.find((type) => type.name === name) ?? VIEW_TYPES[0]!;
}

/** Whether a byte is a printable ASCII character. */
export function isPrintable(byte: number): boolean {
  return byte >= 0x20 && byte < 0x7f;
}

/** Formats a byte as an ASCII character, or as a middle dot if it is not printable. */
export function printable(byte: number): string {
  return isPrintable(byte) ? String.fromCharCode(byte) : "·";
}

/** Formats a number with at most `digits` significant digits, with an exponent if it needs one. */
function formatFloat(value: number, digits: number): string {
  if (!Number.isFinite(value) || value === 0) {
    return Object.is(value, -0) ? "-0" : String(value).replace("Infinity", "inf");
  }
  const size = Math.abs(value);
  return size >= 1e-4 && size < 10 ** digits
    ? String(Number(value.toPrecision(digits)))
    : value.toExponential(Math.max(0, digits - 1)).replace(/\.?0+e/, "e");
}
