import { withCode } from "../base/errors.js";
import type { NativeBinding } from "./binding.js";
import { Part } from "../base/part.js";
import { plainBinding } from "./plain.js";

export type { Handle, NativeHandle } from "./binding.js";

const loader = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- browsers have no addon
  () => require("./load-addon.js") as typeof import("./load-addon.js"),
  () => {
    throw new Error(
      "the native path of pound-guest-memory needs Node.js, and this is a bundle for browsers",
    );
  },
);

/** The addon, either prebuilt or built during the installation; the error if none loads. */
const loaded = load();

/** Whether the addon has loaded. If not, no object of the native path exists. */
export const hasAddon: boolean = !(loaded instanceof Error);

/**
 * The addon, or else the plain binding, which has only the members of `MemoryBinding`. The others
 * are for code of the native path.
 */
export const native: NativeBinding =
  loaded instanceof Error ? (plainBinding(noAddon) as NativeBinding) : loaded;

function load(): NativeBinding | Error {
  try {
    return loader.get().loadAddon() as NativeBinding;
  } catch (error) {
    return error as Error;
  }
}

/** Throws an Error `ERR_NO_ADDON` with the cause and the remedy. */
export function noAddon(): never {
  const { message } = loaded as Error;
  throw withCode(new Error(message), "ERR_NO_ADDON");
}

/** Without the addon, gives a prototype a getter `native` that throws `ERR_NO_ADDON`. */
export function refuseNative(prototype: object): void {
  if (!hasAddon) {
    Object.defineProperty(prototype, "native", { get: noAddon, configurable: true });
  }
}
