import { join } from "node:path";
import { expect } from "chai";
import { readDocument, ROOT, tableRows } from "../support/documents.js";
import { ERROR_CLASSES } from "../support/error-classes.js";

interface ImportRules {
  readonly forbidden: readonly { readonly comment: string }[];
}

function plain(cell: string): string {
  return cell.replaceAll("`", "");
}

describe("the tables of the documents", () => {
  it("list every code of an error, with its class", () => {
    const rows = tableRows("docs/errors.md").filter(([code]) => code!.startsWith("`ERR_"));
    expect(rows.map(([code, name]) => [plain(code!), plain(name!)])).to.have.deep.members(
      Object.entries(ERROR_CLASSES),
    );
  });

  it("list every export of the package", () => {
    const manifest = JSON.parse(readDocument("package.json")) as { name: string; exports: object };
    const entries = Object.keys(manifest.exports).filter((entry) => entry !== "./package.json");
    const rows = tableRows("README.md").map(([entry]) => plain(entry!));
    expect(rows.filter((entry) => entry.startsWith(manifest.name))).to.have.members(
      entries.map((entry) => manifest.name + entry.slice(1)),
    );
  });

  it("list the folders that each folder of lib/ may import from", () => {
    // eslint-disable-next-line @typescript-eslint/no-require-imports
    const rules = require(join(ROOT, ".dependency-cruiser.cjs")) as ImportRules;
    const allowed = rules.forbidden
      .map(({ comment }) => /^lib\/([\w-]+) may import from: (.*)\.$/.exec(comment))
      .flatMap((match) => (match === null ? [] : [[match[1]!, match[2]!]]));
    const folders = new Set(allowed.map(([folder]) => folder));
    const listed = tableRows("ARCHITECTURE.md")
      .map(([folder, , imports]) => [plain(folder!), imports ?? ""])
      .filter(([folder]) => folders.has(folder));
    expect(allowed).to.have.lengthOf.at.least(10);
    expect(listed).to.deep.equal(allowed);
  });
});
