/** A parsed query of the search prompt. */
export interface Query {
  /** The bytes to search for. */
  readonly bytes: Uint8Array;
  /** How the text was understood, such as `u32 1000`. */
  readonly meaning: string;
}

/** The longest pattern that the server accepts. */
const MAX_BYTES = 256;

/** The types of a query such as `u32:1000`. A setter returns false if the text does not fit. */
const NUMBERS: Readonly<
  Record<string, readonly [bytes: number, set: (data: DataView, text: string) => boolean]>
> = {
  u8: [1, integerSetter(8, 0)],
  u16: [2, integerSetter(16, 0)],
  u32: [4, integerSetter(32, 0)],
  u64: [8, integerSetter(64, 0)],
  i8: [1, integerSetter(8, 7)],
  i16: [2, integerSetter(16, 15)],
  i32: [4, integerSetter(32, 31)],
  i64: [8, integerSetter(64, 63)],
  f32: [4, (data, text) => setFloat(text, (value) => data.setFloat32(0, value, true))],
  f64: [8, (data, text) => setFloat(text, (value) => data.setFloat64(0, value, true))],
};

/**
 * Parses the text of the search prompt: a type and a number (`u32:1000`), a number (`0x1234`,
 * little-endian, in 4 or 8 bytes), bytes in hexadecimal (`de ad be ef`), or a text with or without
 * quotes.
 *
 * @returns The reason as a text if nothing can be searched for.
 */
export function parseQuery(typed: string): Query | string {
  const text = typed.trim();
  if (text === "") {
    return "nothing to search for";
  }
  const query = parseNumber(text) ?? parseBytes(text) ?? parseText(text);
  if (typeof query !== "string" && query.bytes.length > MAX_BYTES) {
    return `more than ${MAX_BYTES} bytes`;
  }
  return query;
}

function parseNumber(text: string): Query | string | null {
  const [, type, digits] = /^([uif]\d+):(.+)$/.exec(text) ?? [];
  if (type !== undefined && digits !== undefined && Object.hasOwn(NUMBERS, type)) {
    return numberOf(type, digits.trim());
  }
  if (/^0x[\da-f]{1,16}$/i.test(text)) {
    return numberOf(text.length <= 10 ? "u32" : "u64", text);
  }
  return null;
}

function numberOf(type: string, digits: string): Query | string {
  const [length, set] = NUMBERS[type]!;
  const data = new DataView(new ArrayBuffer(length));
  return set(data, digits)
    ? { bytes: new Uint8Array(data.buffer), meaning: `${type} ${digits}` }
    : `${digits} is no ${type}`;
}

function parseBytes(text: string): Query | null {
  const digits = text.replace(/[\s_]/g, "");
  if (!/^([\da-f]{2})+$/i.test(digits)) {
    return null;
  }
  const bytes = Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
  return { bytes, meaning: `bytes ${toHex(bytes, " ")}` };
}

function parseText(text: string): Query | string {
  const quoted = /^"(.*?)"?$/s.exec(text)?.[1];
  const plain = quoted ?? text;
  return plain === ""
    ? "nothing to search for"
    : { bytes: new TextEncoder().encode(plain), meaning: `text “${plain}”` };
}

/**
 * Makes a setter for integers of `bits` bits.
 *
 * @param magnitude - The number of bits without the sign; 0 for an unsigned type.
 */
function integerSetter(bits: number, magnitude: number) {
  return (data: DataView, text: string): boolean => {
    if (!/^-?(0x[\da-f]+|\d+)$/i.test(text)) {
      return false;
    }
    const value = text.startsWith("-") ? -BigInt(text.slice(1)) : BigInt(text);
    const least = magnitude === 0 ? 0n : -(1n << BigInt(magnitude));
    const most = (1n << BigInt(magnitude === 0 ? bits : magnitude)) - 1n;
    if (value < least || value > most) {
      return false;
    }
    for (let i = 0; i < bits / 8; i++) {
      data.setUint8(i, Number((value >> BigInt(8 * i)) & 0xffn));
    }
    return true;
  };
}

function setFloat(text: string, set: (value: number) => void): boolean {
  const value = Number(text.replace(/\binf$/, "Infinity"));
  set(value);
  return text === "nan" || !Number.isNaN(value);
}

/** Formats bytes as pairs of hexadecimal digits. */
export function toHex(bytes: Uint8Array, separator = ""): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join(separator);
}

/** Returns a 1 for each byte that is part of an occurrence of the pattern, and a 0 otherwise. */
export function markMatches(bytes: Uint8Array, pattern: Uint8Array): Uint8Array {
  const marks = new Uint8Array(bytes.length);
  for (let i = 0; i + pattern.length <= bytes.length; i++) {
    if (pattern.every((byte, j) => bytes[i + j] === byte)) {
      marks.fill(1, i, i + pattern.length);
    }
  }
  return marks;
}
