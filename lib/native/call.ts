import { native } from "./addon.js";
import { RESULT32 } from "./call-block.js";
import type { GuestMemAccessResult } from "../base/result.js";

// The call block as elements of each width.
export const block8 = new Uint8Array(native.callBlock);
export const block16 = new Uint16Array(native.callBlock);
export const block32 = new Uint32Array(native.callBlock);
export const block64 = new BigUint64Array(native.callBlock);

/** The result code of the last call. */
export function result(): GuestMemAccessResult {
  return block32[RESULT32] as GuestMemAccessResult;
}
