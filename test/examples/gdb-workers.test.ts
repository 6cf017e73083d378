import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { type GdbCpu, GdbServer, type GdbStop, riscvArchitecture } from "pound-guest-memory/gdb";
import { loadElf } from "pound-guest-memory/loader";
import { CROSS_COMPILER, GDB, runGdb } from "../support/gdb.js";
import type { HartCall, HartData } from "../support/hart-worker.js";
import { need } from "../support/need.js";

const RAM = 0x8000_0000;
const RAM_SIZE = 0x10_0000;
const STACK_SIZE = 0x1000;

// The numbers of registers of riscvArchitecture().
const SP = 2;
const A0 = 10;
const PC = 32;

/** Each hart counts in its element of `counters`. */
const PROGRAM = `
volatile long counters[2];
__attribute__((noinline)) void tick(long hart) { counters[hart] += 1; }
void work(long hart) { for (;;) tick(hart); }
`;

const WORKER = `require("tsx/cjs");
require(${JSON.stringify(join(__dirname, "../support/hart-worker.ts"))});`;

/** A hart in a worker. */
class FarHart implements GdbCpu {
  readonly name: string;
  readonly worker: Worker;

  constructor(index: number, data: HartData) {
    this.name = `hart ${index}`;
    this.worker = new Worker(WORKER, { eval: true, workerData: data });
  }

  async readRegister(number: number): Promise<bigint> {
    return (await this.call("readRegister", number)) as bigint;
  }

  async writeRegister(number: number, value: bigint): Promise<void> {
    await this.call("writeRegister", number, value);
  }

  async run(limit: number, breakpoints: ReadonlySet<bigint>): Promise<GdbStop | undefined> {
    return (await this.call("run", limit, breakpoints)) as GdbStop | undefined;
  }

  private async call(method: HartCall["method"], ...parameters: unknown[]): Promise<unknown> {
    this.worker.postMessage({ method, parameters } satisfies HartCall);
    const [result] = (await once(this.worker, "message")) as [unknown];
    return result;
  }
}

describe("gdb-multiarch on two harts in workers", function () {
  this.timeout(120_000);
  let folder: string;
  const harts: FarHart[] = [];
  let server: GdbServer | undefined;

  before(function () {
    need(this, GDB);
    need(this, CROSS_COMPILER);
    folder = mkdtempSync(join(tmpdir(), "gdb-"));
    writeFileSync(join(folder, "program.c"), PROGRAM);
    execFileSync(
      CROSS_COMPILER,
      [
        ..."-march=rv64im -mabi=lp64 -mcmodel=medany -Og -g -ffreestanding -fno-pic".split(" "),
        ..."-nostdlib -static -no-pie -Wl,--build-id=none -Wl,-e,work".split(" "),
        // The page before the code has the headers of the file.
        `-Wl,-Ttext=0x${(RAM + 0x1000).toString(16)}`,
        ..."program.c -o program.elf".split(" "),
      ],
      { cwd: folder },
    );
  });

  after(async () => {
    await server?.close();
    await Promise.all(harts.map(({ worker }) => worker.terminate()));
    if (folder !== undefined) {
      rmSync(folder, { recursive: true });
    }
  });

  it("stops both at a breakpoint of one, and runs them on the same RAM", async () => {
    const memory = GuestMemory.allocateShared(RAM_SIZE);
    const space = new AddressSpace();
    space.addRam(RAM, memory);
    const elf = join(folder, "program.elf");
    const image = loadElf(space, readFileSync(elf), { machine: "riscv" });
    for (let i = 0; i < 2; i++) {
      const hart = new FarHart(i, { shareable: memory.shareable!, base: RAM });
      harts.push(hart);
      await hart.writeRegister(PC, image.entry!);
      await hart.writeRegister(A0, BigInt(i));
      await hart.writeRegister(SP, BigInt(RAM + RAM_SIZE - i * STACK_SIZE));
    }
    server = await GdbServer.listen({ space, cpus: harts, architecture: riscvArchitecture() });

    const output = await runGdb(server, elf, [
      "info threads",
      "break tick thread 2 if counters[0] > 0 && counters[1] > 0",
      "continue",
      "backtrace",
      "print counters[0] > 0",
      "thread 1",
      "print $sp > 0x800ff000",
      "set var counters[0] = 1000000000",
      "delete",
      "tbreak tick thread 1",
      "continue",
      "print counters[0] >= 1000000000",
      "print &counters",
    ]);
    expect(output).to.match(/\* 1 +Thread 1 "hart 0" work .*\n +2 +Thread 2 "hart 1" work /);
    expect(output).to.match(/Thread 2 "hart 1" hit Breakpoint 1, tick \(hart=.*1\)/);
    expect(output).to.match(/#0 .*tick \(hart=.*1\).*\n#1 .* work \(hart=.*1\)/);
    expect(output).to.match(/\$1 = 1\n[^]*\$2 = 1\n/);
    expect(output).to.match(/Thread 1 "hart 0" hit Temporary breakpoint 2, tick \(hart=.*0\)/);
    expect(output).to.include("$3 = 1\n");

    // gdb has detached, so both harts run on.
    const counters = Number(/\$4 = .* (0x[\da-f]+) <counters>/.exec(output)![1]);
    const before = [space.readq(counters), space.readq(counters + 8)];
    while (space.readq(counters) === before[0] || space.readq(counters + 8) === before[1]) {
      await new Promise(setImmediate);
    }
    await server.close();
    expect(await server.ended).to.equal(null);
  });
});
