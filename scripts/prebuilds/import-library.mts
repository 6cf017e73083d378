import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { symbols } from "node-api-headers";

/** The functions of Node-API up to `version`. */
export function nodeApiSymbols(version: number): string[] {
  const known = symbols[`v${version}`];
  if (known === undefined) {
    throw new Error(`node-api-headers knows no Node-API ${version}`);
  }
  return [...known.js_native_api_symbols, ...known.node_api_symbols];
}

/**
 * Writes the import library through which a DLL made by MinGW calls Node-API, and gives its path.
 *
 * Made from the list for `version` and not from node-api-headers' .def files, which have what came
 * later too: a call that the oldest Node lacks must fail to link. Delay-loaded, so that the
 * functions are looked for in whatever program loads the addon, see
 * native/addon/mingw/delay_load_hook.cpp.
 */
export function importLibrary(folder: string, dlltool: string, version: number): string {
  writeFileSync(
    join(folder, "node.def"),
    ["LIBRARY node.exe", "EXPORTS", ...nodeApiSymbols(version), ""].join("\n"),
  );
  // By names without folders: the library's symbols are named after its own.
  execFileSync(dlltool, ["--def", "node.def", "--output-delaylib", "libnode.a"], {
    cwd: folder,
    stdio: "inherit",
  });
  return join(folder, "libnode.a");
}
