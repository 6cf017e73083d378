import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nodeApiSymbols } from "./node-api-object.mjs";
import { EXPORTS, NAPI_VERSION, ROOT, type Target } from "./targets.mjs";

/** The facts about a binary, to print, and its faults. */
export interface Inspection {
  readonly facts: string[];
  readonly faults: string[];
}

/** Checks that a binary can be loaded on the machines of its target. */
export function inspect(target: Target, binary: Buffer): Inspection {
  const inspection: Inspection = { facts: [`${binary.length} bytes`], faults: [] };
  findPaths(binary, inspection);
  const folder = mkdtempSync(join(tmpdir(), "pound-inspect-"));
  try {
    const file = join(folder, "addon.node");
    writeFileSync(file, binary);
    const objdump = (flag: string): string =>
      execFileSync(`${target.binutils}objdump`, [flag, file], { encoding: "utf8" });
    if (target.platform === "linux") {
      inspectElf(target, objdump, inspection);
    } else if (target.platform === "win32") {
      inspectPe(objdump, inspection);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  return inspection;
}

/** Finds paths of the build machine, which would make the binary differ between machines. */
function findPaths(binary: Buffer, { faults }: Inspection): void {
  const text = binary.toString("latin1");
  const paths = text.match(/\/(?:home|root|tmp|usr|opt|Users)\/[ -~]*/g) ?? [];
  for (const path of new Set(text.includes(ROOT) ? [ROOT, ...paths] : paths)) {
    faults.push(`it names a path of the machine that built it: ${path}`);
  }
}

function inspectElf(
  target: Target,
  objdump: (flag: string) => string,
  { facts, faults }: Inspection,
): void {
  if (!objdump("-t").includes("no symbols")) {
    faults.push("its symbols are not stripped");
  }
  const symbols = objdump("-T").split("\n");
  const imports = symbols.filter((line) => line.includes("*UND*"));
  const exports = symbols
    .filter((line) => /^[0-9a-f]{8,} [gw]/.test(line) && !line.includes("*UND*"))
    .map((line) => line.trim().split(/\s+/).pop()!);
  compareExports(exports, faults);
  checkNodeApi(
    imports.map((line) => line.trim().split(/\s+/).pop()!),
    faults,
  );
  const libraries = [...objdump("-p").matchAll(/NEEDED +(\S+)/g)].map((match) => match[1]!);
  facts.push(`needs ${libraries.join(", ")}`);
  const newest = imports
    .flatMap((line) => /GLIBC_([0-9.]+)/.exec(line)?.[1] ?? [])
    .sort(compareVersions)
    .pop();
  if (newest !== undefined) {
    facts.push(`needs glibc ${newest}`);
  }
  if ((target.glibc === undefined) !== (newest === undefined)) {
    faults.push(`it is for ${target.libc}, and needs ${newest ?? "no"} glibc`);
  } else if (newest !== undefined && compareVersions(newest, target.glibc!) > 0) {
    faults.push(`it needs glibc ${newest}, and Node only ${target.glibc}`);
  }
}

function inspectPe(objdump: (flag: string) => string, { facts, faults }: Inspection): void {
  if (!objdump("-t").includes("no symbols")) {
    faults.push("its symbols are not stripped");
  }
  const headers = objdump("-p");
  const table = headers.slice(headers.indexOf("[Ordinal/Name Pointer] Table"));
  compareExports(
    [...table.matchAll(/^\s*\[ *\d+\].* (\w+)$/gm)].map((match) => match[1]!),
    faults,
  );
  const libraries = [...headers.matchAll(/DLL Name: (\S+)/g)].map((match) => match[1]!);
  facts.push(`needs ${libraries.join(", ")}`);
  // Node-API is not among them, since the addon looks it up in the program that loads it.
  for (const library of libraries) {
    if (!/^(advapi32|kernel32|msvcrt)\.dll$/i.test(library)) {
      faults.push(`it needs ${library}, which not every Windows machine has`);
    }
  }
}

function compareExports(exports: readonly string[], faults: string[]): void {
  if ([...exports].sort().join() !== EXPORTS.join()) {
    faults.push(`it exports ${exports.join(", ")}`);
  }
}

function checkNodeApi(imports: readonly string[], faults: string[]): void {
  const known = new Set(nodeApiSymbols(NAPI_VERSION));
  for (const name of imports) {
    if (/^(napi|node_api)_/.test(name) && !known.has(name)) {
      faults.push(`it calls ${name}, which Node-API ${NAPI_VERSION} lacks`);
    }
  }
}

function compareVersions(a: string, b: string): number {
  const [ours, theirs] = [a, b].map((version) => version.split(".").map(Number));
  for (let i = 0; i < Math.max(ours!.length, theirs!.length); i++) {
    const difference = (ours![i] ?? 0) - (theirs![i] ?? 0);
    if (difference !== 0) {
      return difference;
    }
  }
  return 0;
}
