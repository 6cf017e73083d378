import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import { GdbServer, type GdbServerOptions, type GdbTranslation } from "pound-guest-memory/gdb";
import { Mmu, RiscvPageTables } from "pound-guest-memory/mmu";
import { GdbClient } from "../support/gdb-client.js";
import { rejection } from "../support/streams.js";
import { Toy, TOY_ARCHITECTURE, ToyCpu } from "../support/toy-machine.js";

const { INC, STORE, JUMP, EXIT } = Toy;
const RAM = 0x8000_0000;
const DATA = RAM + 0x10_0000;
const PAGE = 4096;
const RIGHTS = 0xcf;
/** The program, and two pages of data above, at the end of the upper half of Sv39. */
const CODE = -0x20_0000;
const hex = (va: number) => BigInt.asUintN(64, BigInt(va)).toString(16);

type Translate = (va: bigint) => GdbTranslation | null | Promise<GdbTranslation | null>;

/** A toy CPU with page tables of its own. */
class PagedCpu extends ToyCpu {
  translate: Translate;

  constructor(space: AddressSpace, tables: number) {
    const walker = new RiscvPageTables(space, { updatesBits: true });
    const mmu = new Mmu(space, { walk: walker.walk });
    super(mmu);
    walker.satp = (8n << 60n) | (BigInt(tables) >> 12n);
    this.translate = (va) => mmu.probe(va);
    this.flush = () => mmu.flushAll();
  }

  readonly flush: () => void;
}

