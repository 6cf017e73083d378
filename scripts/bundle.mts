/*
 * Bundles lib/ into dist/, as CommonJS. Node then opens one file per folder instead of one per
 * module, which halves the time of `require`.
 *
 * The file `core` has every module that the root export imports, directly or not. The other modules
 * lie in one file per folder. Each module is in exactly one file, so a class is the same object
 * whichever entry it is imported from.
 *
 * Bundles for browsers have the same files, but lib/base/node.ts, whose place node.browser.ts takes:
 * `imports` in package.json, by the condition `browser`.
 *
 * tsc has written the declarations of each module to build-types/. Those that the public API refers
 * to are bundled into one file per entry, with the declarations that entries share in dist/types/.
 */
import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { type CodeSplittingNameFunction, rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const LIB = join(ROOT, "lib");
const TYPES = join(ROOT, "build-types");
const DIST = join(ROOT, "dist");
const ROOT_ENTRY = join(LIB, "index.ts");
const REPLAY_LOOP = join(LIB, "trace", "replay-loop.ts");

/** The entries that users import: the root and each folder that has an index. */
const publicEntries = [
  "index",
  ...readdirSync(LIB, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(LIB, entry.name, "index.ts")))
    .map(({ name }) => `${name}/index`),
];

const NODE = join(LIB, "base", "node.ts");

type ChunkContext = Parameters<CodeSplittingNameFunction>[1];

/** The modules that an entry imports, directly or not. */
function findImported(entry: string, context: ChunkContext): Set<string> {
  const found = new Set<string>();
  const queue = [entry];
  for (const module of queue) {
    for (const imported of context.getModuleInfo(module)?.importedIds ?? []) {
      if (imported.startsWith(LIB) && !found.has(imported)) {
        found.add(imported);
        queue.push(imported);
      }
    }
  }
  return found;
}

/** The modules of the root entry, and those of the entry for snapshots in browsers. */
let core: ReadonlySet<string> | null = null;
let inMemory: ReadonlySet<string>;

/** The file of dist/chunks for a module; null for a module that stays in the file of its entry. */
function chunkOf(id: string, context: ChunkContext): string | null {
  if (core === null) {
    core = findImported(ROOT_ENTRY, context);
    inMemory = findImported(join(LIB, "snapshot", "index.browser.ts"), context);
  }
  const isEntry =
    /^index\.|\.browser\.ts$/.test(basename(id)) ||
    id === REPLAY_LOOP ||
    id === NODE ||
    id.startsWith(join(LIB, "cli"));
  if (isEntry || !id.startsWith(LIB)) {
    return null;
  }
  if (core.has(id)) {
    return "core";
  }
  return inMemory.has(id) ? "snapshot-memory" : relative(LIB, id).split(sep)[0]!;
}

const bundle = await rolldown({
  cwd: ROOT,
  input: {
    ...Object.fromEntries(
      [...publicEntries, "snapshot/index.browser", "cli/main"].map((entry) => [
        entry,
        join("lib", `${entry}.ts`),
      ]),
    ),
    // This module loads its own file again, so the file must contain no other module.
    "chunks/replay-loop": REPLAY_LOOP,
    "chunks/node": NODE,
    "chunks/node.browser": NODE.replace(".ts", ".browser.ts"),
  },
  platform: "node",
  external: (id) => !id.startsWith(".") && !id.startsWith(LIB),
  plugins: [
    {
      name: "node-modules",
      // package.json names the file that takes its place for the runtime or the bundler.
      resolveId: (id, importer) =>
        importer !== undefined && /^\.{1,2}\/(base\/)?node\.js$/.test(id)
          ? { id: "#node", external: true }
          : null,
    },
  ],
  tsconfig: join(ROOT, "tsconfig.build.json"),
  // As numbers, the constants of a module take fewer of the bytes of bytecode that V8 inlines.
  optimization: { inlineConst: { mode: "all", pass: 2 } },
  preserveEntrySignatures: "allow-extension",
});
rmSync(DIST, { recursive: true, force: true });
await bundle.write({
  dir: DIST,
  format: "cjs",
  exports: "named",
  entryFileNames: "[name].js",
  chunkFileNames: "chunks/[name].js",
  comments: false,
  codeSplitting: {
    includeDependenciesRecursively: false,
    groups: [{ debugName: "folders", name: chunkOf }],
  },
});

const declarations = await rolldown({
  input: Object.fromEntries(publicEntries.map((entry) => [entry, join(TYPES, `${entry}.d.ts`)])),
  plugins: [dts({ dtsInput: true, sourcemap: false })],
  external: (id) => id.startsWith("node:"),
});
await declarations.write({
  dir: DIST,
  format: "es",
  chunkFileNames: "types/[name].ts",
  // Programs need neither the types of Node nor a recent target for them.
  banner: '/// <reference lib="es2022" />\n/// <reference lib="esnext.disposable" />\n',
});

// The implementation is CommonJS. The ES module of each entry re-exports its names.
for (const entry of publicEntries) {
  const again = `export * from "./${basename(entry)}.js";\n`;
  writeFileSync(join(DIST, `${entry}.mjs`), again);
  writeFileSync(join(DIST, `${entry}.d.mts`), again);
}
