import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { rolldown } from "rolldown";

/** The entries that also run in browsers. */
const ENTRIES = ["index", "atomics/index", "mmu/index", "snapshot/index", "typed/index"];

/** The module `x.browser.ts` if there is one in place of `x.ts`, or else that file. */
function browserModule(file: string): string {
  const variant = file.replace(/\.ts$/, ".browser.ts");
  return existsSync(variant) ? variant : file;
}

/**
 * Writes ES modules of the entries that browsers can run. They import no module of Node, and they
 * are minified, because dist/chunks has the same code to read.
 */
export async function bundleForBrowsers(lib: string, folder: string): Promise<void> {
  const bundle = await rolldown({
    input: Object.fromEntries(
      ENTRIES.map((entry) => [entry, browserModule(join(lib, `${entry}.ts`))]),
    ),
    platform: "browser",
    plugins: [
      {
        name: "browser-modules",
        resolveId: (id, importer) =>
          importer !== undefined && id.startsWith(".")
            ? browserModule(join(dirname(importer), id.replace(/\.js$/, ".ts")))
            : null,
      },
    ],
    tsconfig: join(lib, "../tsconfig.build.json"),
    optimization: { inlineConst: { mode: "all", pass: 2 } },
  });
  await bundle.write({
    dir: folder,
    format: "esm",
    minify: true,
    entryFileNames: "[name].mjs",
    chunkFileNames: "chunks/[name].mjs",
    comments: false,
  });
}
