import { existsSync, readdirSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { expect } from "chai";
import { DOCUMENTS, readDocument, ROOT } from "../support/documents.js";

/** What builds and installations make, and documents name. */
const MADE = /^(build|build-[\w-]+|bench\/build|dist|node_modules|prebuilds|docs\/api)(\/|$)/;

/** Every file and folder of the repository, except what is made. */
function tree(folder = ""): string[] {
  return readdirSync(join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name);
    if (MADE.test(path) || entry.name === ".git") {
      return [];
    }
    return entry.isDirectory() ? [path, ...tree(path)] : [path];
  });
}

/** The targets of the relative links and images of a document, from the root. */
function linksOf(document: string): string[] {
  return [...readDocument(document).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, target]) => target!.replace(/#.*$/, ""))
    .filter((target) => target !== "" && !/^[a-z]+:/.test(target))
    .map((target) => posix.join(dirname(document), target));
}

/** The paths of sources that a document names: below a folder of `tops`, or as a file in code. */
function pathsOf(document: string, tops: readonly string[]): string[] {
  const text = readDocument(document)
    .replace(/https?:\S+/g, "")
    .replace(/\]\([^)]*\)/g, "");
  const below = new RegExp(`(?<![\\w./-])(?:${tops.map(quote).join("|")})/[\\w./*-]*`, "g");
  const inCode = /(?<=`)[\w./-]+\.(?:ts|mts|cjs|h|cpp|css|html|sh|gyp|yml|md)(?=`)/g;
  return [...(text.match(below) ?? []), ...(text.match(inCode) ?? [])]
    .map((path) => path.replace(/[./]+$/, ""))
    .filter((path) => !MADE.test(path));
}

function quote(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
}

/** Whether `path`, which may have `*` and `**`, is one of `files` or the end of one. */
function exists(path: string, files: readonly string[]): boolean {
  const pattern = path.split("**").map((part) => part.split("*").map(quote).join("[^/]*"));
  const matcher = new RegExp(`(^|/)${pattern.join(".*")}$`);
  return files.some((file) => matcher.test(file));
}

describe("the documents", () => {
  const files = tree();
  const tops = files.filter((file) => !file.includes("/"));

  for (const document of DOCUMENTS) {
    it(`link to files that exist: ${document}`, () => {
      const broken = linksOf(document).filter((target) => !existsSync(join(ROOT, target)));
      expect(broken).to.deep.equal([]);
    });

    it(`name paths that exist: ${document}`, () => {
      const wrong = pathsOf(document, tops).filter((path) => !exists(path, files));
      expect(wrong).to.deep.equal([]);
    });
  }

  it("are all linked from the README", () => {
    const links = linksOf("README.md");
    const pages = DOCUMENTS.filter((document) => document.startsWith("docs/"));
    expect(pages.filter((page) => !links.includes(page))).to.deep.equal([]);
  });

  it("are read by these tests", () => {
    expect(linksOf("README.md")).to.have.lengthOf.at.least(20);
    expect(pathsOf("ARCHITECTURE.md", tops)).to.have.lengthOf.at.least(20);
  });
});
