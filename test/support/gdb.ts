import { spawn } from "node:child_process";
import type { GdbServer } from "pound-guest-memory/gdb";

export const GDB = "gdb-multiarch";
export const CROSS_COMPILER = "riscv64-linux-gnu-gcc";

/**
 * Runs gdb on a program, with commands after `target remote`.
 *
 * @param program - An ELF file with symbols; null for none.
 * @returns The output of gdb.
 */
export function runGdb(
  server: GdbServer,
  program: string | null,
  commands: readonly string[],
): Promise<string> {
  const all = ["set pagination off", "set confirm off", "set width 0", "set style enabled off"];
  all.push(`target remote ${server.address}`, ...commands);
  const options = ["-nx", "-batch", ...all.flatMap((command) => ["-ex", command])];
  if (program !== null) {
    options.push(program);
  }
  return new Promise((resolve, reject) => {
    const child = spawn(GDB, options, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    child.stdout.on("data", (part: Buffer) => (output += part.toString()));
    child.stderr.on("data", (part: Buffer) => (output += part.toString()));
    child.once("error", reject);
    child.once("close", () => resolve(output));
  });
}
