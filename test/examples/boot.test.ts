import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { loadElf } from "pound-guest-memory/loader";
import { type BootName, BOOTS } from "../../examples/frontend/boots.js";
import { programFile } from "../../examples/frontend/programs.js";
import type * as Virt from "../../examples/frontend/virt.js";
import { compiled, compileFrontend } from "../support/frontend.js";
import { describeNative } from "../support/native-tests.js";
import { needFile } from "../support/need.js";

interface Outcome {
  readonly status: number | null;
  readonly output: string;
  readonly deviceAccesses: number;
  readonly differences: readonly string[];
}

/** Skips a test if the Debian packages of a guest are missing. */
function needBoot(context: Mocha.Context, name: BootName): void {
  needFile(context, BOOTS[name].firmware, "the package opensbi");
  if (name === "u-boot") {
    needFile(context, BOOTS[name].kernel, "the package u-boot-qemu");
  } else if (name === "linux") {
    needFile(context, BOOTS[name].initrd, "npm run guests");
  }
}

/** Boots a guest of Debian's packages on both paths, as a user does. */
function boot(context: Mocha.Context, name: BootName): Outcome {
  context.timeout(240_000);
  needBoot(context, name);
  const { stdout, stderr } = spawnSync(process.execPath, [compiled("main.js"), name, "--json"], {
    encoding: "utf8",
  });
  expect(stderr).to.equal("");
  return JSON.parse(stdout) as Outcome;
}

/** What OpenSBI has found out about the machine. */
const OPENSBI_LINES = [
  /^Platform Name +: riscv-virtio,qemu$/m,
  /^Platform IPI Device +: aclint-mswi$/m,
  /^Platform Timer Device +: aclint-mtimer @ 10000000Hz$/m,
  /^Platform Console Device +: uart8250$/m,
  /^Platform Shutdown Device +: sifive_test$/m,
  /^Domain0 Next Address +: 0x0000000080200000$/m,
  /^Domain0 Next Mode +: S-mode$/m,
  /^Boot HART Base ISA +: rv64imac$/m,
  /^Boot HART PMP Count +: 16$/m,
  /^Boot HART PMP Granularity +: 4$/m,
  /^Boot HART PMP Address Bits: 54$/m,
  /^Boot HART MIDELEG +: 0x0000000000000222$/m,
  /^Boot HART MEDELEG +: 0x000000000000b109$/m,
];

