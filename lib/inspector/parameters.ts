import { badParameter } from "./request-error.js";

/** Exceeds all addresses of a snapshot file: 2^64 plus 2^16 memories of less than 2^53 bytes. */
const MAX_ADDRESS = 2n ** 72n;

/** The query of a request. Each method checks the parameter that it returns. */
export class Parameters {
  readonly #values: URLSearchParams;

  constructor(values: URLSearchParams) {
    this.#values = values;
  }

  /**
   * An address: hexadecimal after `0x`, or decimal. Bytes that no window shows have addresses of
   * more than 64 bits.
   */
  address(name: string): bigint {
    const text = this.#text(name);
    if (!/^(0x[\da-f]{1,18}|\d{1,22})$/i.test(text) || BigInt(text) >= MAX_ADDRESS) {
      throw badParameter(`${name} must be an address from 0 to 2^72 - 1`);
    }
    return BigInt(text);
  }

  /** A value of some bits: hexadecimal after `0x`, or decimal. */
  value(name: string, bits: number): bigint {
    const text = this.#text(name);
    if (!/^(0x[\da-f]{1,512}|\d{1,617})$/i.test(text) || BigInt(text) >> BigInt(bits) !== 0n) {
      throw badParameter(`${name} must be a number from 0 to 2^${bits} - 1`);
    }
    return BigInt(text);
  }

  integer(name: string, least: number, most: number): number {
    const text = this.#text(name);
    const value = Number(text);
    if (!/^\d{1,16}$/.test(text) || value < least || value > most) {
      throw badParameter(`${name} must be an integer from ${least} to ${most}`);
    }
    return value;
  }

  choice<T extends string>(name: string, choices: readonly T[]): T {
    const text = this.#text(name);
    const found = choices.find((choice) => choice === text);
    if (found === undefined) {
      throw badParameter(`${name} must be one of ${choices.join(", ")}`);
    }
    return found;
  }

  /** Bytes as pairs of hexadecimal digits. */
  bytes(name: string, most: number): Buffer {
    const text = this.#text(name);
    if (!/^([\da-f]{2})+$/i.test(text) || text.length > 2 * most) {
      throw badParameter(`${name} must be 1 to ${most} bytes, as pairs of hexadecimal digits`);
    }
    return Buffer.from(text, "hex");
  }

  /** The query as text. */
  toString(): string {
    return this.#values.toString();
  }

  #text(name: string): string {
    const values = this.#values.getAll(name);
    if (values.length !== 1) {
      throw badParameter(`${name} must be given once`);
    }
    return values[0]!;
  }
}
