import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { build, type Plugin } from "esbuild";
import { chromium } from "playwright-core";
import { fetchedTool } from "./prebuilds/fetched.mjs";
import { ROOT, thisMachine } from "./prebuilds/targets.mjs";

const SUPPORT = join(ROOT, "test/support/runtimes");
const BUNDLE = join(ROOT, "build-runtimes/tests.mjs");
const CHROMIUM = "/usr/bin/chromium";
/** Milliseconds that the tests may take on a busy machine. */
const PATIENCE = 10 * 60_000;

/** The folders of tests of entries that need no Node. */
const FOLDERS = ["atomics", "base", "memory", "mmu", "snapshot", "space", "typed"];

/**
 * A file that is left out, because it also tests with values of another realm, which only Node
 * makes.
 */
const LEFT_OUT = "test/base/error-contract.test.ts";

/** What the harness prints before its counts. */
const RESULT = "RESULT ";

interface Counts {
  readonly passes: number;
  readonly pending: number;
  readonly failures: number;
}

/** The runtimes, and how each runs the bundle: it passes lines of output on. */
const RUNTIMES: Readonly<Record<string, (print: (line: string) => void) => Promise<void>>> = {
  chromium: runInChromium,
  deno: (print) => runProgram(join(fetchedTool("deno-linux-x64"), "deno"), ["run", BUNDLE], print),
  bun: (print) => runProgram(join(fetchedTool("bun-linux-x64"), "bin/bun"), ["run", BUNDLE], print),
};

const USAGE = `npm run test:runtimes -- [RUNTIME…]

Runs the tests that need neither Node nor the addon in other runtimes, from one bundle by esbuild for
browsers: in Debian's Chromium, and in Deno and Bun, which are npm packages. A runtime that is
missing, or cannot be fetched, is skipped and the reason printed; with POUND_REQUIRE_ALL=1 that is an
error instead.

RUNTIME: ${Object.keys(RUNTIMES).join(", ")}
`;

/** Replaces modules of Node in tests, and entries that use some. The other entries must not. */
const absentModules: Plugin = {
  name: "absent-modules",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, importer }) =>
      importer.startsWith(join(ROOT, "dist")) ? null : { path, namespace: "absent" },
    );
    onResolve(
      { filter: /^pound-guest-memory\/(crosscheck|include|inspector|loader|trace)$/ },
      (id) => ({
        path: id.path,
        namespace: "absent",
      }),
    );
    onLoad({ filter: /.*/, namespace: "absent" }, ({ path }) => ({
      contents: `const { absent } = require("./absent.cjs"); module.exports = absent("${path}");`,
      resolveDir: SUPPORT,
    }));
  },
};

async function bundleTests(): Promise<void> {
  const files = FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, "test", folder))
      .filter((name) => name.endsWith(".test.ts"))
      .map((name) => `test/${folder}/${name}`),
  ).filter((file) => file !== LEFT_OUT);
  const imports = files.map((file) => `${JSON.stringify(file)}: () => import("./${file}")`);
  await build({
    stdin: {
      // What the root loads in Node when it is first used.
      contents: `import "pound-guest-memory/atomics";
        import "pound-guest-memory/accessors";
        import "pound-guest-memory/snapshot";
        import { start } from "./test/support/runtimes/harness.mjs";
        await start({ ${imports.join(", ")} });`,
      resolveDir: ROOT,
    },
    outfile: BUNDLE,
    bundle: true,
    format: "esm",
    platform: "browser",
    define: { global: "globalThis" },
    inject: [join(SUPPORT, "node-names.mjs")],
    plugins: [absentModules],
    logLevel: "error",
  });
}

async function runProgram(
  program: string,
  args: readonly string[],
  print: (line: string) => void,
): Promise<void> {
  const child = spawn(program, args, { cwd: ROOT, timeout: PATIENCE });
  let rest = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      const lines = (rest + text).split("\n");
      rest = lines.pop()!;
      lines.forEach(print);
    });
  }
  await new Promise((resolve, reject) => {
    child.on("error", reject).on("close", resolve);
  });
  print(rest);
}

/** Serves a page with the bundle, isolated from other origins, so that it may share memory. */
async function runInChromium(print: (line: string) => void): Promise<void> {
  const server = createServer(({ url }, response) => {
    const isBundle = url === "/tests.mjs";
    response.setHeader("Content-Type", isBundle ? "text/javascript" : "text/html");
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    response.end(
      isBundle
        ? readFileSync(BUNDLE)
        : '<meta charset="utf-8"><script type=module src=tests.mjs></script>',
    );
  }).listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--headless", "--disable-gpu", "--no-first-run"],
  });
  try {
    const page = await browser.newPage();
    const ended = new Promise<void>((resolve, reject) => {
      page.on("console", (message) => {
        print(message.text());
        if (message.text().startsWith(RESULT)) {
          resolve();
        }
      });
      page.on("pageerror", reject).on("crash", () => reject(new Error("the page crashed")));
      setTimeout(() => reject(new Error("the tests take too long")), PATIENCE).unref();
    });
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await ended;
  } finally {
    await browser.close();
    server.close();
  }
}

/** Runs the tests in a runtime, and returns whether all passed. */
async function test(name: string): Promise<boolean> {
  const began = performance.now();
  const results: string[] = [];
  console.log(`== ${name}`);
  await RUNTIMES[name]!((line) => {
    if (line.startsWith(RESULT)) {
      results.push(line.slice(RESULT.length));
    } else if (line !== "") {
      console.log(line);
    }
  });
  if (results.length === 0) {
    console.error("the tests did not end");
    return false;
  }
  const { passes, pending, failures } = JSON.parse(results[0]!) as Counts;
  const seconds = Math.round((performance.now() - began) / 1000);
  console.log(`  ${passes} passing (${seconds}s)\n  ${pending} pending\n  ${failures} failing`);
  return failures === 0 && passes > 0;
}

/** Why a runtime cannot run; null if it can. Fetches it from npm. */
function whyMissing(name: string): string | null {
  if (name === "chromium") {
    return existsSync(CHROMIUM) ? null : `${CHROMIUM} is missing: Debian package chromium`;
  }
  if (thisMachine() !== "linux-x64-glibc") {
    return `it is fetched for linux-x64-glibc, and this is ${thisMachine()}`;
  }
  try {
    fetchedTool(`${name}-linux-x64`);
    return null;
  } catch (error) {
    return `it cannot be fetched: ${error instanceof Error ? error.message : String(error)}`;
  }
}

function skip(name: string, reason: string): void {
  console.log(`${name}: SKIPPED (${reason})`);
  if (process.env["POUND_REQUIRE_ALL"] === "1") {
    process.exitCode = 1;
  }
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { help: { type: "boolean" } },
});
const unknown = positionals.filter((name) => !(name in RUNTIMES));
if (values.help || unknown.length > 0) {
  console.error(unknown.map((name) => `unknown runtime '${name}'\n`).join("") + USAGE);
  process.exit(values.help ? 0 : 2);
}
mkdirSync(join(ROOT, "build-runtimes"), { recursive: true });
await bundleTests();
for (const name of positionals.length > 0 ? positionals : Object.keys(RUNTIMES)) {
  const missing = whyMissing(name);
  if (missing !== null) {
    skip(name, missing);
  } else if (!(await test(name))) {
    process.exitCode = 1;
  }
}
