import { importFirst, Part } from "./part.js";

/** The accessors with addresses as halves. */
export const halvesPart = new Part(
  // eslint-disable-next-line @typescript-eslint/no-require-imports -- loaded when first used
  () => require("./halves-access.js") as typeof import("./halves-access.js"),
  importFirst("accessors"),
);
