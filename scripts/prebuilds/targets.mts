import { fileURLToPath } from "node:url";
import { fetchedTool } from "./fetched.mjs";

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The Node-API version of every binary: that of the oldest Node supported. */
export const NAPI_VERSION = 8;

/** The symbols that Node looks up in an addon. */
export const EXPORTS = ["napi_register_module_v1", "node_api_module_get_api_version_v1"];

/** The oldest glibc that Node 20 runs on. No binary may require a newer one. */
const NODE_GLIBC = "2.28";

/** A platform that a prebuilt binary is made for. */
export interface Target {
  readonly name: string;
  readonly platform: "linux" | "win32" | "darwin";
  readonly arch: string;
  readonly libc?: "glibc" | "musl";
  /** The version of the ARM architecture that a binary for 32 bits requires. */
  readonly armVersion?: string;
  /** The build tool: prebuildify with binding.gyp, or CMake with CMakeLists.txt. */
  readonly builder: "prebuildify" | "cmake";
  /** Programs that the build needs, with the Debian package of each. */
  readonly needs: Readonly<Record<string, string>>;
  /** Name prefix of the binutils that read the binary. */
  readonly binutils: string;
  /** Environment of the build. */
  readonly environment: () => NodeJS.ProcessEnv;
  /** The newest glibc that the binary may require. */
  readonly glibc?: string;
}

/**
 * libstdc++ is linked statically, since the user's may be older than the compiler's. libgcc_s is
 * linked dynamically, since a static one requires glibc 2.35. Only the symbols that Node looks up
 * are exported, so that this copy of libstdc++ and another addon's do not replace each other.
 */
const ELF_LDFLAGS = `-static-libstdc++ -shared-libgcc -Wl,--gc-sections -Wl,--version-script=${ROOT}scripts/prebuilds/exports.map`;

/** `process.arch` of each cross-built Linux target, and Debian's name of its compiler. */
export const CROSS_COMPILERS = {
  arm64: "aarch64-linux-gnu",
  arm: "arm-linux-gnueabihf",
  ppc64: "powerpc64le-linux-gnu",
  s390x: "s390x-linux-gnu",
} as const;

function glibcTarget(arch: "x64" | keyof typeof CROSS_COMPILERS): Target {
  const compiler = arch === "x64" ? "" : `${CROSS_COMPILERS[arch]}-`;
  return {
    name: `linux-${arch}-glibc`,
    platform: "linux",
    arch,
    libc: "glibc",
    ...(arch === "arm" ? { armVersion: "7" } : {}),
    builder: "prebuildify",
    needs: {
      ...(arch === "x64"
        ? { "g++": "g++", strip: "binutils" }
        : { [`${compiler}g++`]: `g++-${CROSS_COMPILERS[arch]}` }),
      make: "make",
      python3: "python3",
    },
    binutils: compiler,
    environment: () => ({
      CC: `${compiler}gcc`,
      CXX: `${compiler}g++`,
      LDFLAGS: ELF_LDFLAGS,
    }),
    glibc: NODE_GLIBC,
  };
}

/**
 * Debian has musl, but no C++ library for it. The npm package of Zig contains clang with both. On a
 * machine with musl, its own compiler has both.
 */
function muslTarget(arch: "x64" | "arm64"): Target {
  const name = `linux-${arch}-musl`;
  const binutils = arch === "x64" ? "" : `${CROSS_COMPILERS[arch]}-`;
  return {
    name,
    platform: "linux",
    arch,
    libc: "musl",
    builder: "prebuildify",
    needs: {
      ...(arch === "x64"
        ? { strip: "binutils" }
        : { [`${binutils}strip`]: `binutils-${CROSS_COMPILERS[arch]}` }),
      make: "make",
      python3: "python3",
    },
    binutils,
    environment: () =>
      thisMachine() === name
        ? { CC: "gcc", CXX: "g++", LDFLAGS: ELF_LDFLAGS }
        : zigEnvironment(arch === "x64" ? "x86_64-linux-musl" : "aarch64-linux-musl"),
  };
}

function zigEnvironment(triple: string): NodeJS.ProcessEnv {
  const zig = `${fetchedTool("zig")}/zig`;
  const cache = `${ROOT}build-tools/zig-cache`;
  return {
    CC: `${zig} cc -target ${triple}`,
    CXX: `${zig} c++ -target ${triple}`,
    LDFLAGS: `-Wl,--gc-sections -Wl,--version-script=${ROOT}scripts/prebuilds/exports.map`,
    ZIG_GLOBAL_CACHE_DIR: cache,
    ZIG_LOCAL_CACHE_DIR: cache,
  };
}

const ALL: readonly Target[] = [
  glibcTarget("x64"),
  glibcTarget("arm64"),
  glibcTarget("arm"),
  glibcTarget("ppc64"),
  glibcTarget("s390x"),
  muslTarget("x64"),
  muslTarget("arm64"),
  {
    name: "win32-x64",
    platform: "win32",
    arch: "x64",
    builder: "cmake",
    needs: { "x86_64-w64-mingw32-g++": "g++-mingw-w64-x86-64", cmake: "cmake" },
    binutils: "x86_64-w64-mingw32-",
    environment: () => ({ CXX: "x86_64-w64-mingw32-g++" }),
  },
  {
    name: "win32-arm64",
    platform: "win32",
    arch: "arm64",
    builder: "cmake",
    needs: { cmake: "cmake", "aarch64-linux-gnu-objdump": "binutils-aarch64-linux-gnu" },
    binutils: "aarch64-linux-gnu-",
    // The linker of Windows exports only the functions that the sources declare as exported.
    environment: () => ({ ...zigEnvironment("aarch64-windows-gnu"), LDFLAGS: "" }),
  },
  ...(["x64", "arm64"] as const).map((arch): Target => ({
    name: `darwin-${arch}`,
    platform: "darwin",
    arch,
    builder: "prebuildify",
    needs: { "c++": "Xcode", make: "Xcode", python3: "Xcode" },
    binutils: "",
    environment: () => ({}),
  })),
];

/** Every target, by name. */
export const TARGETS: ReadonlyMap<string, Target> = new Map(
  ALL.map((target) => [target.name, target]),
);

/** The path below the package's root at which the package looks for the binary of `target`. */
export function prebuildPath(target: Target): string {
  // "napi" marks a binary that does not depend on the ABI of a Node version.
  const arm = target.armVersion === undefined ? undefined : `armv${target.armVersion}`;
  const file = ["node.napi", arm, target.libc, "node"].filter((tag) => tag !== undefined).join(".");
  return `prebuilds/${target.platform}-${target.arch}/${file}`;
}

interface ReportOfLibc {
  readonly header: { readonly glibcVersionRuntime?: string };
}

/** The name of this machine's target. */
export function thisMachine(): string {
  // Node's report has the version of glibc if Node runs on glibc.
  const { glibcVersionRuntime } = (process.report.getReport() as unknown as ReportOfLibc).header;
  const libc = process.platform !== "linux" ? [] : [glibcVersionRuntime ? "glibc" : "musl"];
  return [process.platform, process.arch, ...libc].join("-");
}
