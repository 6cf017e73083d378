import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../../build-tools/", import.meta.url));

interface FetchedPackage {
  readonly package: string;
  readonly version: string;
  /** SHA-512 of the tarball, in base 64. */
  readonly sha512: string;
}

const PACKAGES = JSON.parse(
  readFileSync(new URL("fetched.json", import.meta.url), "utf8"),
) as Readonly<Record<string, FetchedPackage>>;

/**
 * The folder of a tool from the npm registry, fetched on first use.
 *
 * Only cross builds and their tests need these tools, which are hundreds of megabytes, so they are
 * not devDependencies. The checksum of each is verified, and its scripts do not run.
 */
export function fetchedTool(name: string): string {
  const tool = PACKAGES[name];
  if (tool === undefined) {
    throw new Error(`fetched.json has no tool '${name}'`);
  }
  const folder = join(FOLDER, `${name}-${tool.version}`);
  if (!existsSync(folder)) {
    fetchInto(folder, tool);
  }
  return folder;
}

function fetchInto(folder: string, tool: FetchedPackage): void {
  const scratch = `${folder}.partial`;
  rmSync(scratch, { recursive: true, force: true });
  mkdirSync(scratch, { recursive: true });
  execFileSync(
    "npm",
    ["pack", `${tool.package}@${tool.version}`, "--silent", "--pack-destination", scratch],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const tarball = join(
    scratch,
    readdirSync(scratch).find((name) => name.endsWith(".tgz"))!,
  );
  const sha512 = createHash("sha512").update(readFileSync(tarball)).digest("base64");
  if (sha512 !== tool.sha512) {
    throw new Error(`${tool.package}@${tool.version} has SHA-512 ${sha512}, not the expected one`);
  }
  execFileSync("tar", ["xzf", tarball, "-C", scratch, "--strip-components=1"]);
  rmSync(tarball);
  renameSync(scratch, folder);
}
