import { existsSync } from "node:fs";
import { dirname, join } from "node:path";

/** The guest programs, in the order in which they run. */
export const PROGRAMS = ["isa", "workload", "terrain"] as const;

export type ProgramName = (typeof PROGRAMS)[number];

const SOURCES = "examples/frontend/guest";

/** The folder of the repository, or of a copy of the examples. */
function findRoot(): string {
  // This file runs from source and from several folders of compiled files.
  let folder = __dirname;
  while (!existsSync(join(folder, SOURCES))) {
    if (folder === dirname(folder)) {
      throw new Error(`no folder above ${__dirname} has ${SOURCES}`);
    }
    folder = dirname(folder);
  }
  return folder;
}

/** The folder of the guest programs' sources. Its subfolder `bin` has the programs. */
export const GUEST_FOLDER = join(findRoot(), SOURCES);

/** The folder of the guests that `npm run guests` builds. */
export const BUILT_GUESTS = join(findRoot(), "build-guests");

/** The ELF file of a program. The tests run `random`. */
export function programFile(name: ProgramName | "random"): string {
  return join(GUEST_FOLDER, "bin", `${name}.elf`);
}
