import { execFileSync, spawnSync } from "node:child_process";
import { accessSync, constants, mkdirSync, symlinkSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";

/** The root of the repository. */
export const ROOT = join(__dirname, "..", "..", "..");

/** The outcome of a program. */
export interface Ended {
  readonly status: number | null;
  /** The text of stdout, then that of stderr. */
  readonly output: string;
}

/** Runs a program to its end. */
export function run(
  program: string,
  args: readonly string[],
  cwd: string,
  env: NodeJS.ProcessEnv = process.env,
): Ended {
  const { status, stdout, stderr, error } = spawnSync(program, args, {
    cwd,
    env,
    encoding: "utf8",
    maxBuffer: 2 ** 26,
  });
  if (error !== undefined) {
    throw error;
  }
  return { status, output: stdout + stderr };
}

/** Runs npm, which is JavaScript, with this Node. */
export function npm(args: readonly string[], cwd: string, env?: NodeJS.ProcessEnv): Ended {
  return run(process.execPath, [npmScript(), ...args], cwd, env);
}

function npmScript(): string {
  // npm sets the variable for its scripts. Else npm is installed beside this Node.
  const folder = dirname(dirname(process.execPath));
  return process.env["npm_execpath"] ?? join(folder, "lib/node_modules/npm/bin/npm-cli.js");
}

/**
 * The environment of a machine that has Node and a shell, but no compiler, Python or make, and
 * without the variables that npm sets for its scripts.
 */
export function bareMachine(folder: string): NodeJS.ProcessEnv {
  mkdirSync(folder, { recursive: true });
  for (const program of ["node", "sh", "env", "uname"]) {
    symlinkSync(program === "node" ? process.execPath : find(program), join(folder, program));
  }
  return { ...outsideNpm(), PATH: folder };
}

/** This process's environment without the variables that npm sets for its scripts. */
export function outsideNpm(): NodeJS.ProcessEnv {
  const npmsOwn = /^(npm_(?!config_nodedir)|INIT_CWD|NODE_GYP_|CC$|CXX$|MAKE$|PYTHON$)/i;
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !npmsOwn.test(name)));
}

function find(program: string): string {
  const path = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((folder) => join(folder, program))
    .find(isExecutable);
  if (path === undefined) {
    throw new Error(`${program} is not in PATH`);
  }
  return path;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** The folders of all packages that this one depends on, directly or not, in this checkout. */
export function dependencyFolders(): string[] {
  return execFileSync(process.execPath, [npmScript(), "ls", "--omit=dev", "--all", "--parseable"], {
    cwd: ROOT,
    encoding: "utf8",
  })
    .split("\n")
    .filter((folder) => folder.includes("node_modules"));
}
