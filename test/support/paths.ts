import { GuestMemory } from "pound-guest-memory";

/** The paths of this process: without the addon, there is no native one. */
export const PATHS: readonly ("view" | "native")[] = GuestMemory.hasNative
  ? ["view", "native"]
  : ["view"];

/** The accessors of an object on each path. */
export function pathsOf<T extends { readonly native: object }>(object: T): (T | T["native"])[] {
  return GuestMemory.hasNative ? [object, object.native] : [object];
}

/**
 * The native path of an object, or the object itself if there is none, where either path will do.
 */
export function nativeOf<T extends { readonly native: object }>(object: T): T | T["native"] {
  return GuestMemory.hasNative ? object.native : object;
}
