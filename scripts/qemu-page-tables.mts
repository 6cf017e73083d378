/*
 * Makes the accesses of test/support/page-table-cases.ts in QEMU, and stores the outcomes in
 * test/fixtures/page-tables, with which test/mmu/qemu.test.ts compares the walkers. It needs QEMU's
 * system emulators and cross compilers (Debian: qemu-system-misc, qemu-system-arm,
 * gcc-riscv64-linux-gnu, gcc-aarch64-linux-gnu), and takes a few seconds.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import {
  AARCH64,
  aarch64Cases,
  CASE_COUNT,
  type GuestLayout,
  packCases,
  type PageTableCase,
  RISCV,
  riscvCases,
} from "../test/support/page-table-cases.js";

const FOLDER = fileURLToPath(new URL("../test/fixtures/page-tables/", import.meta.url));

interface Guest {
  readonly name: string;
  readonly layout: GuestLayout;
  readonly cases: readonly PageTableCase[];
  readonly compiler: readonly string[];
  readonly emulator: readonly string[];
  /** Where the guest starts, in the low bits of the address of RAM. */
  readonly start: number;
}

const GUESTS: readonly Guest[] = [
  {
    name: "riscv64",
    layout: RISCV,
    cases: riscvCases(CASE_COUNT),
    compiler: ["riscv64-linux-gnu-gcc", "-march=rv64ima_zicsr", "-mabi=lp64", "-mcmodel=medany"],
    emulator: ["qemu-system-riscv64", "-machine", "virt", "-cpu", "rv64", "-bios", "none"],
    start: 0,
  },
  {
    name: "aarch64",
    layout: AARCH64,
    cases: aarch64Cases(CASE_COUNT),
    compiler: ["aarch64-linux-gnu-gcc", "-march=armv8.2-a", "-mgeneral-regs-only"],
    emulator: ["qemu-system-aarch64", "-machine", "virt", "-cpu", "max"],
    // Behind the device tree that QEMU makes.
    start: 0x10_0000,
  },
];

const scratch = mkdtempSync(join(tmpdir(), "pound-page-tables-"));
try {
  for (const guest of GUESTS) {
    const { name, layout, cases, compiler, emulator, start } = guest;
    const address = layout.ram + start;
    const elf = join(scratch, `${name}.elf`);
    const packed = join(scratch, `${name}.cases`);
    writeFileSync(packed, packCases(cases));
    const [program, ...flags] = compiler;
    execFileSync(
      program!,
      [
        ...flags,
        ..."-O1 -ffreestanding -nostdlib -static -fno-pic -fno-stack-protector".split(" "),
        `-Wl,--build-id=none,-T,${join(FOLDER, "guest.ld")},--defsym=BASE=${address}`,
        "-o",
        elf,
        join(FOLDER, `${name}.c`),
      ],
      { stdio: "inherit" },
    );
    const [machine, ...options] = emulator;
    const output = execFileSync(
      machine!,
      [
        ...options,
        ..."-m 512 -display none -serial stdio -monitor none -nic none -no-reboot".split(" "),
        "-device",
        `loader,file=${elf},cpu-num=0`,
        "-device",
        `loader,file=${packed},addr=${layout.cases},force-raw=on`,
      ],
      { encoding: "latin1", maxBuffer: 2 ** 26, timeout: 60_000 },
    );
    const lines = output.trim().split(/\r?\n/);
    if (lines.length !== cases.length) {
      throw new Error(`${name}: ${lines.length} outcomes of ${cases.length} cases`);
    }
    writeFileSync(join(FOLDER, `${name}.txt`), `${lines.join("\n")}\n`);
    console.log(`${name}: ${cases.length} cases`);
  }
} finally {
  rmSync(scratch, { recursive: true });
}
