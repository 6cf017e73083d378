import { withCode } from "../base/errors.js";
import type { NativeBinding } from "./binding.js";
import { plainBinding } from "./plain.js";

/*
 * As addon.ts, for builds that run where nothing can load an addon. The constant false lets the
 * bundler leave the native path out.
 */

export type { Handle, NativeHandle } from "./binding.js";

export const hasAddon = false;

export const native = plainBinding(noAddon) as NativeBinding;

/** Throws an Error `ERR_NO_ADDON` with the cause and the remedy. */
export function noAddon(): never {
  throw withCode(
    new Error("the native path of pound-guest-memory runs in Node.js: this is the browser's build"),
    "ERR_NO_ADDON",
  );
}

export function refuseNative(prototype: object): void {
  Object.defineProperty(prototype, "native", { get: noAddon, configurable: true });
}
