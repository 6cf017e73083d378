import { closeSync, existsSync, openSync, readFileSync, readSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

// The installation uses node-gyp-build, but loading does not, for three reasons. It looks for musl
// on the machine (/etc/alpine-release) instead of in the process. At run time, npm's settings can
// make it choose another platform. It fails at the first binary that does not load.

/**
 * Loads the compiled addon: one built on this machine, or else a prebuilt one. If a binary does not
 * load, the next candidate is tried.
 *
 * The search covers the package that the folder of this code belongs to, or else its parent folder;
 * then the folder itself, for a bundle that has a copy of `prebuilds` beside it; then the folder of
 * the running program, for a program that contains the code.
 *
 * @throws Error, which lists each candidate and why it failed.
 */
export function loadAddon(): unknown {
  const folder = __dirname;
  // createRequire hides the path from bundlers, which would look for the file at build time.
  const require = createRequire(join(folder, "load-addon.js"));
  const root = packageAbove(folder);
  const roots = [root ?? dirname(folder), folder, dirname(process.execPath)];
  const failures: string[] = [];
  for (const file of roots.flatMap(binaries)) {
    try {
      return require(file);
    } catch (error) {
      failures.push(`${file}: ${error instanceof Error ? error.message.trim() : String(error)}`);
    }
  }
  if (failures.length === 0) {
    failures.push(...roots.map((root) => `no binary in ${root}`));
  }
  throw noAddonError(failures, root !== null);
}

/** The binaries below `root` that may suit this process, the most likely one first. */
function binaries(root: string): string[] {
  const built = ["Release", "Debug"]
    .map((kind) => join(root, "build", kind, "pound_guest_memory.node"))
    .filter((file) => existsSync(file));
  const libcs = process.platform === "linux" ? [".glibc", ".musl"] : [""];
  const folder = join(root, "prebuilds", `${process.platform}-${process.arch}`);
  const prebuilt = libcs
    .map((libc) => join(folder, `node.napi${armTag()}${libc}.node`))
    .filter((file) => existsSync(file));
  return [...built, ...(prebuilt.length > 1 && runsOnMusl() ? prebuilt.reverse() : prebuilt)];
}

/**
 * The part of the name that says for which 32-bit ARM processors a binary is. A binary for ARMv7
 * would load on ARMv6 too, and end the process at the first instruction that ARMv6 lacks.
 */
function armTag(): string {
  const { arm_version: version } = process.config.variables as { readonly arm_version?: unknown };
  return process.arch === "arm" ? `.armv${Number(version) < 7 ? 6 : 7}` : "";
}

/**
 * Whether the C library of this process is musl; the machine may have another one as well. The
 * first page of the program's file names its loader. Node's report also has the answer, but it
 * takes up to 0.1 s.
 */
function runsOnMusl(): boolean {
  const loader = /\/ld-(linux|musl)-/.exec(firstPage("/proc/self/exe"));
  if (loader !== null) {
    return loader[1] === "musl";
  }
  const report = process.report?.getReport() as
    { readonly header?: { readonly glibcVersionRuntime?: string } } | undefined;
  return report?.header !== undefined && report.header.glibcVersionRuntime === undefined;
}

function firstPage(name: string): string {
  try {
    const file = openSync(name, "r");
    try {
      const page = Buffer.alloc(4096);
      return page.toString("latin1", 0, readSync(file, page));
    } finally {
      closeSync(file);
    }
  } catch {
    return "";
  }
}

/** The root of this package, above `folder`. Null if the code is bundled into another package. */
function packageAbove(folder: string): string | null {
  for (let root = dirname(folder); root !== dirname(root); root = dirname(root)) {
    const manifest = join(root, "package.json");
    if (existsSync(manifest)) {
      return isOurs(manifest) ? root : null;
    }
  }
  return null;
}

function isOurs(manifest: string): boolean {
  try {
    const { name } = JSON.parse(readFileSync(manifest, "utf8")) as { readonly name?: unknown };
    return name === "pound-guest-memory";
  } catch {
    return false;
  }
}

/**
 * An Error which explains how to get an addon.
 *
 * @param failures - Each candidate and why it failed, one per line.
 * @param installed - True if this code runs from the package, false if it runs from a bundle.
 */
function noAddonError(failures: readonly string[], installed: boolean): Error {
  const advice = installed
    ? "build it from source: npm rebuild pound-guest-memory (where npm blocks install scripts, " +
      "first: npm install-scripts approve pound-guest-memory)"
    : "this code runs from a bundle, which has to leave pound-guest-memory external (esbuild: " +
      "--external:pound-guest-memory) or to have a copy of the package's folder prebuilds beside " +
      "it; see docs/bundlers.md of the package";
  const where = `${process.platform}-${process.arch}`;
  return new Error(
    `no compiled addon of pound-guest-memory works here (${where}); ${advice}\n${failures.join("\n")}`,
  );
}
