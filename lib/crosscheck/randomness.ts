import { mix, SCATTER } from "../base/mix.js";

/** A stream of 32-bit integers that depends only on its seed. */
export class Randomness {
  #state: number;
  #count = 0;

  constructor(seed: number) {
    this.#state = mix(seed | 0, SCATTER);
  }

  /** An integer from 0 to 2^32 - 1. */
  next(): number {
    this.#count = (this.#count + 1) | 0;
    this.#state = mix(this.#state, this.#count);
    return this.#state >>> 0;
  }

  /** An integer from 0 to `limit` - 1. */
  below(limit: number): number {
    return limit <= 2 ** 32
      ? Math.floor((this.next() / 2 ** 32) * limit)
      : Math.floor(((this.next() * 2 ** 21 + (this.next() >>> 11)) / 2 ** 53) * limit);
  }

  u64(): bigint {
    return (BigInt(this.next()) << 32n) | BigInt(this.next());
  }
}
