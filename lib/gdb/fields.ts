/** Numbers of errors that replies carry: those of POSIX. */
export const EFAULT = 14;
export const EINVAL = 22;
export const ENOSPC = 28;

/** Thrown for a command that cannot be executed. The reply is `E` and the number of the error. */
export class CommandError extends Error {
  override readonly name = "CommandError";

  /** @param number - From 0 to 255. */
  constructor(readonly number: number) {
    super(`error ${number}`);
  }
}

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
