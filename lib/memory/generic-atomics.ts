import type { Cells } from "../atomics/lane.js";
import type { Value } from "../base/widths.js";

/**
 * The type of `Atomics`, generic over numbers and bigints, which its declared overloads are not.
 */
interface GenericAtomics {
  load<T extends Value>(cells: Cells<T>, index: number): T;
  store<T extends Value>(cells: Cells<T>, index: number, value: T): T;
  exchange<T extends Value>(cells: Cells<T>, index: number, value: T): T;
  compareExchange<T extends Value>(cells: Cells<T>, index: number, expected: T, replacement: T): T;
  add<T extends Value>(cells: Cells<T>, index: number, value: T): T;
  and<T extends Value>(cells: Cells<T>, index: number, value: T): T;
  or<T extends Value>(cells: Cells<T>, index: number, value: T): T;
  xor<T extends Value>(cells: Cells<T>, index: number, value: T): T;
}

export const atomics = Atomics as unknown as GenericAtomics;
