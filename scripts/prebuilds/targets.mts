import { fileURLToPath } from "node:url";
import { fetchedTool } from "./fetched.mjs";

/** The root of the repository. */
export const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The Node-API version of every binary: that of the oldest Node supported. */
export const NAPI_VERSION = 8;

/** The oldest glibc that Node 20 runs on. No binary may require a newer one. */
const NODE_GLIBC = "2.28";

/** A platform that a prebuilt binary is made for. */
export interface Target {
  readonly name: string;
  readonly platform: "linux" | "win32" | "darwin";
  readonly arch: "x64" | "arm64";
  readonly libc?: "glibc" | "musl";
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

const ALL: readonly Target[] = [
  {
    name: "linux-x64-glibc",
    platform: "linux",
    arch: "x64",
    libc: "glibc",
    builder: "prebuildify",
    needs: { "g++": "g++", make: "make", python3: "python3", strip: "binutils" },
    binutils: "",
    environment: () => ({ CC: "gcc", CXX: "g++", LDFLAGS: ELF_LDFLAGS }),
    glibc: NODE_GLIBC,
  },
  {
    name: "linux-arm64-glibc",
    platform: "linux",
    arch: "arm64",
    libc: "glibc",
    builder: "prebuildify",
    needs: { "aarch64-linux-gnu-g++": "g++-aarch64-linux-gnu", make: "make", python3: "python3" },
    binutils: "aarch64-linux-gnu-",
    environment: () => ({
      CC: "aarch64-linux-gnu-gcc",
      CXX: "aarch64-linux-gnu-g++",
      LDFLAGS: ELF_LDFLAGS,
    }),
    glibc: NODE_GLIBC,
  },
  {
    name: "linux-x64-musl",
    platform: "linux",
    arch: "x64",
    libc: "musl",
    builder: "prebuildify",
    needs: { make: "make", python3: "python3", strip: "binutils" },
    binutils: "",
    environment: muslEnvironment,
  },
  {
    name: "win32-x64",
    platform: "win32",
    arch: "x64",
    builder: "cmake",
    needs: { "x86_64-w64-mingw32-g++": "g++-mingw-w64-x86-64", cmake: "cmake" },
    binutils: "x86_64-w64-mingw32-",
    environment: () => ({}),
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

/**
 * Debian has musl, but no C++ library for it. The npm package of Zig contains clang with both. On a
 * machine with musl, its own compiler has both.
 */
function muslEnvironment(): NodeJS.ProcessEnv {
  if (thisMachine() === "linux-x64-musl") {
    return { CC: "gcc", CXX: "g++", LDFLAGS: ELF_LDFLAGS };
  }
  const zig = `${fetchedTool("zig")}/zig`;
  const cache = `${ROOT}build-tools/zig-cache`;
  return {
    CC: `${zig} cc -target x86_64-linux-musl`,
    CXX: `${zig} c++ -target x86_64-linux-musl`,
    LDFLAGS: `-Wl,--gc-sections -Wl,--version-script=${ROOT}scripts/prebuilds/exports.map`,
    ZIG_GLOBAL_CACHE_DIR: cache,
    ZIG_LOCAL_CACHE_DIR: cache,
  };
}

/** Every target, by name. */
export const TARGETS: ReadonlyMap<string, Target> = new Map(
  ALL.map((target) => [target.name, target]),
);

/** The path below the package's root at which the package looks for the binary of `target`. */
export function prebuildPath(target: Target): string {
  // "napi" marks a binary that does not depend on the ABI of a Node version.
  const file = ["node.napi", target.libc, "node"].filter((tag) => tag !== undefined).join(".");
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
