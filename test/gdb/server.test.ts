import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import {
  aarch64Architecture,
  type GdbCpu,
  GdbServer,
  type GdbServerOptions,
  type GdbStop,
  riscvArchitecture,
} from "pound-guest-memory/gdb";
import { GdbClient } from "../support/gdb-client.js";
import { rejection } from "../support/streams.js";
import { Toy, TOY_ARCHITECTURE, type ToyCpu, ToyMachine } from "../support/toy-machine.js";

const { NOP, INC, STORE, LOAD, JUMP, EXIT, FAIL, ILLEGAL } = Toy;

/** Hexadecimal digits of a 64-bit register. */
function digits(value: bigint): string {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(value);
  return bytes.toString("hex");
}

describe("GdbServer", () => {
  let servers: GdbServer[] = [];
  let clients: GdbClient[] = [];

  async function serve(
    machine: ToyMachine,
    options: Partial<GdbServerOptions> = {},
  ): Promise<GdbServer> {
    const { space, cpus } = machine;
    const server = await GdbServer.listen({
      space,
      cpus,
      architecture: TOY_ARCHITECTURE,
      ...options,
    });
    servers.push(server);
    return server;
  }

  async function attach(server: GdbServer): Promise<GdbClient> {
    const client = await GdbClient.connect(server.address);
    clients.push(client);
    return client;
  }

  /** A client of a machine that runs a program. */
  async function debug(
    machine: ToyMachine,
    options: Partial<GdbServerOptions> = {},
  ): Promise<GdbClient> {
    return attach(await serve(machine, options));
  }

  afterEach(async () => {
    clients.forEach((client) => client.close());
    await Promise.all(servers.map((server) => server.close()));
    servers = [];
    clients = [];
  });

  describe("registers", () => {
    it("reads and writes one or all, in the byte order of the CPU", async () => {
      const machine = new ToyMachine([]);
      const [cpu] = machine.cpus;
      cpu!.registers[1] = 0x1122_3344_5566_7788n;
      cpu!.registers[5] = 0x9an;
      const gdb = await debug(machine);
      expect(await gdb.ask("p1")).to.equal("8877665544332211");
      expect(await gdb.ask("p5")).to.equal("9a");
      const all = [0n, 0x1122_3344_5566_7788n, 0n, 0n, 0x1000n].map(digits).join("");
      expect(await gdb.ask("g")).to.equal(`${all}9a`);
      expect(await gdb.ask("P0=ffffffffffffffff")).to.equal("OK");
      expect(cpu!.registers[0]).to.equal(2n ** 64n - 1n);
      const others = [1n, 2n, 3n, 4n, 0x1004n].map(digits).join("");
      expect(await gdb.ask(`G${others}05`)).to.equal("OK");
      expect(cpu!.registers).to.deep.equal([1n, 2n, 3n, 4n, 0x1004n, 5n]);
    });

    it("reads registers of a big-endian CPU", async () => {
      const machine = new ToyMachine([]);
      machine.cpus[0]!.registers[1] = 0x1122n;
      const gdb = await debug(machine, {
        architecture: { ...TOY_ARCHITECTURE, endian: "big" },
      });
      expect(await gdb.ask("p1")).to.equal("0000000000001122");
      expect(await gdb.ask("P2=00000000000000ff")).to.equal("OK");
      expect(machine.cpus[0]!.registers[2]).to.equal(255n);
    });

    it("refuses registers that do not exist and values of another length", async () => {
      const machine = new ToyMachine([]);
      const before = [...machine.cpus[0]!.registers];
      const gdb = await debug(machine);
      for (const bad of ["p6", "p", "pffffffff", "pfffffffff", "p-1", "P6=00", "P5=", "P5=0000"]) {
        expect(await gdb.ask(bad), bad).to.equal("E16");
      }
      for (const bad of ["P5=0", "P5=zz", "P5", "P5=00=00", "G", "G00", `G${"00".repeat(42)}`]) {
        expect(await gdb.ask(bad), bad).to.equal("E16");
      }
      expect(machine.cpus[0]!.registers).to.deep.equal(before);
    });
  });

  describe("memory", () => {
    it("reads and writes RAM and ROM", async () => {
      const machine = new ToyMachine([]);
      const gdb = await debug(machine);
      expect(await gdb.ask("M2000,4:0123cdef")).to.equal("OK");
      expect(machine.space.read(0x2000, 4).toString("hex")).to.equal("0123cdef");
      expect(await gdb.ask("m2001,2")).to.equal("23cd");
      expect(await gdb.ask("X2000,3:}$#")).to.equal("OK");
      expect(machine.space.read(0x2000, 3).toString()).to.equal("}$#");
      expect(await gdb.ask("X2000,0:")).to.equal("OK");
      expect(await gdb.ask("M8001,1:ff")).to.equal("OK");
      expect(await gdb.ask("m8000,4")).to.equal("01ff0304");
    });

    it("returns the bytes before the first that is not accessible", async () => {
      const gdb = await debug(new ToyMachine([]));
      expect(await gdb.ask("m8002,10")).to.equal("0304");
      for (const bad of ["m8004,1", "m0,1", "mffffffffffffffff,2", "M0,1:00", "M8003,2:0000"]) {
        expect(await gdb.ask(bad), bad).to.equal("E0e");
      }
      expect((await gdb.ask("m1000,ffffffff")).length).to.equal(2 * 0x2000);
    });

    it("accesses devices only where the caller allows it, at their width", async () => {
      const machine = new ToyMachine([]);
      const gdb = await debug(machine);
      expect(await gdb.ask("m9000,4")).to.equal("E0e");
      expect(await gdb.ask("M9000,4:00000000")).to.equal("E0e");
      expect(machine.deviceReads).to.equal(0);
      const other = await debug(machine, { devices: true });
      expect(await other.ask("m9004,4")).to.equal("44332211");
      expect(machine.deviceReads).to.equal(1);
      expect(await other.ask("M9008,4:78563412")).to.equal("OK");
      expect(machine.deviceValue).to.equal(0x12345678);
      // The device has no handler of one byte.
      expect(await other.ask("m9000,1")).to.equal("E0e");
    });

    it("refuses malformed addresses, lengths and bytes", async () => {
      const machine = new ToyMachine([INC]);
      const gdb = await debug(machine);
      const before = machine.space.read(0x1000, 0x2000);
      for (const bad of [
        "m",
        "m1000",
        "m1000,",
        "m,4",
        "m1000,4,4",
        "m10000000000000000,4",
        "m1000,100000000",
        "m-1,4",
        "m1000, 4",
        "M1000,4",
        "M1000,4:00",
        "M1000,1:0",
        "M1000,1:0g",
        "X1000,2:a",
        "X1000",
      ]) {
        expect(await gdb.ask(bad), bad).to.equal("E16");
      }
      expect(machine.space.read(0x1000, 0x2000).equals(before)).to.equal(true);
    });

    it("describes the visible parts of the map", async () => {
      const machine = new ToyMachine([]);
      machine.space.addRom(0x2000, new Uint8Array(0x1000), { priority: 1 });
      const map = await (await debug(machine)).ask("qXfer:memory-map:read::0,ffff");
      expect([...map.matchAll(/<memory .*\/>/g)].map(([line]) => line)).to.deep.equal([
        '<memory type="ram" start="0x1000" length="0x1000"/>',
        '<memory type="rom" start="0x2000" length="0x1000"/>',
        '<memory type="rom" start="0x8000" length="0x4"/>',
      ]);
      const withDevices = await (
        await debug(machine, { devices: true })
      ).ask("qXfer:memory-map:read::0,ffff");
      expect(withDevices).to.include('<memory type="ram" start="0x9000" length="0x10"/>');
    });
  });

  describe("execution", () => {
    it("steps, continues to a breakpoint and past it", async () => {
      const machine = new ToyMachine([INC, INC, INC, NOP, EXIT]);
      const [cpu] = machine.cpus;
      const gdb = await debug(machine);
      expect(await gdb.ask("qSupported:swbreak+;hwbreak+")).to.match(/^PacketSize=10000;/);
      expect(await gdb.ask("?")).to.equal("T05thread:1;");
      expect(await gdb.ask("vCont;s:1")).to.equal("T05thread:1;");
      expect(cpu!.registers[0]).to.equal(1n);
      expect(await gdb.ask("Z0,100c,4")).to.equal("OK");
      expect(await gdb.ask("Z1,1008,4")).to.equal("OK");
      expect(await gdb.ask("vCont;c")).to.equal("T05hwbreak:;thread:1;");
      expect(cpu!.pc).to.equal(0x1008n);
      // It stops at the breakpoint again, without executing anything.
      expect(await gdb.ask("c")).to.equal("T05hwbreak:;thread:1;");
      expect(await gdb.ask("s")).to.equal("T05thread:1;");
      expect(await gdb.ask("z1,1008,4")).to.equal("OK");
      expect(await gdb.ask("c")).to.equal("T05swbreak:;thread:1;");
      expect(await gdb.ask("z0,100c,4")).to.equal("OK");
      expect(await gdb.ask("c")).to.equal("W03");
      expect(await gdb.ask("?")).to.equal("W03");
      expect(await servers[0]!.ended).to.equal(3);
    });

    it("continues at another address, and ignores signals", async () => {
      const machine = new ToyMachine([FAIL, INC, EXIT]);
      const gdb = await debug(machine);
      expect(await gdb.ask("s1004")).to.equal("T05thread:1;");
      expect(machine.cpus[0]!.pc).to.equal(0x1008n);
      expect(await gdb.ask("S05;1004")).to.equal("T05thread:1;");
      expect(await gdb.ask("C05")).to.equal("W02");
    });

    it("interrupts a guest that runs, also in the same bytes", async () => {
      const machine = new ToyMachine([INC, JUMP]);
      machine.cpus[0]!.registers[2] = 0x1000n;
      const gdb = await debug(machine);
      gdb.send("vCont;c");
      await gdb.next(/\+/);
      gdb.raw("\x03");
      expect(await gdb.reply()).to.equal("T02thread:1;");
      expect(Number(machine.cpus[0]!.registers[0])).to.be.greaterThan(0);
      gdb.raw("$c#63\x03");
      expect(await gdb.reply()).to.equal("T02thread:1;");
      gdb.raw(`$c#63\x03$c#63${"\x03".repeat(30)}`);
      expect(await gdb.reply()).to.equal("T02thread:1;");
      expect(await gdb.reply()).to.equal("T02thread:1;");
      // The guest is stopped: nothing happens.
      gdb.raw("\x03");
      expect(await gdb.ask("qAttached")).to.equal("1");
    });

    it("stops before a watched write, and says which address", async () => {
      const machine = new ToyMachine([INC, STORE, EXIT]);
      const [cpu] = machine.cpus;
      cpu!.registers[1] = 0x2000n;
      const gdb = await debug(machine);
      expect(await gdb.ask("Z2,2002,8")).to.equal("OK");
      expect(await gdb.ask("c")).to.equal("T05watch:2002;thread:1;");
      expect(cpu!.pc).to.equal(0x1004n);
      expect(machine.space.readl(0x2000)).to.equal(0);
      expect(await gdb.ask("z2,2002,8")).to.equal("OK");
      expect(await gdb.ask("vCont;s:1")).to.equal("T05thread:1;");
      expect(machine.space.readl(0x2000)).to.equal(1);
    });

    it("stops at watched reads, and reads a device once", async () => {
      const machine = new ToyMachine([LOAD, STORE, EXIT]);
      const [cpu] = machine.cpus;
      cpu!.registers[1] = 0x9000n;
      const gdb = await debug(machine);
      expect(await gdb.ask("Z3,9000,4")).to.equal("OK");
      expect(await gdb.ask("c")).to.equal("T05rwatch:9000;thread:1;");
      expect(cpu!.pc).to.equal(0x1004n);
      expect(cpu!.registers[0]).to.equal(0x11223344n);
      expect(machine.deviceReads).to.equal(1);
      cpu!.registers[1] = 0x2004n;
      cpu!.pc = 0x1000n;
      expect(await gdb.ask("Z4,2000,8")).to.equal("OK");
      expect(await gdb.ask("c")).to.equal("T05awatch:2004;thread:1;");
      expect(cpu!.pc).to.equal(0x1000n);
    });

    it("stops at a breakpoint while there is a watchpoint", async () => {
      const machine = new ToyMachine([INC, INC, INC, EXIT]);
      const gdb = await debug(machine);
      await gdb.ask("Z2,2000,1");
      await gdb.ask("Z0,1008,4");
      expect(await gdb.ask("c")).to.equal("T05thread:1;");
      expect(machine.cpus[0]!.registers[0]).to.equal(2n);
    });

    it("lets the host access watched memory", async () => {
      const machine = new ToyMachine([]);
      const gdb = await debug(machine);
      expect(await gdb.ask("Z4,2000,4")).to.equal("OK");
      machine.space.writel(0x2000, 7);
      expect(machine.space.readl(0x2000)).to.equal(7);
      expect(await gdb.ask("m2000,1")).to.equal("07");
    });

    it("reports a CPU that fails and one that stops with a signal", async () => {
      const machine = new ToyMachine([ILLEGAL, FAIL]);
      const gdb = await debug(machine);
      expect(await gdb.ask("c")).to.equal("T04thread:1;");
      machine.cpus[0]!.pc = 0x1004n;
      const output = await gdb.ask("c");
      expect(Buffer.from(output.slice(1), "hex").toString()).to.equal(
        "the CPU failed: Error: the toy broke\n",
      );
      expect(await gdb.reply()).to.equal("T06thread:1;");
    });

    it("refuses stops that make no sense, and more than 4096", async () => {
      const machine = new ToyMachine([]);
      const gdb = await debug(machine);
      for (const bad of ["Z2,2000,0", "Z2,ffffffffffffffff,2", "Z0,1000", "Z0,,4", "Z0,1,2;X1,0"]) {
        expect(await gdb.ask(bad), bad).to.equal("E16");
      }
      expect(await gdb.ask("Z5,1000,4")).to.equal("");
      expect(await gdb.ask("ZtoString,1000,4")).to.equal("");
      expect(await gdb.ask("z2,2000,4")).to.equal("OK");
      for (let i = 0; i < 4095; i++) {
        gdb.send(`Z0,${i.toString(16)},4`);
        await gdb.reply();
      }
      expect(await gdb.ask("Z2,2000,4")).to.equal("OK");
      expect(await gdb.ask("Z2,2004,4")).to.equal("E1c");
    });
  });

  describe("threads", () => {
    it("lists them, and selects the one whose registers are accessed", async () => {
      const machine = new ToyMachine([INC, INC, EXIT], 3);
      machine.cpus.forEach((cpu, i) => (cpu.registers[3] = BigInt(i)));
      const gdb = await debug(machine);
      expect(await gdb.ask("qfThreadInfo")).to.equal("m1,2,3");
      expect(await gdb.ask("qsThreadInfo")).to.equal("l");
      expect(await gdb.ask("Hg2")).to.equal("OK");
      expect(await gdb.ask("p3")).to.equal(digits(1n));
      expect(await gdb.ask("qC")).to.equal("QC2");
      expect(await gdb.ask("T3")).to.equal("OK");
      expect(await gdb.ask("qThreadExtraInfo,3")).to.equal(Buffer.from("cpu2").toString("hex"));
      expect(await gdb.ask("qXfer:threads:read::0,ffff")).to.include(
        '<thread id="3" core="2" name="cpu2"/>',
      );
      for (const bad of ["T4", "T0", "Hg4", "Hx1", "H", "T-1"]) {
        expect(await gdb.ask(bad), bad).to.equal("E16");
      }
    });

    it("steps one and lets others stay, or run along", async () => {
      const machine = new ToyMachine([INC, INC, INC, INC, INC], 3);
      const pcs = () => machine.cpus.map(({ pc }) => Number(pc - 0x1000n) / 4);
      const gdb = await debug(machine);
      expect(await gdb.ask("vCont;s:2")).to.equal("T05thread:2;");
      expect(pcs()).to.deep.equal([0, 1, 0]);
      expect(await gdb.ask("vCont;s:3;c:1")).to.equal("T05thread:3;");
      expect(pcs()).to.deep.equal([1, 1, 1]);
      expect(await gdb.ask("vCont;S05:1;c")).to.equal("T05thread:1;");
      expect(pcs()).to.deep.equal([2, 2, 2]);
      for (const bad of ["vCont;", "vCont;x", "vCont;s:4", "vCont;s:", "vCont;c:1:2", "vCont;C"]) {
        expect(await gdb.ask(bad), bad).to.equal("E16");
      }
      expect(await gdb.ask("vCont?")).to.equal("vCont;c;C;s;S");
    });

    it("stops all when one reaches a breakpoint, and reports that one", async () => {
      const machine = new ToyMachine([INC, JUMP, EXIT], 2);
      machine.cpus.forEach((cpu) => (cpu.registers[2] = 0x1000n));
      machine.cpus[1]!.registers[2] = 0x1008n;
      const gdb = await debug(machine);
      await gdb.ask("Z0,1008,4");
      expect(await gdb.ask("c")).to.equal("T05thread:2;");
      expect(await gdb.ask("p4")).to.equal(digits(0x1008n));
    });
  });

  describe("CPUs of other threads", () => {
    /** A CPU whose methods answer later, as one in a worker does. */
    class FarCpu implements GdbCpu {
      constructor(
        readonly cpu: ToyCpu,
        private readonly running: Set<ToyCpu>,
        private readonly onRun: () => void,
      ) {}

      async readRegister(number: number): Promise<bigint> {
        await new Promise(setImmediate);
        return this.cpu.readRegister(number);
      }

      async writeRegister(number: number, value: bigint): Promise<void> {
        await new Promise(setImmediate);
        this.cpu.writeRegister(number, value);
      }

      async run(limit: number, breakpoints: ReadonlySet<bigint>): Promise<GdbStop | undefined> {
        this.running.add(this.cpu);
        await new Promise(setImmediate);
        this.onRun();
        this.running.delete(this.cpu);
        return this.cpu.run(limit, breakpoints);
      }
    }

    it("run at the same time, and stop together", async () => {
      const machine = new ToyMachine([INC, INC, JUMP, FAIL], 2);
      machine.cpus.forEach((cpu) => (cpu.registers[2] = 0x1000n));
      const running = new Set<ToyCpu>();
      let most = 0;
      const cpus = machine.cpus.map(
        (cpu) => new FarCpu(cpu, running, () => (most = Math.max(most, running.size))),
      );
      const gdb = await debug(machine, { cpus });
      expect(await gdb.ask("P0=0500000000000000")).to.equal("OK");
      gdb.send("c");
      await gdb.next(/\+/);
      gdb.raw("\x03");
      expect(await gdb.reply()).to.equal("T02thread:1;");
      expect(running.size).to.equal(0);
      expect(most).to.equal(2);
      expect(machine.cpus[0]!.registers[0]! - machine.cpus[1]!.registers[0]!).to.equal(5n);
      machine.cpus.forEach((cpu) => (cpu.pc = 0x1000n));
      await gdb.ask("Z0,1008,4");
      expect(await gdb.ask("vCont;c:2")).to.equal("T05thread:2;");
      expect(await gdb.ask("p4")).to.equal(digits(0x1008n));
      expect(await gdb.ask("Z2,2000,4")).to.equal("OK");
      expect(await gdb.ask("vCont;c:1")).to.equal("T05thread:1;");
      expect(await gdb.ask("p4")).to.equal(digits(0x1008n));
      machine.cpus[0]!.pc = 0x100cn;
      expect(await gdb.ask("vCont;s:1")).to.match(/^O/);
      expect(await gdb.reply()).to.equal("T06thread:1;");
    });
  });

  describe("connections", () => {
    it("repeats a reply that the debugger rejects, and asks for a damaged packet again", async () => {
      const gdb = await debug(new ToyMachine([]));
      expect(await gdb.ask("qAttached")).to.equal("1");
      gdb.raw("-");
      expect(await gdb.reply()).to.equal("1");
      gdb.raw("$qAttached#00");
      await gdb.next(/^-$/);
    });

    it("sends no acknowledgement in no-ack mode", async () => {
      const gdb = await debug(new ToyMachine([]));
      expect(await gdb.ask("QStartNoAckMode")).to.equal("OK");
      gdb.raw("+");
      gdb.send("qAttached");
      expect((await gdb.next(/^.*#../))[0]).to.equal("$1#31");
    });

    it("answers unknown commands with an empty packet", async () => {
      const gdb = await debug(new ToyMachine([]));
      for (const unknown of ["", "vMustReplyEmpty", "qUnknown", "QUnknown", "!", "R00", "\xff"]) {
        expect(await gdb.ask(unknown), unknown).to.equal("");
      }
      expect(await gdb.ask("qXfer:features:read:other.xml:0,10")).to.equal("E00");
      expect(await gdb.ask("qXfer:features:write:target.xml:0,10")).to.equal("");
      expect(await gdb.ask("qXfer:features:read:target.xml:0")).to.equal("E16");
    });

    it("sends documents in parts", async () => {
      const gdb = await debug(new ToyMachine([]));
      let xml = "";
      for (let part = "m"; part.startsWith("m");) {
        part = await gdb.ask(`qXfer:features:read:target.xml:${xml.length.toString(16)},40`);
        xml += part.slice(1);
      }
      expect(xml)
        .to.include('<reg name="pc" bitsize="64" type="code_ptr"/>')
        .and.match(/target>\n$/);
      expect(await gdb.ask("qXfer:features:read:target.xml:ffffffff,40")).to.equal("l");
    });

    it("runs on after detach and after a lost connection, and stops at the next packet", async () => {
      const machine = new ToyMachine([INC, JUMP]);
      const [cpu] = machine.cpus;
      cpu!.registers[2] = 0x1000n;
      const server = await serve(machine);
      for (const isOrderly of [true, false, true]) {
        const gdb = await attach(server);
        expect(await gdb.ask("?")).to.match(/^T0[25]thread:1;$/);
        const before = cpu!.registers[0]!;
        await gdb.ask("Z0,1004,4");
        await gdb.ask("Z2,2000,4");
        if (isOrderly) {
          expect(await gdb.ask("D")).to.equal("OK");
          await gdb.closed();
        } else {
          gdb.close();
        }
        while (cpu!.registers[0]! < before + 100n) {
          await new Promise(setImmediate);
        }
      }
    });

    it("stops a guest that runs without a debugger only at a valid packet", async () => {
      const machine = new ToyMachine([INC, JUMP]);
      const [cpu] = machine.cpus;
      cpu!.registers[2] = 0x1000n;
      const server = await serve(machine, { running: true });
      const probe = await attach(server);
      probe.raw("GET / HTTP/1.1\r\n\r\n");
      await probe.closed();
      const before = cpu!.registers[0]!;
      while (cpu!.registers[0]! < before + 100n) {
        await new Promise(setImmediate);
      }
      const gdb = await attach(server);
      expect(await gdb.ask("?")).to.equal("T02thread:1;");
      const stopped = cpu!.registers[0];
      await gdb.ask("g");
      expect(cpu!.registers[0]).to.equal(stopped);
    });

    it("leaves the guest stopped after kill", async () => {
      const machine = new ToyMachine([INC, JUMP]);
      const server = await serve(machine);
      const gdb = await attach(server);
      expect(await gdb.ask("k")).to.equal("OK");
      await gdb.closed();
      const again = await attach(server);
      expect(await again.ask("p0")).to.equal(digits(0n));
    });

    it("refuses a second debugger", async () => {
      const server = await serve(new ToyMachine([]));
      const gdb = await attach(server);
      expect(await gdb.ask("qAttached")).to.equal("1");
      await (await attach(server)).closed();
      expect(await gdb.ask("qAttached")).to.equal("1");
    });

    it("closes a connection that floods it while the guest runs", async () => {
      const machine = new ToyMachine([INC, JUMP]);
      machine.cpus[0]!.registers[2] = 0x1000n;
      const server = await serve(machine);
      const first = await attach(server);
      first.raw(`$c#63${"$g#67".repeat(1000)}`);
      await first.closed();
      const second = await attach(server);
      second.send("c");
      await second.next(/\+/);
      second.raw("$g#67".repeat(1000));
      await second.closed();
      expect(await (await attach(server)).ask("?")).to.equal("T02thread:1;");
    });

    it("answers a flood of packets while the guest is stopped, one by one", async () => {
      const gdb = await debug(new ToyMachine([]));
      await gdb.ask("QStartNoAckMode");
      gdb.raw("$qAttached#8f".repeat(50_000));
      for (let i = 0; i < 50_000; i++) {
        await gdb.next(/^\+?\$1#31/);
      }
    });

    it("reads on while the guest runs, after many packets at once", async () => {
      const machine = new ToyMachine([INC, JUMP]);
      machine.cpus[0]!.registers[2] = 0x1000n;
      const gdb = await debug(machine);
      await gdb.ask("QStartNoAckMode");
      gdb.raw(`${"$qAttached#8f".repeat(40)}$c#63`);
      for (let i = 0; i < 40; i++) {
        expect(await gdb.reply()).to.equal("1");
      }
      while (machine.cpus[0]!.registers[0]! < 1000n) {
        await new Promise(setImmediate);
      }
      gdb.raw("\x03");
      expect(await gdb.reply()).to.equal("T02thread:1;");
    });

    it("closes a connection that rejects every reply", async () => {
      const gdb = await debug(new ToyMachine([]));
      await gdb.ask("qAttached");
      gdb.raw("-".repeat(100));
      await gdb.closed();
    });

    it("listens on the loopback address only", async () => {
      const server = await serve(new ToyMachine([]));
      expect(server.address).to.match(/^127\.0\.0\.1:\d+$/);
      const port = Number(server.address.split(":")[1]);
      const others = Object.values(networkInterfaces())
        .flatMap((addresses) => addresses ?? [])
        .filter(({ family, internal }) => family === "IPv4" && !internal);
      for (const { address } of others) {
        const connected = await new Promise<boolean>((resolve) => {
          const socket = connect({ host: address, port, timeout: 1000 }, () => resolve(true));
          socket.once("timeout", () => resolve(false)).once("error", () => resolve(false));
          socket.once("close", () => resolve(false));
        });
        expect(connected, address).to.equal(false);
      }
    });

    it("listens on a Unix socket", async function () {
      if (process.platform === "win32") {
        this.skip();
      }
      const folder = mkdtempSync(join(tmpdir(), "gdb-"));
      try {
        const path = join(folder, "socket");
        const server = await serve(new ToyMachine([]), { path });
        expect(server.address).to.equal(path);
        expect(await (await attach(server)).ask("qAttached")).to.equal("1");
        const error = await rejection(serve(new ToyMachine([]), { path }));
        expect(error).to.have.property("code", "EADDRINUSE");
      } finally {
        rmSync(folder, { recursive: true });
      }
    });

    it("rejects `ended` with the error of a CPU, and resolves it with null at close", async () => {
      const failing = await serve(new ToyMachine([FAIL]), { running: true });
      let message = "";
      await failing.ended.catch((error: unknown) => (message = String(error)));
      expect(message).to.equal("Error: the toy broke");
      const server = await serve(new ToyMachine([INC]));
      await server.close();
      expect(await server.ended).to.equal(null);
    });
  });
});

describe("architectures of gdb", () => {
  it("number the registers as documented", () => {
    const names = ({
      features,
    }: {
      features: readonly { registers: readonly { name: string }[] }[];
    }) => features.flatMap(({ registers }) => registers.map(({ name }) => name));
    const riscv = names(riscvArchitecture({ csrs: ["mepc"] }));
    expect([riscv[0], riscv[2], riscv[10], riscv[31], riscv[32], riscv[33]]).to.deep.equal([
      "zero",
      "sp",
      "a0",
      "t6",
      "pc",
      "mepc",
    ]);
    const arm = names(aarch64Architecture());
    expect([arm[0], arm[30], arm[31], arm[32], arm[33]]).to.deep.equal([
      "x0",
      "x30",
      "sp",
      "pc",
      "cpsr",
    ]);
    expect(riscvArchitecture({ xlen: 32 }).features[0]!.registers[5]!.bits).to.equal(32);
  });

  it("are checked", async () => {
    const space = new AddressSpace();
    const cpu = new ToyMachine([]).cpus[0]!;
    const feature = { name: "core", registers: [{ name: "pc", bits: 64 }] };
    const good = { name: "toy", features: [feature], pc: "pc" };
    const withRegister = (register: object) => ({
      ...good,
      features: [{ name: "core", registers: [{ name: "pc", bits: 64, ...register }] }],
    });
    for (const [architecture, code] of [
      [null, "ERR_INVALID_ARG_TYPE"],
      [{ ...good, name: 5 }, "ERR_INVALID_ARG_TYPE"],
      [{ ...good, name: '"><x' }, "ERR_OUT_OF_RANGE"],
      [{ ...good, pc: "ip" }, "ERR_OUT_OF_RANGE"],
      [{ ...good, endian: "middle" }, "ERR_INVALID_ARG_TYPE"],
      [{ ...good, features: {} }, "ERR_INVALID_ARG_TYPE"],
      [{ ...good, features: [{ name: "core", registers: 1 }] }, "ERR_INVALID_ARG_TYPE"],
      [withRegister({ bits: 12 }), "ERR_OUT_OF_RANGE"],
      [withRegister({ bits: NaN }), "ERR_OUT_OF_RANGE"],
      [withRegister({ bits: "64" }), "ERR_INVALID_ARG_TYPE"],
      [withRegister({ type: "<" }), "ERR_OUT_OF_RANGE"],
      [withRegister({ group: "" }), "ERR_OUT_OF_RANGE"],
    ] as const) {
      const options = { space, cpus: [cpu], architecture } as unknown as GdbServerOptions;
      const error = await rejection(GdbServer.listen(options));
      expect(error, JSON.stringify(architecture)).to.have.property("code", code);
    }
    for (const [change, code] of [
      [{ space: {} }, "ERR_INVALID_ARG_TYPE"],
      [{ cpus: [] }, "ERR_OUT_OF_RANGE"],
      [{ cpus: [{}] }, "ERR_INVALID_ARG_TYPE"],
      [{ cpus: cpu }, "ERR_INVALID_ARG_TYPE"],
      [{ path: 5 }, "ERR_INVALID_ARG_TYPE"],
      [{ port: 65536 }, "ERR_SOCKET_BAD_PORT"],
      [{ devices: "no" }, "ERR_INVALID_ARG_TYPE"],
      [{ running: 1 }, "ERR_INVALID_ARG_TYPE"],
    ] as const) {
      const options = { space, cpus: [cpu], architecture: good, ...change };
      const error = await rejection(GdbServer.listen(options as unknown as GdbServerOptions));
      expect(error, Object.keys(change).join()).to.have.property("code", code);
    }
  });
});
