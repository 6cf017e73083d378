// Runs before the addon is built from source on a user's machine, where no prebuilt binary fits. It
// lists everything that is missing, whereas node-gyp stops at the first missing program.
"use strict";

const { spawnSync } = require("node:child_process");

/** Whether a program starts and ends with status 0. */
function runs(program, args, input) {
  // A variable such as CXX may hold a compiler with its flags.
  const [file, ...flags] = program.split(" ");
  const { status, error } = spawnSync(file, [...flags, ...args], { input, stdio: "pipe" });
  return error === undefined && status === 0;
}

function pythons() {
  const { NODE_GYP_FORCE_PYTHON, npm_config_python, PYTHON } = process.env;
  const chosen = NODE_GYP_FORCE_PYTHON ?? npm_config_python ?? PYTHON;
  return [...(chosen === undefined ? [] : [chosen]), "python3", "python", "py"];
}

function findMissing() {
  const missing = [];
  const isPython3 = ["-c", "import sys; sys.exit(sys.version_info < (3, 8))"];
  if (!pythons().some((python) => runs(python, isPython3))) {
    missing.push("Python 3.8 or later");
  }
  if (process.platform === "win32") {
    // node-gyp finds Visual Studio by itself.
    return missing;
  }
  if (!runs(process.env.MAKE ?? "make", ["--version"])) {
    missing.push("make");
  }
  const compiler = process.env.CXX ?? (process.platform === "darwin" ? "c++" : "g++");
  const probe = ["-std=c++17", "-fsyntax-only", "-x", "c++", "-"];
  if (!runs(compiler, ["--version"])) {
    missing.push(`a C++17 compiler (${compiler})`);
  } else if (!runs(compiler, probe, "#include <memory>\n#include <optional>\n")) {
    missing.push(`C++17 and its standard library for ${compiler}`);
  }
  return missing;
}

/** The command that installs all of it, if there is one. */
function advice() {
  switch (process.platform) {
    case "linux":
      return "On Debian and Ubuntu: apt-get install g++ make python3. On Alpine: apk add g++ make python3.";
    case "darwin":
      return "xcode-select --install brings all of it.";
    case "win32":
      return "It also needs Visual Studio with its C++ workload.";
    default:
      return "";
  }
}

const missing = findMissing();
const where = `${process.platform}-${process.arch}, Node ${process.versions.node}`;
console.error(
  `pound-guest-memory: no prebuilt binary works here (${where}); building from source.`,
);
if (missing.length > 0) {
  console.error(`That needs what is not installed here: ${missing.join(", ")}.\n${advice()}`);
  process.exit(1);
}
