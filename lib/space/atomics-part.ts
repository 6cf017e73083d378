import { importFirst, Part } from "../base/part.js";

/** The atomic operations of address spaces. */
export const atomicsPart = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first used
  () => require("./atomics.js") as typeof import("./atomics.js"),
  importFirst("atomics"),
);
