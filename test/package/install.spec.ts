import { spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { build, type BuildOptions } from "esbuild";
import { TARGETS, thisMachine } from "../../scripts/prebuilds/targets.mjs";
import {
  bareMachine,
  dependencyFolders,
  type Ended,
  npm,
  outsideNpm,
  ROOT,
  run,
} from "./support/machine.js";
import {
  asCommonJs,
  everySubpath,
  fixture,
  PROGRAMS,
  quickStart,
  QUICK_START_OUTPUT,
} from "./support/programs.js";

const NAME = "pound-guest-memory";
const TSC = join(ROOT, "node_modules/typescript/bin/tsc");
const MANIFEST = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, unknown>>;
};
/** The entries that the package exports, such as "/loader", with "" for the root. */
const ENTRIES = Object.keys(MANIFEST.exports)
  .filter((path) => path !== "./package.json")
  .map((path) => path.slice(1));

interface Packed {
  readonly filename: string;
  readonly files: readonly { readonly path: string; readonly size: number }[];
}

/** Packs a package folder as `npm publish` would, without building anything. */
function pack(folder: string, destination: string): Packed {
  const { status, output } = npm(
    ["pack", "--json", "--ignore-scripts", "--pack-destination", destination],
    folder,
    { ...outsideNpm(), npm_config_loglevel: "error" },
  );
  expect(status, output).to.equal(0);
  return (JSON.parse(output) as [Packed])[0];
}

