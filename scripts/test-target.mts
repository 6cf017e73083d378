import { spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { buildSync } from "esbuild";
import { findHost, type Host } from "./prebuilds/hosts.mjs";
import { inspect } from "./prebuilds/inspect.mjs";
import { recordResult, stalePages } from "./prebuilds/results.mjs";
import { prebuildPath, ROOT, type Target, TARGETS, thisMachine } from "./prebuilds/targets.mjs";

const USAGE = `npm run test:target -- [OPTIONS] TARGET… [-- MOCHA OPTIONS]

Runs the tests on the binary of each target in prebuilds/, in a Node of that platform: the running
Node, or one under QEMU or Wine; for musl, in Bun. The default target is this machine's. A target
that cannot run here is skipped and the reason printed; with POUND_REQUIRE_ALL=1 that is an error
instead.

  --node MAJOR       uses another Node from npm
  --only FOLDER,…    runs the tests of these folders of test/ only
  --record           writes the results into docs/platforms.md and prebuilds/README.md if all tests
                     passed
  --log FOLDER       runs nothing, and records the run of another checkout at the same sources, whose
                     folder build-targets/TARGET this is; --only says which folders ran there
  --check            runs nothing, and fails if a page is not what --record wrote

Targets: ${[...TARGETS.keys()].join(", ")}
`;

/** Test files that use parts of the repository that are not staged. */
const NOT_STAGED = {
  "test/examples/**": "they run from their TypeScript sources",
  "test/docs/**": "the documents are the same everywhere",
  "test/bench/**": "the bench is the same everywhere",
  "test/inspector/browser*": "the browser is that of this machine",
};

/** The line in which Mocha counts the tests that passed. */
const PASSING = /^ +([1-9]\d*) passing/m;
/** The line in which it counts those that failed, if there are some. */
const FAILING = /^ +\d+ failing/m;

/** The file with the output of Mocha in the folder of a target. */
const LOG = "mocha.log";

interface Choices {
  readonly node: string | undefined;
  /** The folders of test/ whose tests run. */
  readonly only: readonly string[] | undefined;
  readonly record: boolean;
}

/** Timeouts are this many times as long under emulation. */
const PATIENCE = 20;

/**
 * Makes a folder with the package as a user installs it, with one binary, and the compiled tests.
 * The tests have to be compiled, since tsx does not run in every target's Node.
 */
function stage(target: Target): string {
  const folder = join(ROOT, "build-targets", target.name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  compile(folder, ".ts", "cjs", ".js");
  compile(folder, ".mts", "esm", ".mjs");
  // Tests read or import these files; one looks for error codes in the sources.
  const sources = ["lib", "native/addon", "test/fixtures", "test/support", "examples/rp2040"];
  const read = ["traces", ...sources];
  for (const part of ["package.json", "dist", prebuildPath(target), ...read]) {
    mkdirSync(dirname(join(folder, part)), { recursive: true });
    cpSync(join(ROOT, part), join(folder, part), { recursive: true });
  }
  copyFileSync(join(ROOT, "scripts/prebuilds/mocha-setup.cjs"), join(folder, "mocha-setup.cjs"));
  bundle(`import "mocha/bin/mocha.js";`, join(folder, "mocha.cjs"));
  bundle(`export * from "chai";`, join(folder, "node_modules/chai/index.js"));
  return folder;
}

/** The folders with the tests and the modules that they import by path. */
const COMPILED = ["test", "lib", "inspector-page", "scripts"];

/** Compiles each module with one extension into `folder`. `npm run check` checks the types. */
function compile(folder: string, extension: string, format: "cjs" | "esm", output: string): void {
  buildSync({
    entryPoints: COMPILED.flatMap((part) =>
      readdirSync(join(ROOT, part), { recursive: true, encoding: "utf8" })
        .filter((file) => file.endsWith(extension) && !file.endsWith(`.d${extension}`))
        .map((file) => join(ROOT, part, file)),
    ),
    outbase: ROOT,
    outdir: folder,
    outExtension: { ".js": output },
    format,
    platform: "node",
    target: "node20",
    logLevel: "error",
  });
}

/**
 * Bundles `code` into one CommonJS file. Some Nodes on npm are too old to require ES modules, which
 * Mocha and Chai are. Node finds all other packages in the node_modules of the root.
 */
function bundle(code: string, file: string): void {
  buildSync({
    stdin: { contents: code, resolveDir: ROOT },
    outfile: file,
    bundle: true,
    platform: "node",
    logLevel: "error",
    // Mocha starts once more where it takes a file for the program, so this is a folder.
    banner: { js: `const FOLDER = require("node:url").pathToFileURL(__dirname).href;` },
    define: { "import.meta.url": "FOLDER" },
  });
}

/** Runs mocha in `folder`. Returns whether all tests passed. */
function runMocha(target: Target, host: Host, folder: string, options: readonly string[]): boolean {
  const log = join(folder, LOG);
  // Under Wine, Node cannot write to a pipe of the host, so this is a file.
  const output = openSync(log, "w");
  const titles = Object.keys(host.excluded ?? {});
  const patience = target.name === thisMachine() ? 1 : PATIENCE;
  // Early versions of Node 20 do not parse `--no-config` and the like, so the options are a file.
  const config = {
    color: false,
    // The timeout of hooks. The setup file sets that of the tests.
    timeout: 20_000 * patience,
    require: ["./mocha-setup.cjs"],
    ...(titles.length === 0 ? {} : { invert: true, grep: titles.join("|") }),
    ignore: Object.keys({ ...NOT_STAGED, ...host.excludedFiles }),
  };
  writeFileSync(join(folder, ".mocharc.json"), JSON.stringify(config));
  const { status } = spawnSync(
    host.program,
    [...host.args, "--expose-gc", "mocha.cjs", ...options],
    {
      cwd: folder,
      stdio: ["ignore", output, output],
      env: {
        ...process.env,
        ...host.environment,
        POUND_TEST_PATIENCE: String(patience),
        ...(host.execPath === undefined ? {} : { POUND_TEST_EXEC_PATH: host.execPath }),
      },
    },
  );
  closeSync(output);
  const said = readFileSync(log, "utf8");
  process.stdout.write(said);
  // Status 0 is not enough: mocha must have run a test.
  return status === 0 && PASSING.test(said);
}

async function test(target: Target, { node, only, record }: Choices): Promise<void> {
  const host = findHost(target, node);
  if (typeof host === "string") {
    skip(target, host);
    return;
  }
  if (!existsSync(join(ROOT, prebuildPath(target)))) {
    skip(target, `not built: npm run prebuilds -- ${target.name}`);
    return;
  }
  console.log(`== ${target.name}: ${prebuildPath(target)} in ${host.description}`);
  for (const [what, reason] of Object.entries({ ...host.excluded, ...host.excludedFiles })) {
    console.log(`   without "${what}": ${reason}`);
  }
  const folder = stage(target);
  const files = only?.map((part) => `test/${part}/**/*.test.js`) ?? ["test/**/*.test.js"];
  if (!runMocha(target, host, folder, [...mochaOptions, ...files])) {
    console.error(`${target.name}: FAILED`);
    process.exitCode = 1;
  } else if (record) {
    await recordRun(target, host, folder, only);
  }
}

/** Records the run whose log, binary and description of the runtime are in `folder`. */
async function recordRun(
  target: Target,
  host: Host,
  folder: string,
  only: readonly string[] | undefined,
): Promise<void> {
  const log = readFileSync(join(folder, LOG), "utf8");
  await recordResult(target.name, {
    runtime: readFileSync(join(folder, "runtime.txt"), "utf8"),
    ...(host.emulator === undefined ? {} : { emulator: host.emulator }),
    binary: inspect(target, readFileSync(join(folder, prebuildPath(target)))).facts,
    ...(only === undefined ? {} : { only }),
    passed: Number(PASSING.exec(log)![1]),
    leftOut: { ...host.excludedFiles, ...host.excluded },
    skipped: [...log.matchAll(/^ +- (.+)$/gm)].map((match) => match[1]!),
  });
}

/** Records the run of another checkout. */
async function recordOther(
  target: Target,
  folder: string,
  only: readonly string[] | undefined,
): Promise<void> {
  const host = findHost(target);
  if (typeof host === "string") {
    throw new Error(`${target.name}: ${host}`);
  }
  const log = readFileSync(join(folder, LOG), "utf8");
  if (!PASSING.test(log) || FAILING.test(log)) {
    throw new Error(`${target.name}: not all tests passed in ${folder}`);
  }
  await recordRun(target, host, folder, only);
}

function skip(target: Target, reason: string): void {
  console.log(`${target.name}: SKIPPED (${reason})`);
  if (process.env["POUND_REQUIRE_ALL"] === "1") {
    process.exitCode = 1;
  }
}

const end = process.argv.indexOf("--", 2);
const mochaOptions = end < 0 ? [] : process.argv.slice(end + 1);
const { values, positionals } = parseArgs({
  args: process.argv.slice(2, end < 0 ? undefined : end),
  allowPositionals: true,
  options: {
    node: { type: "string" },
    only: { type: "string" },
    record: { type: "boolean", default: false },
    log: { type: "string" },
    check: { type: "boolean", default: false },
    help: { type: "boolean" },
  },
});
const names = positionals.length > 0 ? positionals : [thisMachine()];
const unknown = names.filter((name) => !TARGETS.has(name));
if (values.help || unknown.length > 0) {
  console.error(unknown.map((name) => `unknown target '${name}'\n`).join("") + USAGE);
  process.exit(values.help ? 0 : 2);
}
if (values.check) {
  for (const page of await stalePages()) {
    console.error(`${page} is not what \`npm run test:target -- --record\` writes`);
    process.exitCode = 1;
  }
} else {
  const only = values.only?.split(",");
  if (values.record && (mochaOptions.length > 0 || values.node !== undefined)) {
    console.error("--record needs the Node of the target, and no options of Mocha");
    process.exit(2);
  }
  for (const name of names) {
    if (values.log !== undefined) {
      await recordOther(TARGETS.get(name)!, values.log, only);
      continue;
    }
    await test(TARGETS.get(name)!, { node: values.node, only, record: values.record });
  }
}
