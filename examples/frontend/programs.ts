import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The guest programs, in the order in which they run. */
export const PROGRAMS = ["isa", "workload", "terrain"] as const;

export type ProgramName = (typeof PROGRAMS)[number];

// This file runs from two folders, from source and compiled, so it finds the root by the package.
const root = dirname(createRequire(__filename).resolve("pound-guest-memory/package.json"));

/** The folder of the guest programs' sources. Its subfolder `bin` has the programs. */
export const GUEST_FOLDER = join(root, "examples/frontend/guest");

/** The ELF file of a program. */
export function programFile(name: ProgramName): string {
  return join(GUEST_FOLDER, "bin", `${name}.elf`);
}
