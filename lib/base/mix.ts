/** 2^32 divided by the golden ratio, made odd, so that multiplication by it loses no bits. */
export const SCATTER = 0x9e3779b1;

/**
 * Mixes a value into an accumulator. For each value the function is bijective, so it loses no bits.
 *
 * @returns A signed 32-bit integer.
 */
export function mix(accumulator: number, value: number): number {
  const mixed = Math.imul(accumulator ^ value, SCATTER) + 1;
  return mixed ^ (mixed >>> 15);
}
