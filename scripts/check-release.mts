import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { prebuildPath, ROOT, TARGETS } from "./prebuilds/targets.mjs";

// npm runs this before it publishes. It checks what cannot be corrected after a release.

interface Manifest {
  readonly version: string;
  readonly repository?: unknown;
}

function findFaults(): string[] {
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Manifest;
  const changelog = readFileSync(join(ROOT, "CHANGELOG.md"), "utf8");
  const faults = [...TARGETS.values()]
    .filter((target) => !existsSync(join(ROOT, prebuildPath(target))))
    .map((target) => `${prebuildPath(target)} is not there`);
  if (!changelog.includes(`## ${manifest.version}`)) {
    faults.push(`CHANGELOG.md has no section for ${manifest.version}`);
  }
  if (manifest.repository === undefined) {
    faults.push("package.json has no repository, which a provenance statement names");
  }
  return faults;
}

for (const fault of findFaults()) {
  console.error(`not to be published: ${fault}`);
  process.exitCode = 1;
}
