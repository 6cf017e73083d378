import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import commonjs from "@rollup/plugin-commonjs";
import nodeResolve from "@rollup/plugin-node-resolve";
import { expect } from "chai";
import { build, type BuildOptions } from "esbuild";
import { chromium } from "playwright-core";
import { inject } from "postject";
import { rollup } from "rollup";
import webpack, { type Configuration } from "webpack";
import { thisMachine } from "../../scripts/prebuilds/targets.mjs";
import { outsideNpm, ROOT, run } from "./support/machine.js";

const NAME = "pound-guest-memory";
/** The entries that run in browsers. */
const BROWSER_ENTRIES = ["", "/atomics", "/mmu", "/accessors", "/snapshot", "/typed"];

const PROGRAM = `
  import { GuestMemory } from "${NAME}";
  import { takeSnapshot } from "${NAME}/snapshot";
  const memory = GuestMemory.allocate(4096);
  memory.writel(8, 0x11223344);
  const byte = GuestMemory.hasNative ? memory.native.readb(8) : "none";
  // The package loads this class when it is first used.
  const swapped = memory.withPolicy({ endian: "big" }).readl(8);
  console.log(memory.readl(8), byte, swapped, takeSnapshot(memory).regions.length);
`;
/** In browsers, a program has to import what Node loads when it is first used. */
const FOR_BROWSERS = `import "${NAME}/accessors"; ${PROGRAM}`;
const WITH_ADDON = "287454020 68 1144201745 1\n";
const WITHOUT = "287454020 none 1144201745 1\n";

/** Programs of browsers, and the most bytes of each when esbuild has minified it. */
const SIZES: Readonly<Record<string, number>> = {
  [`export { Arena, GuestMemory } from "${NAME}";`]: 60_000,
  [`export { GuestMemory } from "${NAME}"; export * from "${NAME}/atomics";`]: 85_000,
  [`export { GuestMemory } from "${NAME}"; export * from "${NAME}/snapshot";`]: 88_000,
  [`export * from "${NAME}";`]: 138_000,
  [`export * from "${NAME}"; import "${NAME}/accessors";`]: 190_000,
};

/** The same classes, whether the bundle imports or requires them. */
const BOTH_WAYS = `
  import { AddressSpace, GuestMemory } from "${NAME}";
  const required = require("${NAME}");
  console.log(required.AddressSpace === AddressSpace, required.GuestMemory === GuestMemory);
`;

/** A text of the code of address spaces. */
const OF_SPACES = "space must be an AddressSpace";

/** Uses each part that bundles for browsers have only if the program imports its entry. */
const UNIMPORTED = `
  import { AddressSpace, GuestMemory } from "${NAME}";
  const memory = GuestMemory.allocate(4096);
  const space = new AddressSpace();
  space.addRam(0, memory);
  for (const use of [
    () => memory.atomics,
    () => space.atomics,
    () => memory.withPolicy({ endian: "big" }),
    () => new AddressSpace({ alignment: "allow" }),
    () => memory.halves,
    () => space.halves,
    () => space.snapshot(),
    () => space.restore({}),
    () => space.reset({}),
  ]) {
    try {
      use();
      console.log("works");
    } catch ({ code, message }) {
      console.log(code, message.match(/import ".*"/)[0]);
    }
  }
`;
const IMPORTS = [
  "atomics",
  "atomics",
  ...Array<string>(4).fill("accessors"),
  ...Array<string>(3).fill("snapshot"),
];

const CHROMIUM = "/usr/bin/chromium";

/** A program for a page without SharedArrayBuffer. */
const UNSHARED = `
  import { AddressSpace, GuestMemory } from "${NAME}";
  const codeOf = (run) => {
    try {
      run();
    } catch (error) {
      return error.code;
    }
  };
  const space = new AddressSpace();
  const memory = GuestMemory.allocate(8192);
  space.addRam(0x1000, memory);
  const dirty = memory.startTracking();
  space.writel(0x2000, 5);
  globalThis.outcome = [
    typeof SharedArrayBuffer,
    memory.readl(4096),
    [...dirty.drain()],
    codeOf(() => dirty.buffer),
    codeOf(() => GuestMemory.allocateShared(4096)),
  ];
`;

