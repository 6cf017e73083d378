import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { GuestMemory } from "pound-guest-memory";
import { DOCUMENTS, readDocument, ROOT, statedOutput } from "../support/documents.js";

/** Documents whose blocks state no output yet: only their exit status and stderr are checked. */
const OUTPUT_NOT_STATED = new Set([
  "docs/address-space.md",
  "docs/shared-memory.md",
  "docs/snapshot-format.md",
]);

interface Block {
  readonly title: string;
  readonly code: string;
  /** What the block states that it prints; null if its document does not state output. */
  readonly output: string | null;
}

function blocksOf(document: string): Block[] {
  const text = readDocument(document);
  return [...text.matchAll(/^```js\n([^]*?)^```$/gm)].map((match) => {
    const code = match[1]!;
    const line = text.slice(0, match.index).split("\n").length + 1;
    return {
      title: `${document}, line ${line}`,
      code,
      output: OUTPUT_NOT_STATED.has(document) ? null : statedOutput(code),
    };
  });
}

describe("the code in the documents", function () {
  this.timeout(60_000);
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pound-docs-"));
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(ROOT, join(folder, "node_modules", "pound-guest-memory"), "junction");
    cpSync(join(ROOT, "examples/frontend/guest/bin/workload.elf"), join(folder, "kernel.elf"));
    writeFileSync(join(folder, "board.dtb"), "any bytes");
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  for (const { title, code, output } of DOCUMENTS.flatMap(blocksOf)) {
    it(`runs and prints what it states: ${title}`, function () {
      writeFileSync(join(folder, "block.mjs"), code);
      const { status, stdout, stderr } = spawnSync(process.execPath, ["block.mjs"], {
        cwd: folder,
        encoding: "utf8",
      });
      if (!GuestMemory.hasNative && stderr.includes("ERR_NO_ADDON")) {
        this.skip();
      }
      expect(stderr).to.equal("");
      expect(status).to.equal(0);
      if (output !== null) {
        expect(stdout).to.equal(output);
      }
    });
  }

  it("is found", () => {
    const blocks = blocksOf("README.md");
    expect(blocks).to.have.lengthOf.at.least(4);
    expect(blocks.map(({ output }) => output).join("")).to.include("dead\n");
  });
});
