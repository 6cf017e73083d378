/*
 * Bundles lib/ into dist/, as CommonJS. Node then opens one file per folder instead of one per
 * module, which halves the time of `require`.
 *
 * The modules that the root export imports, directly or not, lie in the files `memory`, `common`
 * and `space`, except those that it loads when they are first used (see LAZY). The other modules
 * lie in one file per folder. Each module is in exactly one file, so a class is the same object
 * whichever entry it is imported from.
 *
 * Bundles for browsers have the same files, but those of LAZY: `imports` in package.json puts
 * lib/browser/absent.ts in their place, by the condition `browser`. The entries in lib/browser/
 * bring back those that work there. The root entry is an ES module for them, so that a bundler
 * leaves out `space` if the program uses memories only.
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
const MEMORY = join(LIB, "memory", "guest-memory.ts");
const SPACE = join(LIB, "space", "address-space.ts");
const REPLAY_LOOP = join(LIB, "trace", "replay-loop.ts");

/**
 * The modules that `require` loads when they are first used. Each is a file of dist/chunks/, or
 * absent in bundles for browsers: `imports` in package.json chooses.
 */
const LAZY: ReadonlyMap<string, string> = new Map([
  ["base/halves-access", "halves-access"],
  ["native/load-addon", "load-addon"],
  ["native/access", "native-access"],
  ["native/policy-access", "native-policy-access"],
  ["space/native-access", "native-space-access"],
  ["space/exit", "exit"],
  ["atomics/forms", "atomic-forms"],
  ["memory/process-sharing", "process-sharing"],
  ["memory/big-endian-access", "big-endian-access"],
  ["memory/policy-access", "policy-access"],
  ["memory/atomics", "view-atomics"],
  ["space/atomics", "space-atomics"],
  ["space/policy-accessors", "policy-accessors"],
  ["space/policy-space-access", "policy-space-access"],
  ["space/split-access", "split-access"],
  ["snapshot/in-memory", "snapshots-of-spaces"],
]);

/** The entries that users import: the root and each folder that has an index. */
const publicEntries = [
  "index",
  ...readdirSync(LIB, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(LIB, entry.name, "index.ts")))
    .map(({ name }) => `${name}/index`),
];

const BROWSER = join(LIB, "browser");

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

const inLib = (...modules: string[]): string[] => modules.map((id) => join(LIB, `${id}.ts`));

/** The modules of each file that has modules of several folders. The first file has precedence. */
let files: ReadonlyMap<string, ReadonlySet<string>> | null = null;

function divide(context: ChunkContext): Map<string, Set<string>> {
  const reach = (...modules: string[]): Set<string> => findImported(inLib(...modules), context);
  const ofRoot = findImported([ROOT_ENTRY], context);
  const ofSnapshots = reach("browser/snapshot");
  const withoutSpace = [...publicEntries, "browser/atomics", "browser/snapshot"]
    .map((entry) => reach(entry))
    .filter((modules) => !modules.has(SPACE));
  return new Map([
    ["memory", reach("memory/guest-memory").add(MEMORY)],
    // What programs without an address space may need besides.
    [
      "common",
      new Set([
        ...[...ofRoot].filter((id) => withoutSpace.some((modules) => modules.has(id))),
        ...inLib("native/op-buffer", "native/call", "native/block-views", "native/value-halves"),
        ...reach("atomics/forms"),
      ]),
    ],
    ["space", ofRoot],
    ["snapshot-memory", ofSnapshots],
    // Two files that import each other would not be complete when the other one starts.
    ["replay", findImported([REPLAY_LOOP], context)],
  ]);
}

/** The file of dist/chunks for a module; null for a module that stays in the file of its entry. */
function chunkOf(id: string, context: ChunkContext): string | null {
  files ??= divide(context);
  const isEntry =
    /^index\./.test(basename(id)) ||
    id === REPLAY_LOOP ||
    id.startsWith(BROWSER) ||
    id.startsWith(join(LIB, "cli")) ||
    LAZY.has(nameOf(id));
  if (isEntry || !id.startsWith(LIB)) {
    return null;
  }
  for (const [file, modules] of files) {
    if (modules.has(id)) {
      return file;
    }
  }
  const folder = relative(LIB, id).split(sep)[0]!;
  // Besides `debug`, which gdb and inspector share, only a lazy module imports a module that is
  // neither in these files nor below a public entry.
  return folder === "debug" || publicEntries.includes(`${folder}/index`) ? folder : null;
}

/** The name of a module in LAZY. */
function nameOf(id: string): string {
  return relative(LIB, id).replace(/\.ts$/, "").split(sep).join("/");
}

