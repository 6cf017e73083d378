import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { build } from "./prebuilds/build.mjs";
import { inspect } from "./prebuilds/inspect.mjs";
import { missingPrograms } from "./prebuilds/programs.mjs";
import { prebuildPath, ROOT, type Target, TARGETS, thisMachine } from "./prebuilds/targets.mjs";

const USAGE = `npm run prebuilds -- [--twice] TARGET…

Builds the binary of each target into prebuilds/ and inspects it. --twice builds each a second time,
in another folder, and compares the bytes. The default target is this machine's.

Targets: ${[...TARGETS.keys()].join(", ")}
`;

/** Builds the binary of `target` into prebuilds/, and returns its faults. */
function prebuild(target: Target, twice: boolean): string[] {
  const missing = missingPrograms(target.needs);
  if (missing.length > 0) {
    return [`not installed: ${missing.join(", ")}`];
  }
  const binary = build(target);
  const { facts, faults } = inspect(target, binary);
  if (twice) {
    if (binary.equals(build(target))) {
      facts.push("the same bytes when built twice");
    } else {
      faults.push("another build, in another folder, has other bytes");
    }
  }
  const path = join(ROOT, prebuildPath(target));
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, binary);
  console.log(`${target.name}: ${prebuildPath(target)}: ${facts.join("; ")}`);
  return faults;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { twice: { type: "boolean", default: false }, help: { type: "boolean" } },
});
const names = positionals.length > 0 ? positionals : [thisMachine()];
const unknown = names.filter((name) => !TARGETS.has(name));
if (values.help || unknown.length > 0) {
  console.error(unknown.map((name) => `unknown target '${name}'\n`).join("") + USAGE);
  process.exit(values.help ? 0 : 2);
}
for (const name of names) {
  for (const fault of prebuild(TARGETS.get(name)!, values.twice)) {
    console.error(`${name}: ${fault}`);
    process.exitCode = 1;
  }
}
