import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

/** The path of the benchmark's own addon, which contains the C++ to compare with. */
export const ADDON_PATH = fileURLToPath(new URL("build/Release/bench.node", import.meta.url));

/** Bytes of RAM of every way that is compared. */
export const SIZE = 2 ** 24;

export const addon = createRequire(import.meta.url)(ADDON_PATH);
