import { checkObject } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";
import { noAddon } from "../native/addon.js";
import type { Mapped, ProcessSharedSource, SharedRamOptions } from "./process-sharing.js";

/* As process-sharing.ts, for browsers, which have no memory that processes share. */

export function createShared(_size: Gpa, options: SharedRamOptions): Mapped | null {
  const { name, file } = checkObject(options, "options");
  return name === undefined && file === undefined ? null : noAddon();
}

export function openShared(_source: ProcessSharedSource): Mapped {
  noAddon();
}
