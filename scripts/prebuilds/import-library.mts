import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { symbols } from "node-api-headers";

/** The names of the functions of Node-API up to `version`. */
export function nodeApiSymbols(version: number): string[] {
  const known = symbols[`v${version}`];
  if (known === undefined) {
    throw new Error(`node-api-headers knows no Node-API ${version}`);
  }
  return [...known.js_native_api_symbols, ...known.node_api_symbols];
}

/**
 * Writes the import library through which a DLL made by MinGW calls Node-API, and returns its path.
 *
 * It lists the functions of `version` only, unlike the .def files of node-api-headers, so that a
 * call of a function that the oldest Node lacks fails to link. It is delay-loaded, so that the
 * functions are resolved in the program that loads the addon, see
 * native/addon/mingw/delay_load_hook.cpp.
 */
export function importLibrary(folder: string, dlltool: string, version: number): string {
  writeFileSync(
    join(folder, "node.def"),
    ["LIBRARY node.exe", "EXPORTS", ...nodeApiSymbols(version), ""].join("\n"),
  );
  // dlltool names symbols after the file, so the name must not contain the folder.
  execFileSync(dlltool, ["--def", "node.def", "--output-delaylib", "libnode.a"], {
    cwd: folder,
    stdio: "inherit",
  });
  return join(folder, "libnode.a");
}
