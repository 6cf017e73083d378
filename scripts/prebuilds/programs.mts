import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** Whether a program of this name is in PATH. */
export function haveProgram(name: string): boolean {
  return (process.env["PATH"] ?? "").split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** The programs of `needs` that are not in PATH, to print, with the Debian package of each. */
export function missingPrograms(needs: Readonly<Record<string, string>>): string[] {
  return Object.entries(needs)
    .filter(([program]) => !haveProgram(program))
    .map(([program, debianPackage]) =>
      program === debianPackage ? program : `${program} (Debian: ${debianPackage})`,
    );
}
