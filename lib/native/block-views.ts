import { native } from "./addon.js";

// The call block of the addon, in elements of each width. call-block.ts has the indexes.
export const block8 = new Uint8Array(native.callBlock);
export const block16 = new Uint16Array(native.callBlock);
export const block32 = new Uint32Array(native.callBlock);
export const block64 = new BigUint64Array(native.callBlock);
