import { join } from "node:path";
import { expect } from "chai";
import { ROOT, tableRows } from "../support/documents.js";
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
