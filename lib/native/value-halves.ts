import { HIGH_HALF, LOW_HALF } from "../base/host.js";
import { EXPECTED8, VALUE32 } from "./call-block.js";

// The halves of the 64-bit values of the call block, in elements of 32 bits. They are not among the
// constants of call-block.ts, because they depend on the byte order of the host.
export const VALUE_LOW32: number = VALUE32 + LOW_HALF;
export const VALUE_HIGH32: number = VALUE32 + HIGH_HALF;
export const EXPECTED_LOW32: number = EXPECTED8 / 4 + LOW_HALF;
export const EXPECTED_HIGH32: number = EXPECTED8 / 4 + HIGH_HALF;
