import { spawnSync } from "node:child_process";
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
import { dirname, join } from "node:path";
import { expect } from "chai";

const ROOT = join(__dirname, "../..");

/** The binaries that a package may have for this machine, the right one first. */
function names(): string[] {
  const folder = `prebuilds/${process.platform}-${process.arch}`;
  if (process.platform !== "linux") {
    return [`${folder}/node.napi.node`];
  }
  const arm = process.arch === "arm" ? "armv7." : "";
  return (onGlibc() ? ["glibc", "musl"] : ["musl", "glibc"]).map(
    (libc) => `${folder}/node.napi.${arm}${libc}.node`,
  );
}

function onGlibc(): boolean {
  const { header } = process.report.getReport() as {
    readonly header: { readonly glibcVersionRuntime?: string };
  };
  return header.glibcVersionRuntime !== undefined;
}

/** The addon that these tests run on. */
function addon(): string {
  return ["build/Release/pound_guest_memory.node", ...names()]
    .map((place) => join(ROOT, place))
    .find((file) => existsSync(file))!;
}

/** Copies the code of the package, all of which that loads the addon is in `chunks`. */
function copyCode(to: string): void {
  mkdirSync(to);
  cpSync(join(ROOT, "dist/chunks"), join(to, "chunks"), { recursive: true });
  copyFileSync(join(ROOT, "dist/index.js"), join(to, "index.js"));
}

describe("loading the addon", () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pound-load-"));
    copyCode(join(folder, "dist"));
    copyFileSync(join(ROOT, "package.json"), join(folder, "package.json"));
  });

  afterEach(() => {
    rmSync(folder, { recursive: true, force: true });
  });

  /** Puts a binary at `path`: the addon, or a file that is none. */
  function put(path: string, works: boolean): void {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    if (works) {
      copyFileSync(addon(), file);
    } else {
      writeFileSync(file, "no shared object");
    }
  }

  /**
   * What a program says that loads the package from `entry`: a value read, or the error.
   *
   * @param before - Statements that the program starts with.
   */
  function load(environment: NodeJS.ProcessEnv = {}, entry = "dist/index.js", before = ""): string {
    const program = `${before}; try {
      console.log(require(process.argv[1]).GuestMemory.allocate(8).native.readb(0));
    } catch (error) {
      console.log(error.code + ": " + error.message);
    }`;
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ["-e", program, join(folder, entry)],
      { encoding: "utf8", env: { ...process.env, ...environment } },
    );
    expect(status, stderr).to.equal(0);
    return stdout.trimEnd();
  }

  /** Where each path stands in a text. */
  function order(text: string): number[] {
    return names().map((path) => text.indexOf(join(folder, path)));
  }

  it("takes the one that was built from source before a prebuilt one", () => {
    names().forEach((name) => {
      put(name, false);
    });
    put("build/Release/pound_guest_memory.node", true);
    expect(load()).to.equal("0");
  });

  it("tries another binary where one does not load", () => {
    put("build/Release/pound_guest_memory.node", false);
    names().forEach((name, i) => {
      put(name, i === names().length - 1);
    });
    expect(load()).to.equal("0");
  });

  it("tells of each that it tried, in order, and how to build one", () => {
    names().forEach((name) => {
      put(name, false);
    });
    const said = load();
    expect(said).to.match(/^ERR_NO_ADDON: .*npm rebuild pound-guest-memory/);
    expect(said.match(/^\/?.*\.node: .+$/gm)).to.have.length(names().length);
    expect(order(said)).to.not.include(-1);
  });

  it("goes by the process, whatever npm and the environment say of the platform", () => {
    names().forEach((name) => {
      put(name, false);
    });
    const said = load({
      LIBC: onGlibc() ? "musl" : "glibc",
      npm_config_platform: "sunos",
      npm_config_arch: "ia32",
    });
    expect(order(said)).to.not.include(-1);
    expect(order(said)).to.deep.equal(order(said).sort((a, b) => a - b));
  });

  for (const [version, right, wrong] of [
    ["7", "armv7", "armv6"],
    ["6", "armv6", "armv7"],
    [undefined, "armv7", "armv6"],
  ] as const) {
    it(`takes the binary for ${right} where the process is built for ARM ${version ?? "of no version"}`, () => {
      const path = (arm: string): string => `prebuilds/linux-arm/node.napi.${arm}.glibc.node`;
      put(path(right), false);
      put(path(wrong), false);
      const said = load(
        {},
        "dist/index.js",
        `const process_ = { platform: "linux", arch: "arm",
           config: { variables: ${JSON.stringify({ arm_version: version })} } };
         for (const [name, value] of Object.entries(process_)) {
           Object.defineProperty(process, name, { value });
         }`,
      );
      expect(said).to.match(/^ERR_NO_ADDON: .*\(linux-arm\)/);
      expect(said).to.include(join(folder, path(right)));
      expect(said).to.not.include(join(folder, path(wrong)));
    });
  }

  it("tells where it has looked if there is none", () => {
    const said = load();
    expect(said).to.include(`no binary in ${folder}\n`);
    expect(said).to.include(`no binary in ${join(folder, "dist/chunks")}\n`);
  });

  it("finds prebuilds beside a bundle, and without them tells what a bundle needs", () => {
    // Its code lies in the folder of a program that is another package.
    const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
      readonly imports: Readonly<Record<string, { readonly default: string }>>;
    };
    const imports = Object.fromEntries(
      Object.entries(manifest.imports).map(([id, { default: path }]) => [
        id,
        path.replace("./dist/", "./bundle/"),
      ]),
    );
    writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "program", imports }));
    copyCode(join(folder, "bundle"));
    expect(load({}, "bundle/index.js")).to.match(
      /^ERR_NO_ADDON: .*--external:pound-guest-memory.*prebuilds beside it; see docs\/bundlers\.md/,
    );
    put(join("bundle/chunks", names()[0]!), true);
    expect(load({}, "bundle/index.js")).to.equal("0");
  });
});
