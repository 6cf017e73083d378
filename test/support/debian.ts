import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join, relative } from "node:path";

/** The unpacked packages, kept from one run to the next. */
const FOLDER = join(__dirname, "..", "..", "build-debian");

/** The packages that a test asked for. */
export interface Packages {
  /** The names of those that are unpacked. */
  readonly present: readonly string[];
  /** Whether the machine could download packages, or had them all. */
  readonly isOnline: boolean;
}

/**
 * Downloads packages from the sources that apt is configured for, and unpacks them. A package that
 * the release lacks is left out.
 */
export function fetchPackages(names: readonly string[]): Packages {
  mkdirSync(FOLDER, { recursive: true });
  const missing = names.filter((name) => !existsSync(join(FOLDER, name)));
  const known = missing.length === 0 ? [] : knownPackages(missing);
  if (known.length > 0) {
    spawnSync("apt-get", ["-qq", "download", ...known], { cwd: FOLDER, timeout: 300_000 });
  }
  for (const name of readdirSync(FOLDER).filter((file) => file.endsWith(".deb"))) {
    unpack(name);
  }
  const present = names.filter((name) => existsSync(join(FOLDER, name)));
  const isOnline = known.some((name) => present.includes(name)) || missing.length === 0;
  return { present, isOnline };
}

/** The packages that apt knows. With one that it does not know, it would download none. */
function knownPackages(names: readonly string[]): string[] {
  const { stdout } = spawnSync("apt-cache", ["policy", ...names], {
    encoding: "utf8",
    env: { ...process.env, LC_ALL: "C" },
  });
  return [...(stdout ?? "").matchAll(/^(\S+):\n.*\n {2}Candidate: (?!\(none\))/gm)].map(
    ([, name]) => name!,
  );
}

function unpack(file: string): void {
  const deb = join(FOLDER, file);
  // A run that is interrupted leaves no half of a package.
  const temporary = join(FOLDER, "unpacking");
  rmSync(temporary, { recursive: true, force: true });
  execFileSync("dpkg-deb", ["-x", deb, temporary]);
  const target = join(FOLDER, file.split("_")[0]!);
  rmSync(target, { recursive: true, force: true });
  renameSync(temporary, target);
  rmSync(deb);
}

/** A file of a package. */
export interface PackagedFile {
  /** The path in the folder of the packages, for messages. */
  readonly name: string;
  readonly path: string;
  readonly bytes: Buffer;
}

/** The files of some packages that a predicate accepts. */
export function* filesOf(
  packages: readonly string[],
  accepts: (bytes: Buffer, path: string) => boolean,
): Generator<PackagedFile> {
  for (const name of packages) {
    const entries = readdirSync(join(FOLDER, name), { recursive: true, withFileTypes: true });
    for (const entry of entries) {
      const path = join(entry.parentPath, entry.name);
      const bytes = entry.isFile() ? readFileSync(path) : Buffer.alloc(0);
      if (accepts(bytes, path)) {
        yield { name: relative(FOLDER, path), path, bytes };
      }
    }
  }
}

/**
 * Runs a program, which may be one of the unpacked packages.
 *
 * @returns What it prints; null if it does not exist or fails.
 */
export function run(program: string, args: readonly string[]): string | null {
  const found = programs().get(program) ?? program;
  const { status, stdout } = spawnSync(found, args, {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, LC_ALL: "C", LD_LIBRARY_PATH: libraries() },
  });
  return status === 0 ? stdout : null;
}

let cachedPrograms: Map<string, string> | undefined;

/** The programs of the unpacked packages. */
function programs(): Map<string, string> {
  return (cachedPrograms ??= new Map(
    readdirSync(FOLDER)
      .map((name) => join(FOLDER, name, "usr", "bin"))
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => readdirSync(folder).map((name) => [name, join(folder, name)] as const)),
  ));
}

let cachedLibraries: string | undefined;

/** The folders of the libraries of the unpacked packages. */
function libraries(): string {
  return (cachedLibraries ??= readdirSync(FOLDER)
    .map((name) => join(FOLDER, name, "usr", "lib"))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) =>
      readdirSync(folder)
        .filter((name) => name.endsWith("-linux-gnu"))
        .map((name) => join(folder, name)),
    )
    .join(":"));
}