const bundle = await rolldown({
  cwd: ROOT,
  input: {
    ...Object.fromEntries(
      [
        ...publicEntries,
        "browser/atomics",
        "browser/accessors",
        "browser/snapshot",
        "cli/main",
      ].map((entry) => [entry, join("lib", `${entry}.ts`)]),
    ),
    // This module loads its own file again, so the file must contain no other module.
    "chunks/replay-loop": REPLAY_LOOP,
    "browser/absent": join(BROWSER, "absent.ts"),
    ...Object.fromEntries(
      [...LAZY].map(([module, file]) => [`chunks/${file}`, join(LIB, `${module}.ts`)]),
    ),
  },
  platform: "node",
  external: (id) => !id.startsWith(".") && !id.startsWith(LIB),
  plugins: [
    {
      name: "lazy-modules",
      resolveId: (id, importer, { kind }) => {
        const file =
          kind === "require-call" && importer !== undefined && id.startsWith(".")
            ? LAZY.get(nameOf(join(importer, "..", id.replace(/\.js$/, ".ts"))))
            : undefined;
        return file === undefined ? null : { id: `#lazy/${file}`, external: true };
      },
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

/** What a chunk exports, as rolldown writes it. */
const GETTER = new RegExp(
  /^Object\.defineProperty\(exports, "([\w$]+)", \{\s+enumerable: true,\s+/.source +
    /get: function\(\) \{\s+return ([\w$]+);\s+\}\s+\}\);$/.source,
  "gm",
);
const IMPORT = /^const (require_\w+) = require\("(.+)"\);$/gm;

/**
 * Makes the imports of a chunk constants: V8 knows their values, unlike those of properties of a
 * module. No module assigns to what it exports: a rule of ESLint.
 */
function bindImports(code: string): string {
  const simple = code.replace(GETTER, "exports.$1 = $2;");
  let bound = simple;
  for (const [line, module, path] of simple.matchAll(IMPORT)) {
    const names = new Map<string, string>();
    const use = new RegExp(`\\(0, ${module!}\\.([\\w$]+)\\)|\\b${module!}\\.([\\w$]+)`, "g");
    const changed = bound.replace(use, (_, called?: string, used?: string) => {
      const name = (called ?? used)!;
      const local = `${module!.replace("require_", "")}_${name}`;
      names.set(name, local);
      return local;
    });
    const pairs = [...names].map(([name, local]) => `${name}: ${local}`);
    bound = changed.replace(line, `const { ${pairs.join(", ")} } = require("${path!}");`);
  }
  return bound;
}

const minify = (code: string): string => transformSync(code, { minifyWhitespace: true }).code;

/** Removes white space. Each statement of the file starts a line, as it did before. */
function shorten(code: string): string {
  const statements = code.split(/^(?=[^\s})\]])/m);
  return statements.map((text) => (text.startsWith("#!") ? text : minify(text))).join("");
}

/** The other chunks that each chunk requires when it loads. */
const required = new Map<string, readonly string[]>();

// The package is smaller without white space. `memory` and `space` have the functions that users
// profile: they only lose their indentation.
for (const file of readdirSync(DIST, { recursive: true, encoding: "utf8" })) {
  if (file.endsWith(".js")) {
    const path = join(DIST, file);
    const text = readFileSync(path, "utf8");
    const isChunk = path.startsWith(join(DIST, "chunks"));
    if (isChunk) {
      required.set(
        basename(file),
        [...text.matchAll(IMPORT)].map(([, , to]) => basename(to!)),
      );
    }
    const code = isChunk ? bindImports(text) : text;
    const short = ["memory.js", "space.js"].includes(basename(file))
      ? code.replace(/^\t+/gm, "")
      : shorten(code);
    // A text of several lines may look like statements, or have its own indentation.
    writeFileSync(path, minify(short) === minify(code) ? short : code);
  }
}

/** @throws Error if a chunk requires one that is not complete: its constants would be undefined. */
function checkOrder(chunk: string, above: readonly string[] = []): void {
  if (above.includes(chunk)) {
    throw new Error(`chunks require one another: ${[...above, chunk].join(" -> ")}`);
  }
  required.get(chunk)!.forEach((next) => checkOrder(next, [...above, chunk]));
}
[...required.keys()].forEach((chunk) => checkOrder(chunk));

// An ES module, so that bundlers leave out the files of which the program imports nothing.
const root = readFileSync(join(DIST, "index.js"), "utf8");
const fileOf = new Map(
  [...root.matchAll(/^const (require_\w+)=require\("\.(.+)"\);$/gm)].map(([, id, file]) => [
    id,
    file,
  ]),
);
const reExports = [...root.matchAll(/^exports\.(\w+)=(\w+)\.\1;$/gm)].map(
  ([, name, id]) => `export { ${name!} } from "..${fileOf.get(id)!}";\n`,
);
writeFileSync(join(DIST, "browser/index.mjs"), reExports.join(""));

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
