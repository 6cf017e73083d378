/** 2^32 over the golden ratio, made odd, so that multiplying by it loses nothing. */
export const SCATTER = 0x9e3779b1;

/**
 * Mixes a value into an accumulator. For any one value it is one-to-one, so no bit gets lost.
 *
 * @returns A signed 32-bit integer.
 */
export function mix(accumulator: number, value: number): number {
  const mixed = Math.imul(accumulator ^ value, SCATTER) + 1;
  return mixed ^ (mixed >>> 15);
}
