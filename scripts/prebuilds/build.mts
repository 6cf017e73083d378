import { execFileSync } from "node:child_process";
import { cpSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { finishDll } from "./export-table.mjs";
import { nodeApiObject } from "./node-api-object.mjs";
import { EXPORTS, NAPI_VERSION, prebuildPath, ROOT, type Target } from "./targets.mjs";

const require = createRequire(import.meta.url);
const NODE_API_HEADERS = dirname(require.resolve("node-api-headers/package.json"));
const NODE_ADDON_API = dirname(require.resolve("node-addon-api/package.json"));

/** The files and folders of this checkout that a build reads. */
const SOURCES = [
  "package.json",
  "binding.gyp",
  "CMakeLists.txt",
  "native/CMakeLists.txt",
  "native/cmake",
  "native/addon",
  "native/pound",
];

/**
 * Builds the binary of `target` in a temporary folder and returns its bytes.
 *
 * Each build has another folder, so that two builds differ if a binary depends on its path.
 */
export function build(target: Target): Buffer {
  const folder = mkdtempSync(join(tmpdir(), `pound-prebuild-${target.name}-`));
  try {
    stage(folder);
    const binary =
      target.builder === "cmake"
        ? buildWithCMake(target, folder)
        : buildWithPrebuildify(target, folder);
    const bytes = readFileSync(binary);
    if (target.name === "win32-arm64") {
      finishDll(bytes, EXPORTS);
    }
    return bytes;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function stage(folder: string): void {
  for (const source of SOURCES) {
    cpSync(join(ROOT, source), join(folder, source), { recursive: true });
  }
  // A link would not do: the compiler resolves it, and its path gets into the binary's messages.
  mkdirSync(join(folder, "node_modules"));
  cpSync(NODE_ADDON_API, join(folder, "node_modules/node-addon-api"), { recursive: true });
}

function environmentOf(target: Target): NodeJS.ProcessEnv {
  return {
    ...process.env,
    PATH: [join(ROOT, "node_modules/.bin"), process.env["PATH"]].join(delimiter),
    ...target.environment(),
  };
}

function buildWithPrebuildify(target: Target, folder: string): string {
  const env = environmentOf(target);
  if (target.platform === "linux") {
    env["npm_config_nodedir"] = nodeHeaders(folder);
    env["CXXFLAGS"] = `-ffile-prefix-map=${folder}=. -ffunction-sections`;
  }
  execFileSync(
    "prebuildify",
    [
      "--napi",
      "--name=node.napi",
      `--target=${process.versions.node}`,
      `--platform=${target.platform}`,
      `--arch=${target.arch}`,
      ...(target.armVersion === undefined ? [] : [`--tag-armv=${target.armVersion}`]),
      ...(target.libc === undefined ? [] : [`--tag-libc=${target.libc}`]),
      "--strip",
      `--strip-bin=${target.binutils}strip`,
    ],
    { cwd: folder, env, stdio: "inherit", shell: process.platform === "win32" },
  );
  return join(folder, prebuildPath(target));
}

/**
 * Makes a folder of headers for node-gyp that has those of Node-API only. So nothing is downloaded,
 * the addon can use nothing but Node-API, and the flags do not depend on the running Node.
 */
function nodeHeaders(folder: string): string {
  const root = join(folder, "node");
  cpSync(join(NODE_API_HEADERS, "include"), join(root, "include/node"), { recursive: true });
  copyFileSync(join(ROOT, "scripts/prebuilds/common.gypi"), join(root, "include/node/common.gypi"));
  return root;
}

function buildWithCMake(target: Target, folder: string): string {
  const env = environmentOf(target);
  const output = join(folder, "build");
  const run = (command: string, ...args: string[]): void => {
    execFileSync(command, args, { cwd: folder, env, stdio: "inherit" });
  };
  run(
    "cmake",
    "-S.",
    `-B${output}`,
    `-DCMAKE_TOOLCHAIN_FILE=native/cmake/${target.name}.cmake`,
    "-DCMAKE_BUILD_TYPE=Release",
    // The flags of common.gypi, which node-gyp reads.
    "-DCMAKE_CXX_FLAGS_RELEASE=-O2 -DNDEBUG",
    `-DCMAKE_CXX_FLAGS=-fno-rtti -fno-exceptions -ffile-prefix-map=${folder}=.`,
    `-DCMAKE_JS_INC=${join(NODE_API_HEADERS, "include")}`,
    `-DCMAKE_JS_LIB=${nodeApiObject(folder, env["CXX"]!.split(" "), target.arch, NAPI_VERSION)}`,
  );
  run("cmake", "--build", output, "--parallel", "2");
  return join(output, "pound_guest_memory.node");
}
