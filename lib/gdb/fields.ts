import { CommandError, EINVAL } from "../debug/command-error.js";

/** An address or another number of up to 64 bits, in hexadecimal digits. */
export function parseHex(text: string): bigint {
  if (!/^[\da-f]{1,16}$/i.test(text)) {
    throw new CommandError(EINVAL);
  }
  return BigInt(`0x${text}`);
}

/** A number from 0 to 2^32 - 1 in hexadecimal digits. */
export function parseCount(text: string): number {
  if (!/^[\da-f]{1,8}$/i.test(text)) {
    throw new CommandError(EINVAL);
  }
  return Number(`0x${text}`);
}

/** Bytes as pairs of hexadecimal digits. */
export function parseBytes(text: string): Buffer {
  if (!/^([\da-f]{2})*$/i.test(text)) {
    throw new CommandError(EINVAL);
  }
  return Buffer.from(text, "hex");
}

/** The parts of a text between separators. There must be `count` of them. */
export function split(text: string, separator: string, count: number): string[] {
  const parts = text.split(separator);
  if (parts.length !== count) {
    throw new CommandError(EINVAL);
  }
  return parts;
}
