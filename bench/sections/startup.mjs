import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { median } from "../measure.mjs";

const PACKAGE = fileURLToPath(new URL("../..", import.meta.url));
const EMPTY = "./bench/empty.cjs";
const RUNS = 21;

/** Times `require` of its argument, and the part of it in `dlopen`, which also starts the addon. */
const TIMED = `
  const { dlopen } = process;
  let dlopenTime = 0n;
  process.dlopen = (...args) => {
    const start = process.hrtime.bigint();
    dlopen.apply(process, args);
    dlopenTime += process.hrtime.bigint() - start;
  };
  const start = process.hrtime.bigint();
  require(process.argv[1]);
  const time = process.hrtime.bigint() - start;
  console.log(JSON.stringify([time, dlopenTime].map((ns) => Number(ns) / 1e6)));`;

/** The time that `require` of each entry takes in a fresh process, and the size of the package. */
export function startup() {
  const entries = requireTimes();
  console.log(`\nrequire in ms, the median of ${RUNS} processes each, by turns`);
  console.log(`  ${"".padEnd(32)}${"all".padStart(8)}${"of it dlopen".padStart(14)}`);
  for (const { entry, requireMs, dlopenMs } of entries) {
    const columns = [requireMs.toFixed(2).padStart(8), dlopenMs.toFixed(2).padStart(14)];
    console.log(`  ${entry.padEnd(32)}${columns.join("")}`);
  }
  const sizes = packageSizes();
  console.log("\nunpacked size in KiB");
  for (const [part, bytes] of Object.entries(sizes)) {
    console.log(`  ${part.padEnd(32)}${(bytes / 1024).toFixed(0).padStart(8)}`);
  }
  return { entries, sizes };
}

function requireTimes() {
  const { name, exports } = JSON.parse(readFileSync(join(PACKAGE, "package.json"), "utf8"));
  const entries = Object.keys(exports)
    .filter((path) => path !== "./package.json")
    .map((path) => name + path.slice(1));
  const times = new Map([EMPTY, ...entries].map((entry) => [entry, []]));
  for (let run = 0; run < RUNS; run++) {
    for (const [entry, samples] of times) {
      const output = execFileSync(process.execPath, ["-e", TIMED, entry], {
        cwd: PACKAGE,
        encoding: "utf8",
      });
      samples.push(JSON.parse(output));
    }
  }
  return Array.from(times, ([entry, samples]) => ({
    entry: entry === EMPTY ? "an empty module" : entry,
    requireMs: median(samples.map(([all]) => all)),
    dlopenMs: median(samples.map(([, dlopen]) => dlopen)),
  }));
}

/** Bytes of the files that npm packs, and of the packages that it installs beside this one. */
function packageSizes() {
  const npm = (...args) => execFileSync("npm", args, { cwd: PACKAGE, encoding: "utf8" });
  const [{ files }] = JSON.parse(npm("pack", "--dry-run", "--json", "--ignore-scripts"));
  const sum = (some) => some.reduce((total, { size }) => total + size, 0);
  const binaries = files.filter(({ path }) => path.endsWith(".node"));
  const dependencies = npm("ls", "--omit=dev", "--all", "--parseable")
    .split("\n")
    .filter((folder) => folder.includes("node_modules"));
  return {
    dist: sum(files.filter(({ path }) => path.startsWith("dist/"))),
    "the package without binaries": sum(files) - sum(binaries),
    ...Object.fromEntries(binaries.map(({ path, size }) => [path, size])),
    "its dependencies": dependencies.reduce((total, folder) => total + folderSize(folder), 0),
  };
}

function folderSize(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((total, entry) => total + statSync(join(entry.parentPath, entry.name)).size, 0);
}
