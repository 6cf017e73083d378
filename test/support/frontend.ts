import { execFileSync } from "node:child_process";
import { join } from "node:path";

const ROOT = join(__dirname, "../..");

/** Compiles the example frontend into build-example, as `npm run example` does. */
export function compileFrontend(): void {
  execFileSync(process.execPath, [
    join(ROOT, "node_modules/typescript/bin/tsc"),
    "-p",
    join(ROOT, "examples/frontend"),
  ]);
}

/** A compiled file of the example frontend. */
export function compiled(name: string): string {
  return join(ROOT, "build-example", name);
}
