import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The guest programs, in the order in which they are shown. */
export const PROGRAMS = ["isa", "workload", "terrain"] as const;

export type ProgramName = (typeof PROGRAMS)[number];

// By way of the package: this file runs as it is and compiled, from two folders.
const root = dirname(createRequire(__filename).resolve("pound-guest-memory/package.json"));

/** Where the sources of the guest programs are, and in `bin` the programs. */
export const GUEST_FOLDER = join(root, "examples/frontend/guest");

/** The ELF file of a program. */
export function programFile(name: ProgramName): string {
  return join(GUEST_FOLDER, "bin", `${name}.elf`);
}
