import { importFirst, Part } from "../base/part.js";

/** The snapshots of address spaces. */
export const snapshotsPart = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first used
  () => require("../snapshot/in-memory.js") as typeof import("../snapshot/in-memory.js"),
  importFirst("snapshot"),
);