/** Bundles entry.mjs of a folder into a file. */
type Bundle = (folder: string, file: string, way: Way) => Promise<unknown>;
interface Way {
  readonly target: "node" | "browser";
  readonly external?: boolean;
}

// docs/bundlers.md has the same settings.
const BUNDLERS: Readonly<Record<string, Bundle>> = {
  esbuild: (folder, file, { target, external }) => {
    const options: BuildOptions = external ? { external: [NAME] } : {};
    return build({
      entryPoints: [join(folder, "entry.mjs")],
      outfile: file,
      bundle: true,
      platform: target,
      format: "cjs",
      logLevel: "error",
      ...options,
    });
  },
  webpack: (folder, file, { target, external }) => {
    const options: Configuration = external
      ? { externalsType: "commonjs", externals: [/^pound-guest-memory(\/|$)/] }
      : {};
    const configuration: Configuration = {
      mode: "none",
      context: folder,
      entry: "./entry.mjs",
      target: target === "node" ? "node" : "web",
      output: { path: join(file, ".."), filename: "out.cjs" },
      performance: false,
      ...options,
    };
    return new Promise<void>((resolve, reject) => {
      webpack(configuration, (error, stats) => {
        const failed = error ?? (stats!.hasErrors() ? new Error(stats!.toString()) : null);
        if (failed === null) {
          resolve();
        } else {
          reject(failed);
        }
      });
    });
  },
  rollup: async (folder, file, { target, external }) => {
    const bundle = await rollup({
      input: join(folder, "entry.mjs"),
      external: external ? [/^pound-guest-memory(\/|$)/] : [],
      plugins: [nodeResolve({ browser: target === "browser", preferBuiltins: true }), commonjs()],
      onwarn: ({ code, message }) => {
        // Modules that load when they are first used import the others.
        if (code !== "CIRCULAR_DEPENDENCY") {
          throw new Error(message);
        }
      },
    });
    await bundle.write({ file, format: "cjs" });
  },
};

