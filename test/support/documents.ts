import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The root of the repository. */
export const ROOT = join(__dirname, "../..");

/** Every document that has links or code, by its path from the root. */
export const DOCUMENTS: readonly string[] = [
  "README.md",
  "ARCHITECTURE.md",
  "CONTRIBUTING.md",
  "CHANGELOG.md",
  ...readdirSync(join(ROOT, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
  "examples/README.md",
  "examples/frontend/README.md",
  "examples/native-core/README.md",
  "prebuilds/README.md",
  "traces/README.md",
];

export function readDocument(path: string): string {
  return readFileSync(join(ROOT, path), "utf8");
}

/** What the comments `// => TEXT` of a code block state that it prints: a line each, in order. */
export function statedOutput(code: string): string {
  return [...code.matchAll(/\/\/ => (.*)$/gm)].map(([, line]) => `${line}\n`).join("");
}

/** The rows of the tables of a document, as their cells; those of the headings are among them. */
export function tableRows(path: string): string[][] {
  return readDocument(path)
    .split("\n")
    .filter((line) => line.startsWith("|"))
    .map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}
