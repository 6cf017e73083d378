import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import commonjs from "@rollup/plugin-commonjs";
import nodeResolve from "@rollup/plugin-node-resolve";
import { expect } from "chai";
import { build, type BuildOptions } from "esbuild";
import { inject } from "postject";
import { rollup } from "rollup";
import webpack, { type Configuration } from "webpack";
import { thisMachine } from "../../scripts/prebuilds/targets.mjs";
import { outsideNpm, ROOT, run } from "./support/machine.js";

const NAME = "pound-guest-memory";
/** The entries that run in browsers. */
const BROWSER_ENTRIES = ["", "/atomics", "/mmu", "/snapshot", "/typed"];

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
const WITH_ADDON = "287454020 68 1144201745 1\n";
const WITHOUT = "287454020 none 1144201745 1\n";

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

      it("for browsers contain nothing of Node", async () => {
        const file = join(folder, `${name}-browser/out.cjs`);
        await bundle(folder, file, { target: "browser" });
        expect(readFileSync(file, "utf8")).to.not.match(/(require\(|from )"node:/);
        expect(runBundle(file)).to.equal(WITHOUT);
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

  for (const entry of BROWSER_ENTRIES) {
    it(`for browsers have no module of Node in ${NAME}${entry}`, async () => {
      // esbuild refuses a module of Node for this platform.
      const { outputFiles } = await build({
        stdin: { contents: `export * from "${NAME}${entry}";`, resolveDir: folder },
        bundle: true,
        minify: true,
        format: "esm",
        platform: "browser",
        write: false,
        logLevel: "silent",
      });
      const [{ contents }] = outputFiles as [(typeof outputFiles)[0]];
      expect(gzipSync(contents).length, `${contents.length} bytes`).to.be.below(
        entry === "" ? 62_000 : 72_000,
      );
    });
  }
});
