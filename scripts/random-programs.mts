/**
 * Runs the random programs of test/support/random-programs.ts on QEMU, and writes their output to
 * test/fixtures/random-programs.txt, with which a test compares that of the example's machine. This
 * needs Debian's qemu-system-misc.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { programFile } from "../examples/frontend/programs.js";
import { BATCHES, BODIES, randomPrograms } from "../test/support/random-programs.js";

const FIXTURE = "test/fixtures/random-programs.txt";
/** Extensions that the machine does not have. */
const OFF = ["f", "d", "h", "sstc", "zba", "zbb", "zbc", "zbs"];

const folder = mkdtempSync(join(tmpdir(), "random-programs-"));
try {
  const outputs = BATCHES.map((batch) => {
    const file = join(folder, "programs");
    writeFileSync(file, randomPrograms(batch));
    return execFileSync(
      "qemu-system-riscv64",
      [
        ...["-M", "virt", "-m", "16M", "-display", "none", "-serial", "stdio"],
        ...["-cpu", ["rv64", ...OFF.map((name) => `${name}=off`)].join()],
        ...["-bios", programFile("random")],
        ...["-device", `loader,file=${file},addr=${BODIES},force-raw=on`],
      ],
      { encoding: "utf8" },
    );
  });
  writeFileSync(FIXTURE, outputs.join(""));
} finally {
  rmSync(folder, { recursive: true });
}
