// Measures in this Node: `--only SECTION` runs one section, `--json FILE` also writes the figures.
// bench/main.mts runs it, in several Nodes by turns if asked to.

import { writeFileSync } from "node:fs";
import os from "node:os";
import { parseArgs } from "node:util";
import { SECTION_NAMES } from "./names.mjs";
import { accesses } from "./sections/accesses.mjs";
import { addressSpace } from "./sections/address-space.mjs";
import { allocation } from "./sections/allocation.mjs";
import { bulk } from "./sections/bulk.mjs";
import { clients } from "./sections/clients.mjs";
import { forks } from "./sections/forks.mjs";
import { loading } from "./sections/loading.mjs";
import { policies } from "./sections/policies.mjs";
import { large, sizes } from "./sections/sizes.mjs";
import { snapshots } from "./sections/snapshots.mjs";
import { startup } from "./sections/startup.mjs";
import { tracking } from "./sections/tracking.mjs";

const SECTIONS = {
  startup,
  large,
  allocation,
  sizes,
  tracking,
  bulk,
  loading,
  forks,
  snapshots,
  policies,
  addressSpace,
  clients,
  accesses,
};

const { values } = parseArgs({ options: { json: { type: "string" }, only: { type: "string" } } });
const machine = {
  cpu: os.cpus()[0].model,
  cores: os.cpus().length,
  node: process.version,
  v8: process.versions.v8,
};
console.log(`${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, V8 ${machine.v8}`);
const results = {};
for (const name of SECTION_NAMES) {
  if (values.only === undefined || values.only === name) {
    results[name] = await SECTIONS[name]();
  }
}
if (values.json !== undefined) {
  writeFileSync(values.json, JSON.stringify({ machine, results }));
}
