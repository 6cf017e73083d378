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

/** The instructions that jump to the function whose address is at `slot`, by `process.arch`. */
const JUMPS: Readonly<Record<string, (slot: string) => readonly string[]>> = {
  x64: (slot) => [`jmpq *${slot}(%rip)`],
  arm64: (slot) => [`adrp x16, ${slot}`, `ldr x16, [x16, :lo12:${slot}]`, "br x16"],
};

/**
 * Writes the object file through which a DLL of MinGW calls Node-API, and returns its path.
 *
 * It has a function for each of those of `version` only, so that a call of a function that the
 * oldest Node lacks fails to link. The functions jump to those of the program that loads the addon,
 * whatever its name is: native/addon/mingw/host_functions.cpp looks them up.
 *
 * @param compiler - The command of the compiler, with its arguments.
 */
export function nodeApiObject(
  folder: string,
  compiler: readonly string[],
  arch: string,
  version: number,
): string {
  const names = nodeApiSymbols(version);
  const jump = JUMPS[arch]!;
  const slot = (name: string): string => `__imp_${name}`;
  const lines = [
    ".text",
    ...names.flatMap((name) => [`.globl ${name}`, `${name}:`, ...jump(slot(name))]),
    ".data",
    ".balign 8",
    ".globl pound_host_functions",
    "pound_host_functions:",
    ...names.flatMap((name) => [`.globl ${slot(name)}`, `${slot(name)}:`, ".quad 0"]),
    '.section .rdata,"dr"',
    ".globl pound_host_names",
    "pound_host_names:",
    ...names.map((name) => `.asciz "${name}"`),
    // An empty name is the end.
    ".byte 0",
  ];
  writeFileSync(join(folder, "node.s"), `${lines.join("\n")}\n`);
  const [program, ...args] = compiler;
  execFileSync(program!, [...args, "-c", "node.s", "-o", "node.o"], {
    cwd: folder,
    stdio: "inherit",
  });
  return join(folder, "node.o");
}
