/*
 * Bundles lib/ into dist/, as CommonJS. Node then opens one file per folder instead of one per
 * module, which halves the time of `require`.
 *
 * The file `core` has every module that the root export imports, directly or not, except those that
 * it loads when they are first used (see LAZY). The other modules
 * lie in one file per folder. Each module is in exactly one file, so a class is the same object
 * whichever entry it is imported from.
 *
 * Bundles for browsers have the same files, but lib/base/node.ts, whose place node.browser.ts
 * takes: `imports` in package.json, by the condition `browser`.
 *
 * tsc has written the declarations of each module to build-types/. Those that the public API refers
 * to are bundled into one file per entry, with the declarations that entries share in dist/types/.
 */
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join, relative, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { transformSync } from "esbuild";
import { type CodeSplittingNameFunction, rolldown } from "rolldown";
import { dts } from "rolldown-plugin-dts";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const LIB = join(ROOT, "lib");
const TYPES = join(ROOT, "build-types");
const DIST = join(ROOT, "dist");
const ROOT_ENTRY = join(LIB, "index.ts");
const REPLAY_LOOP = join(LIB, "trace", "replay-loop.ts");

/**
 * The modules for access policies other than the default and for big-endian hosts, a fifth of the
 * root entry's code. Each is a file of dist/chunks/, which `require` loads when it is first used.
 */
const LAZY = [
  "memory/big-endian-access",
  "memory/policy-access",
  "space/policy-accessors",
  "space/policy-space-access",
  "space/split-access",
];
// Its accessors use variables of other modules of core, which are slower from another file.
const NATIVE_POLICY_ACCESS = join(LIB, "native", "policy-access.ts");
const isLazy = (id: string): boolean => LAZY.some((module) => `./${basename(module)}.js` === id);

/** The entries that users import: the root and each folder that has an index. */
const publicEntries = [
  "index",
  ...readdirSync(LIB, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(LIB, entry.name, "index.ts")))
    .map(({ name }) => `${name}/index`),
];

const NODE = join(LIB, "base", "node.ts");

type ChunkContext = Parameters<CodeSplittingNameFunction>[1];

/** The modules that some modules import, directly or not. */
function findImported(modules: readonly string[], context: ChunkContext): Set<string> {
  const found = new Set<string>();
  const queue = [...modules];
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

/** The modules of the file `core`, and those of the entry for snapshots in browsers. */
let core: ReadonlySet<string> | null = null;
let inMemory: ReadonlySet<string>;

/** The file of dist/chunks for a module; null for a module that stays in the file of its entry. */
function chunkOf(id: string, context: ChunkContext): string | null {
  if (core === null) {
    core = findImported([ROOT_ENTRY, NATIVE_POLICY_ACCESS], context).add(NATIVE_POLICY_ACCESS);
    inMemory = findImported([join(LIB, "snapshot", "index.browser.ts")], context);
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
  if (inMemory.has(id)) {
    return "snapshot-memory";
  }
  const folder = relative(LIB, id).split(sep)[0]!;
  // Besides `debug`, which gdb and inspector share, only a lazy module imports a module that is
  // neither in core nor below a public entry.
  return folder === "debug" || publicEntries.includes(`${folder}/index`) ? folder : null;
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
    ...Object.fromEntries(
      LAZY.map((module) => [`chunks/${basename(module)}`, join(LIB, `${module}.ts`)]),
    ),
  },
  platform: "node",
  external: (id) => (!id.startsWith(".") && !id.startsWith(LIB)) || isLazy(id),
  // The paths of lazy modules stay as they are: all of them lie in dist/chunks/.
  makeAbsoluteExternalsRelative: false,
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

const minify = (code: string): string => transformSync(code, { minifyWhitespace: true }).code;

/** Removes white space. Each statement of the file starts a line, as it did before. */
function shorten(code: string): string {
  const statements = code.split(/^(?=[^\s})\]])/m);
  return statements.map((text) => (text.startsWith("#!") ? text : minify(text))).join("");
}

// The package is smaller without white space. `core` has the functions that users profile: it only
// loses its indentation.
for (const file of readdirSync(DIST, { recursive: true, encoding: "utf8" })) {
  if (file.endsWith(".js")) {
    const path = join(DIST, file);
    const code = readFileSync(path, "utf8");
    const short = basename(file) === "core.js" ? code.replace(/^\t+/gm, "") : shorten(code);
    // A text of several lines may look like statements, or have its own indentation.
    if (minify(short) === minify(code)) {
      writeFileSync(path, short);
    }
  }
}

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