describe("GdbServer with virtual addresses", () => {
  let servers: GdbServer[] = [];
  let clients: GdbClient[] = [];

  /** Maps the page at `CODE + index * PAGE` in the tables of a CPU. */
  function map(
    space: AddressSpace,
    cpu: number,
    index: number,
    gpa: number,
    rights = RIGHTS,
  ): void {
    const last = RAM + 0x3000 * cpu + 0x2000;
    space.writeq(last + 8 * index, ((BigInt(gpa) >> 12n) << 10n) | BigInt(rights));
  }

  /** Two CPUs with the program at {@link CODE}, and another page above it each. */
  function machine(program: readonly number[]) {
    const space = new AddressSpace();
    space.addRam(RAM, 2 * 1024 * 1024);
    const cpus = [0, 1].map((number) => {
      const tables = RAM + 0x3000 * number;
      const pointer = (at: number) => ((BigInt(at) >> 12n) << 10n) | 1n;
      space.writeq(tables + 8 * 511, pointer(tables + 0x1000));
      space.writeq(tables + 0x1000 + 8 * 511, pointer(tables + 0x2000));
      map(space, number, 0, DATA);
      map(space, number, 1, DATA + PAGE * (1 + number));
      const cpu = new PagedCpu(space, tables);
      cpu.pc = BigInt.asUintN(64, BigInt(CODE));
      return cpu;
    });
    program.forEach((instruction, i) => space.writeb(DATA + 4 * i, instruction));
    return { space, cpus };
  }

  async function debug(options: Pick<GdbServerOptions, "space" | "cpus">): Promise<GdbClient> {
    const server = await GdbServer.listen({ ...options, architecture: TOY_ARCHITECTURE });
    servers.push(server);
    const client = await GdbClient.connect(server.address);
    clients.push(client);
    return client;
  }

  afterEach(async () => {
    clients.forEach((client) => client.close());
    await Promise.all(servers.map((server) => server.close()));
    servers = [];
    clients = [];
  });

  for (const kind of ["values", "promises"] as const) {
    it(`reads and writes memory of the selected CPU, with translations as ${kind}`, async () => {
      const { space, cpus } = machine([EXIT]);
      for (const cpu of kind === "promises" ? cpus : []) {
        const { translate } = cpu;
        cpu.translate = async (va) => {
          await new Promise(setImmediate);
          return translate(va);
        };
      }
      space.writel(DATA + PAGE, 0x11111111);
      space.writel(DATA + 2 * PAGE, 0x22222222);
      const gdb = await debug({ space, cpus });
      const at = hex(CODE + PAGE);
      expect(await gdb.ask(`m${at},4`)).to.equal("11111111");
      expect(await gdb.ask("Hg2")).to.equal("OK");
      expect(await gdb.ask(`m${at},4`)).to.equal("22222222");
      // The two pages are not adjacent in physical memory.
      expect(await gdb.ask(`m${hex(CODE + PAGE - 2)},4`)).to.equal("00002222");
      expect(await gdb.ask(`M${hex(CODE + PAGE - 2)},4:01020304`)).to.equal("OK");
      expect(space.read(DATA + PAGE - 2, 4).toString("hex")).to.equal("01021111");
      expect(space.read(DATA + 2 * PAGE, 4).toString("hex")).to.equal("03042222");
    });
  }

  it("stops at addresses that are not mapped, or not memory", async () => {
    const { space, cpus } = machine([EXIT]);
    map(space, 0, 3, 0x4000_0000);
    const gdb = await debug({ space, cpus });
    expect((await gdb.ask(`m${hex(CODE)},4000`)).length).to.equal(2 * 2 * PAGE);
    for (const bad of [RAM, CODE + 2 * PAGE, CODE + 3 * PAGE, -1]) {
      expect(await gdb.ask(`m${hex(bad)},8`), hex(bad)).to.equal("E0e");
      expect(await gdb.ask(`M${hex(bad)},1:00`), hex(bad)).to.equal("E0e");
    }
    expect(await gdb.ask(`M${hex(CODE + 2 * PAGE - 1)},2:aabb`)).to.equal("E0e");
    map(space, 0, 511, DATA);
    expect(await gdb.ask("mfffffffffffffffe,8")).to.have.length(4);
    expect(await gdb.ask("Mffffffffffffffff,2:0000")).to.equal("E0e");
  });

  it("changes no accessed and dirty bits, and has no memory map", async () => {
    const { space, cpus } = machine([EXIT]);
    map(space, 0, 1, DATA + PAGE, 0x07);
    const gdb = await debug({ space, cpus });
    const tables = space.read(RAM, 0x3000);
    expect(await gdb.ask(`M${hex(CODE + PAGE)},1:55`)).to.equal("OK");
    expect(await gdb.ask(`m${hex(CODE + PAGE)},1`)).to.equal("55");
    expect(space.read(RAM, 0x3000).equals(tables)).to.equal(true);
    expect(await gdb.ask("qSupported:swbreak+")).to.not.include("memory-map");
    expect(await gdb.ask("qXfer:memory-map:read::0,ffff")).to.equal("");
  });

  it("breaks at virtual addresses", async () => {
    const { space, cpus } = machine([INC, INC, EXIT]);
    const gdb = await debug({ space, cpus });
    expect(await gdb.ask(`Z0,${hex(CODE + 4)},4`)).to.equal("OK");
    expect(await gdb.ask("vCont;c:1")).to.equal("T05thread:1;");
    expect(cpus[0]!.pc).to.equal(BigInt.asUintN(64, BigInt(CODE + 4)));
  });

  it("watches a virtual address on each CPU, wherever it is in memory", async () => {
    const { space, cpus } = machine([INC, STORE, JUMP]);
    const word = CODE + PAGE + 8;
    for (const cpu of cpus) {
      cpu.registers[1] = BigInt.asUintN(64, BigInt(word));
      cpu.registers[2] = cpu.pc;
    }
    const gdb = await debug({ space, cpus });
    expect(await gdb.ask(`Z2,${hex(word + 2)},8`)).to.equal("OK");
    for (const [thread, index] of [
      [2, 1],
      [1, 0],
    ] as const) {
      expect(await gdb.ask(`vCont;c:${thread}`)).to.equal(
        `T05watch:${hex(word + 2)};thread:${thread};`,
      );
      expect(space.readl(DATA + PAGE * (1 + index) + 8)).to.equal(0);
    }
    expect(await gdb.ask(`z2,${hex(word + 2)},8`)).to.equal("OK");
    expect(await gdb.ask("vCont;s:1")).to.equal("T05thread:1;");
    expect(space.readl(DATA + PAGE + 8)).to.equal(1);
  });

  it("watches an address that is mapped later, and no longer the memory that it had", async () => {
    const { space, cpus } = machine([STORE, INC, INC, STORE, EXIT]);
    const [cpu] = cpus;
    const word = CODE + 2 * PAGE;
    // The CPU maps the page by a store to its last table, which is mapped at CODE + 3 pages.
    map(space, 0, 3, RAM + 0x2000);
    const entry = (gpa: number) => ((gpa >>> 12) << 10) | RIGHTS;
    cpu!.registers[0] = BigInt(entry(DATA + 5 * PAGE) >>> 0);
    cpu!.registers[1] = BigInt.asUintN(64, BigInt(CODE + 3 * PAGE + 8 * 2));
    const gdb = await debug({ space, cpus });
    expect(await gdb.ask(`Z2,${hex(word)},4`)).to.equal("OK");
    await gdb.ask("vCont;s:1");
    expect(await gdb.ask(`m${hex(word)},4`)).to.equal("00000000");
    await gdb.ask("vCont;s:1");
    await gdb.ask("vCont;s:1");
    cpu!.registers[1] = BigInt.asUintN(64, BigInt(word));
    cpu!.flush();
    expect(await gdb.ask("vCont;c:1")).to.equal(`T05watch:${hex(word)};thread:1;`);
    // The page is now elsewhere: the store to the memory that it had is no event.
    map(space, 0, 2, DATA + 6 * PAGE);
    map(space, 0, 1, DATA + 5 * PAGE);
    cpu!.registers[1] = BigInt.asUintN(64, BigInt(CODE + PAGE));
    cpu!.flush();
    expect(await gdb.ask("vCont;s:1")).to.equal("T05thread:1;");
    expect(space.readl(DATA + 5 * PAGE)).to.equal(Number(cpu!.registers[0]));
  });

  it("limits the length of watchpoints", async () => {
    const gdb = await debug(machine([EXIT]));
    expect(await gdb.ask(`Z2,${hex(CODE)},1000`)).to.equal("OK");
    expect(await gdb.ask(`Z2,${hex(CODE)},1001`)).to.equal("E1c");
    expect(await gdb.ask("Z4,0,ffffffffffffffff")).to.equal("E1c");
  });

  it("answers with an error if `translate` throws or returns nonsense", async () => {
    const { space, cpus } = machine([INC, JUMP]);
    const gdb = await debug({ space, cpus });
    const before = space.read(DATA, 3 * PAGE);
    for (const bad of [
      undefined,
      5,
      { gpa: -1, size: PAGE },
      { gpa: DATA, size: 3 * PAGE },
      { gpa: DATA, size: 128 },
      { gpa: DATA + 1, size: PAGE },
      { gpa: "0", size: PAGE },
      { gpa: 2n ** 64n, size: PAGE },
    ]) {
      cpus[0]!.translate = () => bad as never;
      expect(await gdb.ask(`M${hex(CODE)},1:ff`), JSON.stringify(typeof bad)).to.equal("E01");
    }
    cpus[0]!.translate = () => {
      throw new Error("the walk broke");
    };
    expect(await gdb.ask(`m${hex(CODE)},1`)).to.equal("E01");
    expect(space.read(DATA, 3 * PAGE).equals(before)).to.equal(true);
    expect(await gdb.ask(`Z2,${hex(CODE)},4`)).to.equal("OK");
    const output = await gdb.ask("vCont;c:1");
    expect(Buffer.from(output.slice(1), "hex").toString()).to.include("the walk broke");
    expect(await gdb.reply()).to.equal("T06thread:1;");
  });

  it("checks that `translate` is a function", async () => {
    const { space, cpus } = machine([EXIT]);
    cpus[0]!.translate = 5 as never;
    const options = { space, cpus, architecture: TOY_ARCHITECTURE };
    expect(await rejection(GdbServer.listen(options))).to.have.property(
      "code",
      "ERR_INVALID_ARG_TYPE",
    );
  });
});