describe("the package, as npm packs it", () => {
  let scratch: string;
  let bare: NodeJS.ProcessEnv;
  let packed: Packed;
  let built: Ended;

  before(function () {
    if (!TARGETS.has(thisMachine())) {
      console.log(`    SKIPPED (no prebuilt binary is made for ${thisMachine()})`);
      this.skip();
    }
    scratch = mkdtempSync(join(tmpdir(), "pound-package-"));
    bare = bareMachine(join(scratch, "bin"));
    built = run(process.execPath, ["--import=tsx", "scripts/prebuilds.mts", "--twice"], ROOT);
    expect(built.status, built.output).to.equal(0);
    packed = pack(ROOT, scratch);
  });

  after(() => {
    rmSync(scratch, { recursive: true, force: true });
  });

  /** Installs the package from `tarball` into an empty folder. */
  function install(
    name: string,
    tarball: string,
    env: NodeJS.ProcessEnv,
    options: readonly string[] = [],
  ): { folder: string; ended: Ended } {
    const folder = join(scratch, name);
    mkdirSync(folder);
    // Newer versions of npm run the install scripts of these packages only.
    writeFileSync(join(folder, "package.json"), JSON.stringify({ allowScripts: { [NAME]: true } }));
    const ended = npm(
      // Dependencies come from this checkout, so that npm needs no registry.
      ["install", "--offline", "--install-links", "--no-audit", "--no-fund", ...options].concat(
        tarball,
        dependencyFolders(),
      ),
      folder,
      env,
    );
    return { folder, ended };
  }

  /** A tarball without binaries, as for a platform that has none. */
  function packWithoutBinaries(): string {
    const folder = join(scratch, "sources");
    mkdirSync(folder, { recursive: true });
    for (const { path } of packed.files.filter((file) => !file.path.startsWith("prebuilds/"))) {
      cpSync(join(ROOT, path), join(folder, path));
    }
    const { filename } = pack(folder, folder);
    return join(folder, filename);
  }

  it("has a binary that is the same whatever folder it is built in", () => {
    expect(built.output).to.include("the same bytes when built twice");
  });

  it("contains the files that a user needs, and no others", () => {
    const expected = [
      /^(package\.json|README\.md|LICENSE|binding\.gyp)$/,
      /^dist\/[\w/-]+(\.browser)?\.(js|d\.ts|mjs|d\.mts)$/,
      /^prebuilds\/(linux|win32|darwin)-\w+\/node\.napi(\.armv7)?(\.glibc|\.musl)?\.node$/,
      /^native\/(addon|pound)\/[\w/]+\.(h|cpp)$/,
      /^native\/CMakeLists\.txt$/,
      /^native\/cmake\/pound[\w-]+\.cmake(\.in)?$/,
      /^scripts\/install\/check-toolchain\.cjs$/,
      /^docs\/[\w-]+\.md$/,
      /^dist\/inspector-page\/(index\.html|main\.mjs|style\.css|icon\.svg)$/,
      /^traces\/[\w-]+\.lackey\.br$/,
    ];
    const paths = packed.files.map(({ path }) => path);
    expect(paths.filter((path) => !expected.some((pattern) => pattern.test(path)))).to.deep.equal(
      [],
    );
    for (const pattern of expected) {
      expect(
        paths.some((path) => pattern.test(path)),
        String(pattern),
      ).to.equal(true);
    }
  });

  it("takes less than 2 MiB unpacked, with the binary of one platform", () => {
    const binaries = packed.files.filter(({ path }) => path.endsWith(".node"));
    const others = packed.files.filter((file) => !binaries.includes(file));
    const sum = (files: typeof others): number => files.reduce((all, { size }) => all + size, 0);
    const largest = Math.max(...binaries.map(({ size }) => size));
    expect(sum(others) + largest).to.be.below(2 * 2 ** 20);
  });

  describe("installed where there is no compiler, make or Python", () => {
    let folder: string;

    before(() => {
      const installed = install("user", join(scratch, packed.filename), bare);
      expect(installed.ended.status, installed.ended.output).to.equal(0);
      folder = installed.folder;
    });

    /** Runs a program in the folder of the installation. */
    function expectOutput(file: string, output: string): void {
      const ended = run(process.execPath, [file], folder, bare);
      expect(ended.output).to.equal(output);
      expect(ended.status).to.equal(0);
    }

    function writeProgram(file: string, code: string): void {
      writeFileSync(join(folder, file), code);
    }

    function compile(source: string, module: string, moduleResolution: string): void {
      const options = ["--module", module, "--moduleResolution", moduleResolution];
      const types = ["--types", "node", "--typeRoots", join(ROOT, "node_modules/@types")];
      const compiled = run(
        process.execPath,
        [TSC, "--strict", "--target", "es2022", ...types, ...options, source],
        folder,
      );
      expect(compiled.output).to.equal("");
    }

    it("has built nothing", () => {
      expect(existsSync(join(folder, "node_modules", NAME, "build"))).to.equal(false);
    });

    for (const { title, name, code, output } of PROGRAMS) {
      describe(`to ${title}`, () => {
        it("works in an ES module", () => {
          writeProgram(`${name}.mjs`, code());
          expectOutput(`${name}.mjs`, output);
        });

        it("works in CommonJS", () => {
          writeProgram(`${name}.cjs`, asCommonJs(code()));
          expectOutput(`${name}.cjs`, output);
        });

        it("works in TypeScript of moduleResolution node16, as both kinds of module", () => {
          for (const [source, compiled] of [
            [`${name}-node16.mts`, `${name}-node16.mjs`],
            [`${name}-node16.cts`, `${name}-node16.cjs`],
          ] as const) {
            writeProgram(source, code());
            compile(source, "node16", "node16");
            expectOutput(compiled, output);
          }
        });

        it("works in TypeScript of moduleResolution bundler", () => {
          writeProgram(`${name}-bundler.mts`, code());
          compile(`${name}-bundler.mts`, "esnext", "bundler");
          expectOutput(`${name}-bundler.mjs`, output);
        });
      });
    }

    it("exports no entry that the program above leaves out", () => {
      const imported = everySubpath().matchAll(
        /^import (?:.* from )?"pound-guest-memory([^"]*)";$/gm,
      );
      expect(Array.from(imported, ([, entry]) => entry)).to.have.members(ENTRIES);
    });

    it("has each class once, whichever entry and kind of module it is imported by", () => {
      writeProgram("one-class.mjs", fixture("one-class.mjs"));
      expectOutput(
        "one-class.mjs",
        [
          ...ENTRIES.map((entry) => {
            // Only bundles for browsers need this entry. In Node it is empty.
            const has = entry === "/accessors" ? "no names" : "compared";
            return `${entry || "root"}: ${has}`;
          }),
          "fault of /loader: true",
          "fault of /typed: true",
          "snapshot of the root: true",
          "error of /inspector: true",
          "error of /crosscheck: true",
          "array of /typed: true",
          "core and addon loaded: 2",
          "",
        ].join("\n"),
      );
    });

    it("has the command line use the classes that a subject of crosscheck imports", () => {
      writeProgram("subject.mjs", fixture("subject.mjs"));
      writeProgram("subject.cjs", asCommonJs(fixture("subject.mjs")));
      const command = join(folder, "node_modules/.bin", NAME);
      for (const subject of ["subject.mjs", "subject.cjs"]) {
        const args = ["crosscheck", "--ops", "100", "--size", "4096", "--subject", subject];
        const { status, output } = run(command, args, folder, bare);
        expect(output).to.match(/^no difference in 100 operations.*\n2 memories\n$/);
        expect(status).to.equal(0);
      }
    });

    describe("to TypeScript with its defaults, which load no package's types", () => {
      const SOURCE = `import { type Gpa, GuestMemory } from "${NAME}";
        const at: Gpa = 8;
        using memory: GuestMemory & Disposable = GuestMemory.allocate(16);
        const bytes: Uint8Array = memory.buffer;
        console.log(memory.readl(at), bytes.length);`;

      /** Makes a folder for a consumer beside the installation. */
      function makeConsumer(name: string, types: boolean): string {
        const consumer = join(folder, name);
        mkdirSync(join(consumer, "node_modules/@types"), { recursive: true });
        if (types) {
          for (const part of ["@types/node", "undici-types"]) {
            symlinkSync(
              join(ROOT, "node_modules", part),
              join(consumer, "node_modules", part),
              "junction",
            );
          }
        }
        // A copy, since TypeScript looks for the types of Node from the package's real folder.
        cpSync(join(folder, "node_modules", NAME), join(consumer, "node_modules", NAME), {
          recursive: true,
        });
        return consumer;
      }

      function compileAlone(consumer: string, source: string, target: string): Ended {
        writeFileSync(join(consumer, "consumer.mts"), source);
        const options = ["--strict", "--target", target, "--module", "nodenext"];
        return run(process.execPath, [TSC, ...options, "consumer.mts"], consumer);
      }

      function expectToCompile(consumer: string, source: string, target: string): void {
        const { status, output } = compileAlone(consumer, source, target);
        expect(output).to.equal("");
        expect(status).to.equal(0);
      }

      it("has types that need only @types/node, whatever the target and the entry", () => {
        const consumer = makeConsumer("types", true);
        const buffers = SOURCE.replace("Uint8Array", "Buffer");
        expectToCompile(consumer, `/// <reference types="node" />\n${buffers}`, "es2015");
        for (const entry of ENTRIES) {
          expectToCompile(consumer, `export * from "${NAME}${entry}";`, "es2015");
        }
      });

      it("has types that need not even those, in the entries that use no files", () => {
        const consumer = makeConsumer("no-types", false);
        const entries = ["atomics", "loader", "mmu", "trace", "typed"]
          .map((entry) => `export * as ${entry} from "${NAME}/${entry}";\n`)
          .join("");
        expectToCompile(consumer, entries + SOURCE, "es2015");
        expectToCompile(consumer, entries + SOURCE, "esnext");
        const { output } = compileAlone(consumer, `export * from "${NAME}/snapshot";`, "es2022");
        expect(output).to.match(
          /dist\/snapshot\/index\.d\.ts\(\d+,\d+\): error TS2688: Cannot find type definition file for 'node'/,
        );
      });
    });

    describe("to a bundler", () => {
      /** Bundles the quick start with esbuild into a folder of its own, and runs it there. */
      async function bundle(file: string, options: BuildOptions): Promise<() => Ended> {
        const output = join(folder, file);
        writeFileSync(join(folder, "entry.mjs"), quickStart());
        await build({
          entryPoints: [join(folder, "entry.mjs")],
          outfile: output,
          bundle: true,
          platform: "node",
          logLevel: "error",
          ...options,
        });
        return () => run(process.execPath, [output], scratch, bare);
      }

      it("is found if it is external, in both formats", async () => {
        const external = [NAME];
        const commonJs = await bundle("external/out.cjs", { external, format: "cjs" });
        expect(commonJs().output).to.equal(QUICK_START_OUTPUT);
        const esModule = await bundle("external/out.mjs", { external, format: "esm" });
        expect(esModule().output).to.equal(QUICK_START_OUTPUT);
      });

      it("is found in CommonJS with a copy of prebuilds beside it, and else says what to do", async () => {
        const bundled = await bundle("copied/out.cjs", {});
        const { status, output } = bundled();
        expect(status).to.equal(1);
        expect(output).to.include("ERR_NO_ADDON");
        expect(output).to.include("--external:pound-guest-memory");
        expect(output).to.include("prebuilds beside it; see docs/bundlers.md");
        const prebuilds = join(folder, "node_modules", NAME, "prebuilds");
        cpSync(prebuilds, join(folder, "copied/prebuilds"), { recursive: true });
        expect(bundled().output).to.equal(QUICK_START_OUTPUT);
      });
    });

    it("has the C++ library, which CMake builds, installs and finds", function () {
      if (spawnSync("cmake", ["--version"]).error !== undefined) {
        expect(process.env["POUND_REQUIRE_ALL"]).to.not.equal("1");
        console.log("      SKIPPED (not installed: cmake)");
        this.skip();
      }
      const cmake = (...args: string[]): void => {
        const { status, output } = run("cmake", args, folder, outsideNpm());
        expect(status, output).to.equal(0);
      };
      const prefix = join(folder, "prefix");
      cmake("-S", `node_modules/${NAME}/native`, "-B", "pound", "-DCMAKE_BUILD_TYPE=Release");
      cmake("--build", "pound");
      cmake("--install", "pound", "--prefix", prefix);
      cmake(
        ...["-S", join(ROOT, "native/tests/package/consumer"), "-B", "consumer"],
        ...[`-DCMAKE_PREFIX_PATH=${prefix}`, "-DPOUND_EXPECTED_VERSION=0.1.0"],
      );
      cmake("--build", "consumer");
      expect(run(join(folder, "consumer/consumer"), [], folder).output).to.equal(
        "pound consumer: 0x11223344\n",
      );
    });

    it("replays the bundled trace from the command line", () => {
      const command = join(folder, "node_modules/.bin", NAME);
      expect(statSync(command).mode & 0o111).to.not.equal(0);
      const { status, output } = run(command, ["replay", "--json"], folder, bare);
      expect(status, output).to.equal(0);
    });
  });

  it("needs no install script where a prebuilt binary fits", () => {
    const { folder, ended } = install("no-scripts", join(scratch, packed.filename), bare, [
      "--ignore-scripts",
    ]);
    expect(ended.status, ended.output).to.equal(0);
    writeFileSync(join(folder, "quick-start.mjs"), quickStart());
    expect(run(process.execPath, ["quick-start.mjs"], folder, bare).output).to.equal(
      QUICK_START_OUTPUT,
    );
  });

  describe("without a binary for the platform", () => {
    let tarball: string;

    before(() => {
      tarball = packWithoutBinaries();
    });

    it("lists everything that is missing to build it", () => {
      const { ended } = install("no-compiler", tarball, bare, ["--foreground-scripts"]);
      expect(ended.status).to.not.equal(0);
      expect(ended.output).to.include("no prebuilt binary works here");
      expect(ended.output).to.include(
        "That needs what is not installed here: Python 3.8 or later, make, a C++17 compiler",
      );
    });

    it("is built from source as the error on loading it says, and then works", () => {
      const { folder, ended } = install("from-source", tarball, outsideNpm(), ["--ignore-scripts"]);
      expect(ended.status, ended.output).to.equal(0);
      writeFileSync(join(folder, "quick-start.mjs"), quickStart());
      const unbuilt = run(process.execPath, ["quick-start.mjs"], folder);
      expect(unbuilt.status).to.equal(1);
      expect(unbuilt.output).to.include("ERR_NO_ADDON");
      const command = /build it from source: npm (rebuild [\w-]+)/.exec(unbuilt.output)![1]!;
      const rebuilt = npm(command.split(" "), folder, outsideNpm());
      expect(rebuilt.status, rebuilt.output).to.equal(0);
      expect(run(process.execPath, ["quick-start.mjs"], folder).output).to.equal(
        QUICK_START_OUTPUT,
      );
    });
  });
});