describeNative("the example's virt machine", () => {
  before(function () {
    this.timeout(120_000);
    compileFrontend();
  });

  it("boots OpenSBI to the end of its banner, alike on both paths", function () {
    const outcome = boot(this, "opensbi");
    const output = outcome.output.replaceAll("\r", "");
    OPENSBI_LINES.forEach((line) => expect(output).to.match(line));
    expect(outcome.deviceAccesses).to.be.above(output.length);
    expect(outcome.differences).to.deep.equal([]);
  });

  it("boots U-Boot, which obeys the commands typed at its prompt, alike on both paths", function () {
    const outcome = boot(this, "u-boot");
    const output = outcome.output.replaceAll("\r", "");
    OPENSBI_LINES.forEach((line) => expect(output).to.match(line));
    expect(output).to.match(/^DRAM: +128 MiB$/m);
    expect(output).to.match(/^=> version\nU-Boot 20/m);
    // The CRC-32 of eight times the bytes ef cd ab 89 67 45 23 01.
    expect(output).to.include("crc32 for 84000000 ... 8400003f ==> f3fa0bcd\n");
    expect(output).to.match(/^-> start += 0x0000000080000000\n-> size += 0x0000000008000000$/m);
    expect(output).to.match(/=> poweroff\npoweroff \.\.\.\n$/);
    expect(outcome.status).to.equal(0);
    expect(outcome.differences).to.deep.equal([]);
  });

  it("boots Linux, whose init passes its checks, alike on both paths", function () {
    const outcome = boot(this, "linux");
    const output = outcome.output.replaceAll("\r", "");
    OPENSBI_LINES.forEach((line) => expect(output).to.match(line));
    expect(output).to.match(/^\[ +[0-9.]+\] Linux version 6\.1\./m);
    const lines = output.split("\n").filter((line) => line.startsWith("init: "));
    expect(lines).to.deep.equal([
      "init: started",
      ...["/proc", "memory", "fork", "exec", "signals", "threads", "pipes", "disk"].map(
        (check) => `init: ${check}: ok`,
      ),
      "init: 0 failed",
    ]);
    expect(output).to.match(/reboot: Power down\n$/);
    expect(outcome.status).to.equal(0);
    expect(outcome.differences).to.deep.equal([]);
  });

  it("goes on from a saved machine in another process, with the same output", function () {
    this.timeout(240_000);
    needBoot(this, "linux");
    const folder = mkdtempSync(join(tmpdir(), "pound-"));
    const file = join(folder, "machine");
    const run = (...options: readonly string[]) => {
      const args = [compiled("main.js"), "linux", ...options];
      const { stdout, stderr, status } = spawnSync(process.execPath, args, {
        encoding: "utf8",
        timeout: 180_000,
      });
      expect(stderr).to.equal("");
      expect(status).to.equal(0);
      return stdout;
    };
    try {
      const whole = run();
      const first = run("--save", file, "--after", "init: fork: ok");
      expect(first).to.match(/init: fork: ok$/);
      expect(first + run("--restore", file)).to.equal(whole);
      expect(first + run("--restore", file, "--path", "native")).to.equal(whole);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  for (const path of ["view", "native"] as const) {
    it(`passes the checks of the instruction set on the ${path} path, as QEMU does`, function () {
      this.timeout(120_000);
      // The compiled hart is many times faster than the one that the tests import.
      const { VirtMachine } = createRequire(__filename)(compiled("virt.js")) as typeof Virt;
      const machine = new VirtMachine({ path, ramSize: 2 ** 24, firmware: new Uint8Array() });
      const isa = readFileSync(programFile("isa"));
      machine.cpu.pc = loadElf(machine.space, isa, { machine: "riscv" }).entry!;
      machine.cpu.run(60e6);
      expect(machine.status).to.equal(0);
      // This is the output of QEMU 7.2 for -M virt -m 16M.
      expect(machine.uart.output).to.equal(
        "isa: skipped the traps of another machine\n" +
          "isa: skipped what compressed instructions allow\n" +
          "isa: 20517 checks, 0 failed\n",
      );
    });
  }

  it("has the terminal as its serial port, with Ctrl-A B and X", async function () {
    this.timeout(120_000);
    needBoot(this, "u-boot");
    const run = spawn(process.execPath, [compiled("main.js"), "u-boot", "--path", "native"]);
    const ended = once(run, "exit");
    const keys = [
      // Back to the start, where the firmware says its name once more.
      ["OpenSBI v", "\u0001b"],
      ["OpenSBI v", ""],
      ["autoboot: ", " "],
      ["=> ", "ne\u0001\u0001echo o\n"],
      ["=> ", "\u0001x"],
    ] as const;
    let sent = 0;
    let output = "";
    let from = 0;
    for await (const chunk of run.stdout) {
      output += String(chunk);
      const [after, text] = keys[sent] ?? ["nothing more", ""];
      const at = output.indexOf(after, from);
      if (at >= 0) {
        run.stdin.write(text);
        from = at + after.length;
        sent++;
      }
    }
    const [status] = (await ended) as [number];
    expect(status).to.equal(0);
    expect(sent).to.equal(keys.length);
    // For Ctrl-A, which arrives if it is typed twice, U-Boot moves to the start of the line.
    expect(output).to.match(/^one\r?$/m);
  });

  it("ends with a status and a message for wrong usage", () => {
    for (const options of [
      ["nix"],
      ["linux", "--path", "nix"],
      ["linux", "--nix"],
      ["linux", "--ram", "3"],
      ["linux", "--save", "x"],
      ["linux", "--restore", "/nix"],
    ]) {
      const { status, stderr } = spawnSync(process.execPath, [compiled("main.js"), ...options], {
        encoding: "utf8",
      });
      expect(status, options.join()).to.equal(2);
      expect(stderr).not.to.equal("");
    }
  });
});
