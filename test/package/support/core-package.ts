import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { npm, outsideNpm, ROOT, run } from "./machine.js";

const ADDON = "build/Release/pound_guest_memory.node";

/**
 * Unpacks the packed package and this build of its addon into `node_modules` of a new folder.
 *
 * @returns The folder; null if there is no compiler or no built addon.
 */
export function unpackPackage(): string | null {
  if (!existsSync(join(ROOT, ADDON)) || spawnSync("c++", ["--version"]).error !== undefined) {
    expect(process.env["POUND_REQUIRE_ALL"]).to.not.equal("1");
    console.log("    SKIPPED (needs the built addon and a compiler)");
    return null;
  }
  const folder = mkdtempSync(join(tmpdir(), "pound-core-"));
  const installed = join(folder, "node_modules/pound-guest-memory");
  const args = ["pack", "--ignore-scripts", "--silent", "--pack-destination", folder];
  const packed = npm(args, ROOT, outsideNpm());
  expect(packed.status, packed.output).to.equal(0);
  mkdirSync(installed, { recursive: true });
  const tarball = packed.output.trim();
  const unpacked = run("tar", ["-xzf", tarball, "-C", installed, "--strip-components=1"], folder);
  expect(unpacked.status, unpacked.output).to.equal(0);
  mkdirSync(join(installed, "build/Release"), { recursive: true });
  cpSync(join(ROOT, ADDON), join(installed, ADDON));
  return folder;
}

/** Compiles the addon of a folder, whose package has the script. */
export function compileAddon(folder: string, script: string): void {
  const { status, output } = npm(["run", script], folder, outsideNpm());
  expect(status, output).to.equal(0);
}
