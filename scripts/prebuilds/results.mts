import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { format, resolveConfig } from "prettier";
import { prebuildPath, ROOT, TARGETS } from "./targets.mjs";

/** What a run of the tests on the binary of a target has found. */
export interface Result {
  /** The runtime with its version, and what emulates its platform. */
  readonly runtime: string;
  readonly emulator?: string;
  /** The facts that the inspection of the binary found. */
  readonly binary: readonly string[];
  /** The folders of test/ that ran; absent if all did. */
  readonly only?: readonly string[];
  readonly passed: number;
  /** Tests and files that the run left out, with the reasons. */
  readonly leftOut: Readonly<Record<string, string>>;
  /** Titles of the tests that found out themselves that they cannot run there. */
  readonly skipped: readonly string[];
}

type Results = Readonly<Record<string, Result>>;

const RESULTS = join(ROOT, "scripts/prebuilds/results.json");
/** The pages with generated parts. npm publishes the first only, so the other has the lists. */
const PAGES: Readonly<Record<string, (results: Results) => string>> = {
  "docs/platforms.md": tableOf,
  "prebuilds/README.md": leftOutOf,
};
const BEGIN = "<!-- generated: npm run test:target -- --record TARGET -->";
const END = "<!-- end of the generated part -->";

function readResults(): Results {
  return JSON.parse(readFileSync(RESULTS, "utf8")) as Results;
}

/** Stores the result of a target, and writes the generated parts of the pages. */
export async function recordResult(target: string, result: Result): Promise<void> {
  const all = { ...readResults(), [target]: result };
  const sorted = Object.fromEntries(
    [...TARGETS.keys()].flatMap((name) => (name in all ? [[name, all[name]]] : [])),
  );
  writeFileSync(RESULTS, await formatted(RESULTS, JSON.stringify(sorted)));
  for (const page of Object.keys(PAGES)) {
    writeFileSync(join(ROOT, page), await pageWith(page, sorted as Results));
  }
}

/** The pages that are not what the recorded results yield. */
export async function stalePages(): Promise<string[]> {
  const results = readResults();
  const stale: string[] = [];
  for (const page of Object.keys(PAGES)) {
    if ((await pageWith(page, results)) !== readFileSync(join(ROOT, page), "utf8")) {
      stale.push(page);
    }
  }
  return stale;
}

/** A page with its generated part written anew. */
async function pageWith(name: string, results: Results): Promise<string> {
  const file = join(ROOT, name);
  const page = readFileSync(file, "utf8");
  const [begin, end] = [page.indexOf(BEGIN), page.indexOf(END)];
  if (begin < 0 || end < begin) {
    throw new Error(`${name} has no generated part`);
  }
  const generated = PAGES[name]!(results);
  const text = `${page.slice(0, begin)}${BEGIN}\n\n${generated}\n\n${page.slice(end)}`;
  return formatted(file, text);
}

async function formatted(file: string, text: string): Promise<string> {
  return format(text, { ...(await resolveConfig(file)), filepath: file, proseWrap: "always" });
}

function tableOf(results: Results): string {
  const rows = [...TARGETS.values()].map((target) => {
    const result = results[target.name];
    const cells =
      result === undefined
        ? ["", "no run recorded", "", "", ""]
        : [
            result.binary.join("; "),
            [result.runtime, result.emulator].filter((part) => part !== undefined).join(", in "),
            result.only === undefined ? "all" : result.only.map((name) => `\`${name}\``).join(", "),
            String(result.passed),
            String(Object.keys(result.leftOut).length + result.skipped.length),
          ];
    return `| \`${target.name}\` | \`${prebuildPath(target)}\` | ${cells.join(" | ")} |`;
  });
  return [
    "| target | binary | its facts | tested in | folders of `test` | passed | left out |",
    "| - | - | - | - | - | - | - |",
    ...rows,
  ].join("\n");
}

function leftOutOf(results: Results): string {
  return Object.entries(results)
    .flatMap(([target, result]) => leftOut(target, result))
    .join("\n");
}

function leftOut(target: string, { leftOut, skipped }: Result): string[] {
  const items = Object.entries(leftOut).map(([what, reason]) => `  - ${what}: ${reason}`);
  if (skipped.length > 0) {
    items.push(`  - skipped by the tests themselves, which say why: ${skipped.join("; ")}`);
  }
  return items.length === 0 ? [`- \`${target}\`: nothing`] : [`- \`${target}\`:`, ...items];
}
