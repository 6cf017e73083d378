import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { aarch64Architecture, type GdbCpu, GdbServer } from "pound-guest-memory/gdb";
import { Mode } from "../../examples/frontend/cpu/mode.js";
import { serveMachine } from "../../examples/frontend/debug.js";
import { Machine } from "../../examples/frontend/machine.js";
import { GUEST_FOLDER } from "../../examples/frontend/programs.js";
import { CROSS_COMPILER, GDB, runGdb } from "../support/gdb.js";
import { need } from "../support/need.js";
import { below, RAM, SATP, T1 } from "../support/virt-hart.js";

describe("gdb-multiarch on the example machine", function () {
  this.timeout(120_000);
  let folder: string;
  const servers: GdbServer[] = [];

  before(function () {
    need(this, GDB);
    need(this, CROSS_COMPILER);
    need(this, "make");
    folder = mkdtempSync(join(tmpdir(), "gdb-"));
    execFileSync("make", ["-s", "-B", "-C", GUEST_FOLDER, `OUT=${folder}`, "DEBUG=1"]);
  });

  afterEach(() => Promise.all(servers.splice(0).map((server) => server.close())));

  after(() => {
    if (folder !== undefined) {
      rmSync(folder, { recursive: true });
    }
  });

  async function serve(name: string, argument = 0): Promise<[Machine, GdbServer]> {
    const machine = new Machine(readFileSync(join(folder, `${name}.elf`)), {
      path: "view",
      argument,
    });
    const server = await serveMachine(machine, {});
    servers.push(server);
    return [machine, server];
  }

  function gdb(
    name: string | null,
    server: GdbServer,
    commands: readonly string[],
  ): Promise<string> {
    return runGdb(server, name === null ? null : join(folder, `${name}.elf`), commands);
  }

  it("breaks at a function, and shows the stack and the arguments", async () => {
    const [machine, server] = await serve("workload", 3);
    const output = await gdb("workload", server, [
      "info registers pc",
      "x/2i $pc",
      "break matrix_work if seed == 0x5554",
      "continue",
      "backtrace",
      "info threads",
      "delete",
      "continue",
    ]);
    expect(output).to.match(/pc +0x1000\t/);
    expect(output).to.match(/0x1000:\s+auipc\s+t0,0x0\n +0x1004:\s+ld\s+a3,24\(t0\)/);
    expect(output).to.match(/Breakpoint 1, matrix_work \(.*=21844\) at workload\/workload\.c/);
    expect(output).to.match(/#1 .* run_workload \(rounds=.*3\) at .*\n#2 .* main \(/);
    expect(output).to.match(/\* 1 +Thread 1 "hart 0" matrix_work/);
    expect(output).to.match(/\[Inferior 1 \(Remote target\) exited normally\]/);
    expect(machine.status).to.equal(0);
    expect(await server.ended).to.equal(0);
  });

  it("leaves the guest's results as they are without a debugger", async () => {
    const [machine, server] = await serve("workload", 10);
    await gdb("workload", server, [
      "break merge",
      "ignore 1 100",
      "continue",
      "stepi 50",
      "next",
      "rwatch crc_table[9]",
      "continue",
      "delete",
      "continue",
    ]);
    expect(machine.uart.output).to.equal(
      "workload: 10 rounds\nlist fc4a905, matrix 6fade62f, scanner 43f40170, total 336a5404\n",
    );
  });

  it("watches a variable: it shows the old and the new value, and the instruction", async () => {
    const [machine, server] = await serve("workload", 100);
    const output = await gdb("workload", server, [
      "break list_work",
      "continue",
      "delete",
      "watch nodes[5].key",
      "continue",
      "continue",
      "delete",
      "rwatch crc_table[9]",
      "continue",
      "print &crc_table[9]",
      "delete",
      "awatch product[1][1]",
      "continue",
    ]);
    expect(output).to.match(/watchpoint 2: nodes\[5\]\.key\n\nOld value = 0\nNew value = \d+\n/);
    expect(output).to.match(/Old value = [1-9]\d*\nNew value = [1-9]\d*\nbuild_list \(/);
    expect(output).to.match(/read watchpoint 3: crc_table\[9\]\n\nValue = 2044508324\n/);
    expect(output).to.match(/access .*watchpoint 4: product\[1\]\[1\]\n\n/);
    expect(machine.status).to.equal(null);
  });

  it("writes registers and memory", async () => {
    const [machine, server] = await serve("workload", 3);
    const output = await gdb("workload", server, [
      "break matrix_work",
      "continue",
      "set var $t3 = 0x1234567890abcdef",
      "print/x $t3",
      "set var matrix_a[1][2] = -77",
      "print matrix_a[1][2]",
      "print &matrix_a[1][2]",
      "set var $mscratch = 0x55",
      "info registers mscratch",
      "print $zero",
    ]);
    expect(output).to.include("$1 = 0x1234567890abcdef\n$2 = -77\n");
    expect(output).to.match(/mscratch +0x55\t/);
    expect(output).to.include("$4 = 0\n");
    // Without `detach` at the end, gdb detaches, and the guest runs on to its end.
    expect(await server.ended).to.equal(0);
    expect(machine.uart.output).to.match(/^workload: 3 rounds/);
  });

  it("steps over a trap", async () => {
    const [, server] = await serve("isa");
    const output = await gdb("isa", server, [
      "tbreak trap",
      "continue",
      "info registers mcause",
      "set var $at = $mepc",
      "x/i $at",
      "tbreak *($at + 4)",
      "continue",
      "set var $mcause = 0",
      "set var $pc = $at",
      // gdb itself steps by a breakpoint at the next instruction here, so it steps over the trap.
      "stepi",
      "print/x (long) $pc - (long) $at",
      "info registers mcause",
      "kill",
    ]);
    expect(output).to.match(/breakpoint 1[.\d]*, trap \(cause=5, epc=\d+, tval=402653184\)/);
    expect(output).to.match(/mcause +0x5\t[^]*:\tlb\ta7,0\(.*\)\n/);
    expect(output).to.match(/\$1 = 0x4\nmcause +0x5\t/);
  });

  it("interrupts a guest that runs, and attaches again", async () => {
    const [machine, server] = await serve("workload", 1_000_000);
    const first = await gdb("workload", server, ["break merge", "continue", "detach"]);
    expect(first)
      .to.match(/Breakpoint 1, merge/)
      .and.match(/detached/);
    const before = machine.cpu.time;
    while (machine.cpu.time < before + 1_000_000) {
      await new Promise(setImmediate);
    }
    const second = await gdb("workload", server, [
      "python import threading, os, signal",
      "python threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()",
      "continue",
      "backtrace",
      "kill",
    ]);
    expect(second).to.match(/Program received signal SIGINT, Interrupt\.\n[^]*#\d.* main \(/);
    const stopped = machine.cpu.time;
    await new Promise(setImmediate);
    expect(machine.cpu.time).to.equal(stopped);
  });

  it("debugs a guest with page tables at its virtual addresses", async () => {
    // addi t0, t0, 1; sw t0, 0(t1); j .-8, in a page of Sv39 and the words in another.
    const program = [0x0012_8293, 0x0053_2023, 0xff9f_f06f];
    const [code, data] = [0xffff_ffc0_0000_0000n, 0xffff_ffc0_0000_1000n];
    const machine = below("view", Mode.SUPERVISOR, []);
    const { space, cpu } = machine;
    const [tables, page] = [RAM + 0x10_0000, RAM + 0x20_0000];
    const entry = (at: number, rights: number) => ((BigInt(at) >> 12n) << 10n) | BigInt(rights);
    space.writeq(tables + 8 * 256, entry(tables + 0x1000, 1));
    space.writeq(tables + 0x1000, entry(tables + 0x2000, 1));
    // Neither page was accessed yet: the guest sets the bits, the debugger does not.
    space.writeq(tables + 0x2000, entry(page, 0x0b));
    space.writeq(tables + 0x2008, entry(page + 0x5000, 0x07));
    program.forEach((instruction, i) => space.writel(page + 4 * i, instruction));
    cpu.csrs.write(SATP, (8n << 60n) | (BigInt(tables) >> 12n));
    cpu.pc = code;
    cpu.setRegister(T1, data + 8n);
    const server = await serveMachine(machine, {});
    servers.push(server);
    const output = await gdb(null, server, [
      "x/2i $pc",
      `set var {int}${data + 8n} = 41`,
      `print {int}${data + 8n}`,
      `print {int}${RAM}`,
      `python print(bytes(gdb.selected_inferior().read_memory(${code}, 8)).hex())`,
      `watch *(int *)${data + 8n}`,
      "continue",
      "info registers t0",
      "continue",
      "delete",
      `tbreak *${code + 8n}`,
      "continue",
      `print {int}${data + 8n}`,
      "kill",
    ]);
    expect(output).to.match(
      /0xffffffc000000000:\taddi?\tt0,t0,1\n +0xf+c000000004:\tsw\tt0,0\(t1\)/,
    );
    expect(output).to.include("$1 = 41\nCannot access memory at address 0x80000000\n");
    expect(output).to.include("9382120023205300\n");
    expect(output).to.match(/Old value = 41\nNew value = 1\n.*0xf+c000000008 in .*\nt0 +0x1\t/);
    expect(output).to.match(/Old value = 1\nNew value = 2\n[^]*breakpoint 2[^]*\$2 = 3\n/);
    expect(space.readl(page + 0x5008)).to.equal(3);
  });

  it("knows the registers of AArch64 by their description", async () => {
    const space = new AddressSpace();
    space.addRam(0x1000, 4096);
    space.writel(0x1000, 0xd2800020); // mov x0, #1
    const registers = Array.from({ length: 34 }, (_, number) => BigInt(number));
    registers[32] = 0x1000n;
    const cpu: GdbCpu = {
      readRegister: (number) => registers[number]!,
      writeRegister: (number, value) => void (registers[number] = value),
      run: () => {
        registers[32]! += 4n;
        return undefined;
      },
    };
    const architecture = aarch64Architecture();
    const server = await GdbServer.listen({ space, cpus: [cpu], architecture });
    servers.push(server);
    const output = await gdb(null, server, [
      "info registers x30 sp cpsr",
      "x/i $pc",
      "stepi",
      "print/x (long) $pc",
      "set var $sp = 0x2000",
      "kill",
    ]);
    expect(output).to.match(/x30 +0x1e .*\nsp +0x1f .*\ncpsr +0x21 /);
    expect(output).to.match(/0x1000:\tmov\tx0, #0x1/);
    expect(output).to.include("$1 = 0x1004\n");
    expect(registers[31]).to.equal(0x2000n);
  });
});