describe("bundles", () => {
  let folder: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "pound-bundles-"));
    const installed = join(folder, "node_modules", NAME);
    for (const part of ["package.json", "dist"]) {
      cpSync(join(ROOT, part), join(installed, part), { recursive: true });
    }
    const [platform, arch, libc] = thisMachine().split("-");
    const prebuilt = `prebuilds/${platform!}-${arch!}/node.napi${libc ? `.${libc}` : ""}.node`;
    mkdirSync(join(installed, prebuilt, ".."), { recursive: true });
    cpSync(join(ROOT, "build/Release/pound_guest_memory.node"), join(installed, prebuilt));
    writeFileSync(join(folder, "entry.mjs"), PROGRAM);
  });

  after(() => {
    rmSync(folder, { recursive: true });
  });

  for (const [name, bundle] of Object.entries(BUNDLERS)) {
    describe(`of ${name}`, () => {
      const runBundle = (file: string): string =>
        run(process.execPath, [file], folder, outsideNpm()).output;

      it("find the package if it is external", async () => {
        const file = join(folder, `${name}-external/out.cjs`);
        await bundle(folder, file, { target: "node", external: true });
        expect(runBundle(file)).to.equal(WITH_ADDON);
      });

      it("find a copy of prebuilds beside them, and work without it", async () => {
        const file = join(folder, `${name}/bundle/out.cjs`);
        await bundle(folder, file, { target: "node" });
        expect(runBundle(file)).to.equal(WITHOUT);
        const prebuilds = join(folder, "node_modules", NAME, "prebuilds");
        cpSync(prebuilds, join(file, "../prebuilds"), { recursive: true });
        expect(runBundle(file)).to.equal(WITH_ADDON);
      });

      /** The file of a bundle for browsers of a program. */
      async function forBrowsers(program: string, title: string): Promise<string> {
        const source = join(folder, `${name}-${title}`);
        mkdirSync(source);
        writeFileSync(join(source, "entry.mjs"), program);
        await bundle(source, join(source, "out.cjs"), { target: "browser" });
        return join(source, "out.cjs");
      }

      it("for browsers contain nothing of Node", async () => {
        const file = await forBrowsers(FOR_BROWSERS, "browser");
        expect(readFileSync(file, "utf8")).to.not.match(/(require\(|from )"node:/);
        expect(runBundle(file)).to.equal(WITHOUT);
      });

      it("for browsers ask for the entries that a program uses and does not import", async () => {
        const said = IMPORTS.map((entry) => `ERR_NOT_IMPORTED import "${NAME}/${entry}"\n`);
        expect(runBundle(await forBrowsers(UNIMPORTED, "unimported"))).to.equal(said.join(""));
      });

      it("for browsers leave out address spaces if the program imports none", async () => {
        const program = (names: string): string =>
          `import { ${names} } from "${NAME}"; console.log(${names});`;
        const memory = await forBrowsers(program("GuestMemory"), "memory");
        const space = await forBrowsers(program("AddressSpace"), "space");
        expect(readFileSync(memory, "utf8")).to.not.include(OF_SPACES);
        expect(readFileSync(space, "utf8")).to.include(OF_SPACES);
      });
    });
  }

  it("make a single-executable application, with prebuilds beside it", async function () {
    if (process.platform !== "linux") {
      this.skip();
    }
    const application = join(folder, "application");
    await BUNDLERS["esbuild"]!(folder, join(application, "out.cjs"), { target: "node" });
    const config = { main: "out.cjs", output: "app.blob", disableExperimentalSEAWarning: true };
    writeFileSync(join(application, "sea.json"), JSON.stringify(config));
    const made = run(process.execPath, ["--experimental-sea-config", "sea.json"], application);
    expect(made.status, made.output).to.equal(0);
    copyFileSync(process.execPath, join(application, "app"));
    await inject(
      join(application, "app"),
      "NODE_SEA_BLOB",
      readFileSync(join(application, "app.blob")),
      { sentinelFuse: "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2" },
    );
    const runApplication = (): string =>
      run(join(application, "app"), [], tmpdir(), outsideNpm()).output;
    expect(runApplication()).to.equal(WITHOUT);
    const prebuilds = join(folder, "node_modules", NAME, "prebuilds");
    cpSync(prebuilds, join(application, "prebuilds"), { recursive: true });
    expect(runApplication()).to.equal(WITH_ADDON);
  });

  it("for browsers work in a page that is not isolated from other origins", async function () {
    if (!existsSync(CHROMIUM)) {
      expect(process.env["POUND_REQUIRE_ALL"]).to.not.equal("1");
      this.skip();
    }
    const { outputFiles } = await build({
      stdin: { contents: UNSHARED, resolveDir: folder },
      bundle: true,
      platform: "browser",
      format: "iife",
      write: false,
      logLevel: "error",
    });
    const browser = await chromium.launch({
      executablePath: CHROMIUM,
      args: ["--no-sandbox", "--headless", "--disable-gpu"],
    });
    try {
      const page = await browser.newPage();
      const outcome = await page.evaluate(`${outputFiles[0]!.text}; outcome`);
      const refused = "ERR_OUT_OF_MEMORY";
      expect(outcome).to.deep.equal(["undefined", 5, [1], refused, refused]);
    } finally {
      await browser.close();
    }
  });

  /** Bundles a program for browsers by esbuild, which refuses a module of Node there. */
  async function minified(contents: string): Promise<Uint8Array> {
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: folder },
      bundle: true,
      minify: true,
      format: "esm",
      platform: "browser",
      write: false,
      logLevel: "silent",
    });
    return outputFiles[0]!.contents;
  }

  for (const entry of BROWSER_ENTRIES) {
    it(`for browsers have no module of Node in ${NAME}${entry}`, async () => {
      expect(await minified(`export * from "${NAME}${entry}";`)).to.not.be.empty;
    });
  }

  it("for browsers have each class once, imported or required", async () => {
    const file = join(folder, "both-ways.mjs");
    writeFileSync(file, await minified(BOTH_WAYS));
    expect(run(process.execPath, [file], folder).output).to.equal("true true\n");
  });

  for (const [program, most] of Object.entries(SIZES)) {
    it(`for browsers take at most ${most} bytes: ${program}`, async () => {
      expect((await minified(program)).length).to.be.within(most * 0.95, most);
    });
  }
});
