import { request } from "node:http";
import { MessageChannel } from "node:worker_threads";
import { expect } from "chai";
import { AddressSpace } from "pound-guest-memory";
import {
  InspectedMachine,
  type InspectedMachineOptions,
  type Inspector,
  type LiveInspectorOptions,
  serveInspector,
} from "pound-guest-memory/inspector";
import type {
  ErrorInfo,
  FindInfo,
  HeatInfo,
  LiveInfo,
  MachineState,
  MomentInfo,
  PageInfo,
  SnapshotInfo,
  TraceInfo,
} from "../../lib/inspector/protocol.js";
import { rejection } from "../support/streams.js";
import { Toy, TOY_ARCHITECTURE, ToyMachine } from "../support/toy-machine.js";

const { NOP, INC, STORE, LOAD, JUMP, EXIT, FAIL } = Toy;
const PC = 4;

interface Answer {
  readonly status: number;
  readonly body: Buffer;
}

/** A client of the page's server, which has the token of the address. */
class Client {
  readonly #url: URL;
  readonly headers: Record<string, string>;

  constructor({ url }: Inspector) {
    this.#url = new URL(url);
    this.headers = { "x-inspector-token": this.#url.searchParams.get("token") ?? "" };
  }

  send(path: string, method = "GET", headers = this.headers, body = ""): Promise<Answer> {
    const { hostname: host, port } = this.#url;
    return new Promise((resolve, reject) => {
      request({ host, port, path, method, headers, agent: false }, (response) => {
        const parts: Buffer[] = [];
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts) }),
        );
      })
        .on("error", reject)
        .end(body);
    });
  }

  async get<T>(path: string): Promise<T> {
    return read(path, await this.send(`/api/${path}`)) as T;
  }

  async post(path: string): Promise<object> {
    return read(path, await this.send(`/api/${path}`, "POST"));
  }

  /** Takes a snapshot. Returns its number. */
  async takeMoment(): Promise<number> {
    return ((await this.post("moment")) as MomentInfo).number;
  }

  async bytes(gpa: number, length: number, side = 0, since = 0): Promise<string> {
    const query = `side=${side}&since=${since}&gpa=${gpa}&length=${length}`;
    return (await this.send(`/api/bytes?${query}`)).body.toString("hex");
  }

  /** The status and the code of a request that fails. */
  async failure(path: string, method = "GET", headers = this.headers): Promise<[number, string]> {
    const { status, body } = await this.send(`/api/${path}`, method, headers);
    return [status, (JSON.parse(body.toString()) as ErrorInfo).error.code];
  }

  state(cpu = 0): Promise<MachineState> {
    return this.get<MachineState>(`machine/state?cpu=${cpu}`);
  }

  /** The state after the machine has stopped. */
  async stopped(): Promise<MachineState> {
    for (;;) {
      const state = await this.state();
      if (state.status !== "running") {
        return state;
      }
    }
  }
}

/** The object in a response without an error. */
function read(path: string, { status, body }: Answer): object {
  expect(status, `${path}: ${body.toString()}`).to.equal(200);
  return JSON.parse(body.toString()) as object;
}

describe("the inspector of a running machine", function () {
  this.timeout(60_000);
  let closing: (() => Promise<void>)[] = [];

  afterEach(async () => {
    for (const close of closing.reverse()) {
      await close();
    }
    closing = [];
  });

  async function serve(options: LiveInspectorOptions): Promise<Client> {
    const inspector = await serveInspector(options);
    closing.push(() => inspector.close());
    return new Client(inspector);
  }

  function inspect(
    toy: ToyMachine,
    options: Partial<InspectedMachineOptions> = {},
  ): InspectedMachine {
    const { space, cpus } = toy;
    const machine = new InspectedMachine({
      space,
      cpus,
      architecture: TOY_ARCHITECTURE,
      ...options,
    });
    closing.push(() => machine.close());
    return machine;
  }

  /** A client of the inspector of a machine in this thread. */
  function debug(toy: ToyMachine, options: Partial<InspectedMachineOptions> = {}): Promise<Client> {
    return serve({ space: toy.space, machine: inspect(toy, options) });
  }

  describe("memory", () => {
    it("shows the regions and the bytes as they are now, and writes bytes, also to ROM", async () => {
      const { space } = new ToyMachine([]);
      const client = await serve({ space });
      const { regions, live } = await client.get<SnapshotInfo>("snapshot");
      expect(regions.map(({ kind, gpa, size }) => [kind, gpa, size])).to.deep.equal([
        ["ram", "0x1000", "0x2000"],
        ["rom", "0x8000", "0x4"],
        ["mmio", "0x9000", "0x10"],
      ]);
      expect(live?.machine).to.equal(null);
      expect(await client.bytes(0x2000, 4)).to.equal("00000000");
      space.writel(0x2000, 0x04030201);
      expect(await client.bytes(0x2000, 4)).to.equal("01020304");
      await client.post("write?gpa=0x2001&bytes=aabb");
      await client.post("write?gpa=0x8003&bytes=cc");
      expect(space.read(0x2000, 4).toString("hex")).to.equal("01aabb04");
      expect(space.read(0x8000, 4).toString("hex")).to.equal("010203cc");
    });

    it("reads and writes no device, and writes nothing where a byte is missing", async () => {
      const toy = new ToyMachine([]);
      const client = await serve({ space: toy.space });
      expect(await client.failure("bytes?side=0&since=0&gpa=0x9000&length=4")).to.deep.equal([
        404,
        "ERR_UNMAPPED",
      ]);
      for (const gpa of ["0x9000", "0x2fff", "0xfffffffffffffffe", "0"]) {
        const [status] = await client.failure(`write?gpa=${gpa}&bytes=aabbcc`, "POST");
        expect(status, gpa).to.be.oneOf([400, 404]);
      }
      expect(toy.space.readb(0x2fff)).to.equal(0);
      expect([toy.deviceReads, toy.deviceValue]).to.deep.equal([0, 0]);
    });

    it("shows which pages were written, and takes the marks of no other consumer", async () => {
      const space = new AddressSpace();
      const ram = space.addRam(0x10_0000, 8 * 2 ** 20);
      const before = ram.dirtyCursor();
      const client = await serve({ space });
      const after = ram.dirtyCursor();
      const heat = (): Promise<HeatInfo> =>
        client.get("heat?region=0&from=0&pages=2048&buckets=2048&since=0");
      const written = ({ stored }: HeatInfo): number[] =>
        [...stored.keys()].filter((i) => stored[i] === 1);
      expect(written(await heat())).to.deep.equal([]);
      space.writel(0x10_3000, 1);
      space.writel(0x10_0000 + 2047 * 4096, 1);
      await new Promise((resolve) => setTimeout(resolve, 60));
      const first = await heat();
      expect(written(first)).to.deep.equal([3, 2047]);
      expect(first.changes[3]).to.equal(1);
      expect(first.changedIn[3]).to.be.at.least(50).and.at.most(first.now);
      space.writel(0x10_3004, 1);
      await new Promise((resolve) => setTimeout(resolve, 60));
      const second = await heat();
      expect([second.changes[3], second.changes[2047]]).to.deep.equal([2, 1]);
      expect(second.changedIn[3]).to.be.above(first.changedIn[3]!);
      expect([...before.drain()]).to.deep.equal([3, 2047]);
      expect([...after.drain()]).to.deep.equal([3, 2047]);
      const { sides } = await client.get<PageInfo>(`page?gpa=1060864&since=0`);
      expect(sides.map(({ stored, changes }) => [stored, changes])).to.deep.equal([[true, 2]]);
    });

    it("follows the map, and shows windows where they are visible", async () => {
      const space = new AddressSpace();
      space.addRam(0x1000, 0x2000);
      const client = await serve({ space });
      const { live } = await client.get<SnapshotInfo>("snapshot");
      space.addRom(0x2000, new Uint8Array(0x1000).fill(7), { priority: 1, name: "over" });
      const { map } = await client.get<LiveInfo>("live?cpu=0");
      expect(map).not.to.equal(live!.map);
      const { regions } = await client.get<SnapshotInfo>("snapshot");
      expect(regions.map(({ name, gpa, size }) => [name, gpa, size]).slice(1)).to.deep.equal([
        ["over", "0x2000", "0x1000"],
      ]);
      expect(await client.bytes(0x2000, 2)).to.equal("0707");
    });

    it("finds bytes, and what changed since a snapshot", async () => {
      const space = new AddressSpace();
      space.addRam(0, 4 * 2 ** 20);
      space.addRam(0x1000_0000, 0x3000);
      space.write(0x1ffffe, Buffer.from("needle"));
      const client = await serve({ space, budget: 2 ** 20 });
      const find = async (what: string, from: number, direction: string): Promise<unknown> =>
        (await client.get<FindInfo>(`${what}&from=${from}&direction=${direction}`)).match;
      const needle = `search?side=0&since=0&pattern=${Buffer.from("needle").toString("hex")}`;
      expect(await find(needle, 0, "forward")).to.equal("0x1ffffe");
      expect(await find(needle, 0x1fffff, "forward")).to.equal(null);
      expect(await find(needle, 0x1000_0000, "backward")).to.equal("0x1ffffe");
      expect((await client.failure("difference?since=0&from=0&direction=forward"))[0]).to.equal(
        404,
      );
      const number = await client.takeMoment();
      const difference = `difference?since=${number}`;
      expect(await find(difference, 0, "forward")).to.equal(null);
      space.write(0x1ffffe, Buffer.from("NEEDLE"));
      space.writel(0x1000_2000, 5);
      await new Promise((resolve) => setTimeout(resolve, 60));
      expect(await find(difference, 0, "forward")).to.equal("0x1ffffe");
      expect(await find(difference, 0x20_0004, "forward")).to.equal("0x10002000");
      expect(await find(difference, 2 ** 40, "backward")).to.equal("0x10002000");
      expect(await client.bytes(0x1ffffe, 6, 1, number)).to.equal(
        Buffer.from("needle").toString("hex"),
      );
      expect(await client.bytes(0x1000_2000, 4, 1, number)).to.equal("00000000");
      const heat = await client.get<HeatInfo>(
        `heat?region=1&from=0&pages=3&buckets=3&since=${number}`,
      );
      expect(heat.differing).to.deep.equal([0, 0, 1]);
    });

    it("drops the oldest snapshots when they exceed the budget", async () => {
      const space = new AddressSpace();
      space.addRam(0, 2 ** 20);
      const client = await serve({ space, budget: 3 * 4096 });
      for (let i = 1; i <= 6; i++) {
        space.fill(0, 4096, i);
        await client.post("moment");
      }
      const { moments } = await client.get<LiveInfo>("live?cpu=0");
      expect(moments.map(({ number }) => number)).to.deep.equal([4, 5, 6]);
      expect(await client.bytes(0, 1, 1, 5)).to.equal("05");
      expect(await client.failure("bytes?side=1&since=1&gpa=0&length=1")).to.deep.equal([
        404,
        "ERR_NO_MOMENT",
      ]);
    });
  });

  describe("the machine", () => {
    it("shows and changes registers", async () => {
      const toy = new ToyMachine([], 2);
      const client = await debug(toy);
      const { live } = await client.get<SnapshotInfo>("snapshot");
      expect(live!.machine).to.deep.include({ cpus: ["cpu0", "cpu1"], pc: PC, traces: false });
      expect(live!.machine!.registers.at(-1)).to.deep.equal({ name: "flags", bits: 8 });
      await client.post("machine/register?cpu=1&number=2&value=0xffffffffffffffff");
      expect(toy.cpus[1]!.registers[2]).to.equal(2n ** 64n - 1n);
      expect((await client.state(1)).registers[2]).to.equal("0xffffffffffffffff");
      expect((await client.state(0)).registers).to.deep.equal([
        "0x0",
        "0x0",
        "0x0",
        "0x0",
        "0x1000",
        "0x0",
      ]);
      for (const bad of [
        "cpu=2&number=0&value=0",
        "cpu=0&number=6&value=0",
        "cpu=0&number=5&value=256",
      ]) {
        expect((await client.failure(`machine/register?${bad}`, "POST"))[0], bad).to.equal(400);
      }
      expect(toy.cpus[0]!.registers[5]).to.equal(0n);
    });

    it("steps, continues and pauses", async () => {
      const toy = new ToyMachine([INC, NOP, JUMP]);
      toy.cpus[0]!.registers[2] = 0x1000n;
      const client = await debug(toy);
      await client.post("machine/step?cpu=0");
      expect((await client.state()).registers.slice(0, 5)).to.deep.equal([
        "0x1",
        "0x0",
        "0x1000",
        "0x0",
        "0x1004",
      ]);
      await client.post("machine/continue");
      const { status, registers } = await client.state();
      expect(status).to.equal("running");
      expect(await client.failure("machine/step?cpu=0", "POST")).to.deep.equal([
        409,
        "ERR_RUNNING",
      ]);
      while ((await client.state()).registers[0] === registers[0]) {
        // The guest runs on between the questions.
      }
      await client.post("machine/pause");
      const paused = await client.state();
      expect([paused.status, paused.reason, paused.cpu]).to.deep.equal(["stopped", "paused", 0]);
      expect((await client.state()).registers).to.deep.equal(paused.registers);
    });

    it("stops at breakpoints, also of an instruction that it continues at", async () => {
      const toy = new ToyMachine([INC, NOP, JUMP]);
      toy.cpus[0]!.registers[2] = 0x1000n;
      const client = await debug(toy);
      await client.post("machine/breakpoint?address=0x1004&set=on");
      for (const value of ["0x1", "0x2", "0x3"]) {
        await client.post("machine/continue");
        const state = await client.stopped();
        expect(state.reason).to.equal("breakpoint");
        expect(state.registers[0]).to.equal(value);
        expect(state.registers[PC]).to.equal("0x1004");
        expect(state.breakpoints).to.deep.equal(["0x1004"]);
      }
      await client.post("machine/breakpoint?address=0x1004&set=off");
      await client.post("machine/continue");
      expect((await client.state()).status).to.equal("running");
    });

    it("stops before a write to a watched address, and continues past it", async () => {
      const toy = new ToyMachine([INC, STORE, JUMP]);
      toy.cpus[0]!.registers.splice(0, 6, 0n, 0x2000n, 0x1000n, 0n, 0x1000n, 0n);
      const client = await debug(toy);
      await client.post("machine/watchpoint?word=watch&gpa=0x2002&length=1&set=on");
      for (let before = 0; before < 3; before++) {
        await client.post("machine/continue");
        const state = await client.stopped();
        expect(state.reason).to.equal("a write to 0x2002");
        expect(state.registers[PC]).to.equal("0x1004");
        expect(toy.space.readl(0x2000)).to.equal(before);
        expect(state.watchpoints).to.deep.equal([{ word: "watch", gpa: "0x2002", length: "0x1" }]);
      }
      await client.post("machine/step?cpu=0");
      expect((await client.state()).registers[PC]).to.equal("0x1008");
      expect(toy.space.readl(0x2000)).to.equal(3);
      await client.post("machine/watchpoint?word=watch&gpa=0x2002&length=1&set=off");
      expect((await client.state()).watchpoints).to.deep.equal([]);
      // The page writes: no watchpoint of the guest.
      await client.post("machine/watchpoint?word=awatch&gpa=0x2000&length=4&set=on");
      await client.post("write?gpa=0x2000&bytes=00000000");
      expect((await client.state()).reason).to.equal("stopped");
    });

    it("shows that the guest has ended, and that a CPU has failed", async () => {
      const ended = await debug(new ToyMachine([INC, EXIT]), { running: true });
      const state = await ended.stopped();
      expect([state.status, state.reason, state.cpu]).to.deep.equal([
        "ended",
        "the guest has ended with status 1",
        null,
      ]);
      expect(await ended.failure("machine/continue", "POST")).to.deep.equal([409, "ERR_ENDED"]);
      expect(await ended.failure("machine/step?cpu=0", "POST")).to.deep.equal([409, "ERR_ENDED"]);
      const failed = await debug(new ToyMachine([FAIL]), { running: true });
      expect((await failed.stopped()).reason).to.equal("the CPU failed: Error: the toy broke");
    });

    it("shows where the pc of a CPU that translates addresses is in memory", async () => {
      const toy = new ToyMachine([INC]);
      const translate = (va: bigint): { gpa: number; size: number } | null =>
        va < 0x8000n ? { gpa: 0x2000, size: 4096 } : null;
      const client = await debug(toy, { cpus: [Object.assign(toy.cpus[0]!, { translate })] });
      toy.cpus[0]!.pc = 0x7008n;
      expect((await client.state()).at).to.equal("0x2008");
      toy.cpus[0]!.pc = 0x9000n;
      expect((await client.state()).at).to.equal(null);
      // Watchpoints of the page are physical.
      await client.post("machine/watchpoint?word=watch&gpa=0x9000&length=4&set=on");
      expect((await client.state()).watchpoints).to.have.length(1);
    });

    it("shows the disassembly and the recorded accesses that the caller has", async () => {
      const toy = new ToyMachine([INC, STORE, LOAD, EXIT]);
      toy.cpus[0]!.registers[1] = 0x2000n;
      const [cpu] = toy.cpus;
      const trace = toy.space.trace({ range: { gpa: 0x2000, length: 16 }, tag: () => cpu!.pc });
      const client = await debug(toy, {
        trace,
        disassemble: (address, index) => [{ address, text: `first of ${index}` }],
      });
      expect((await client.state()).disassembly).to.deep.equal([
        { address: "0x1000", text: "first of 0" },
      ]);
      await client.post("machine/continue");
      await client.stopped();
      const accesses = async (gpa: number): Promise<unknown[]> => {
        const info = await client.get<TraceInfo>(`machine/trace?gpa=${gpa}&length=1`);
        return info.accesses.map(({ kind, tag, value, width }) => [kind, tag, value, width]);
      };
      expect(await accesses(0x2003)).to.deep.equal([
        ["read", "0x1008", "0x1", 4],
        ["write", "0x1004", "0x1", 4],
      ]);
      expect(await accesses(0x2004)).to.deep.equal([]);
    });

    it("is controlled through a port, and executes nothing while a snapshot is taken", async () => {
      const toy = new ToyMachine([INC, STORE, JUMP]);
      toy.cpus[0]!.registers.splice(0, 6, 0n, 0x2000n, 0x1000n, 0n, 0x1000n, 0n);
      const { port1, port2 } = new MessageChannel();
      inspect(toy, { running: true }).connect(port1);
      closing.push(() => {
        port1.close();
        return Promise.resolve();
      });
      const client = await serve({ space: toy.space, machine: port2 });
      const number = await client.takeMoment();
      while ((await client.bytes(0x2000, 4)) === (await client.bytes(0x2000, 4, 1, number))) {
        // The guest runs on.
      }
      await client.post("machine/pause");
      expect((await client.state()).reason).to.equal("paused");
      await client.post("write?gpa=0x2000&bytes=12345678");
      expect(toy.space.read(0x2000, 4).toString("hex")).to.equal("12345678");
      expect(await client.failure("machine/step?cpu=9", "POST")).to.deep.equal([
        400,
        "ERR_BAD_PARAMETER",
      ]);
      expect((await client.get<LiveInfo>("live?cpu=0")).machine?.status).to.equal("stopped");
    });

    it("shows memory although the machine does not answer", async () => {
      const { space } = new ToyMachine([]);
      const { port1, port2 } = new MessageChannel();
      closing.push(() => {
        port1.close();
        return Promise.resolve();
      });
      port1.on("message", ({ id, path }: { id: number; path: string }) => {
        if (path === "info") {
          port1.postMessage({ id, answer: { cpus: [], registers: [], pc: 0, traces: false } });
        }
      });
      const client = await serve({ space, machine: port2 });
      expect((await client.get<SnapshotInfo>("snapshot")).regions).to.have.length(3);
      const { machine, failure } = await client.get<LiveInfo>("live?cpu=0");
      expect([machine, failure]).to.deep.equal([null, "the machine does not answer"]);
      expect(await client.bytes(0x8000, 4)).to.equal("01020304");
    });
  });

  describe("who may use it", () => {
    it("has a new token in each address, without which it answers and changes nothing", async () => {
      const toy = new ToyMachine([]);
      const client = await debug(toy);
      const other = await serve({ space: toy.space });
      const { "x-inspector-token": token } = client.headers;
      expect(token)
        .to.match(/^[\da-f]{32}$/)
        .and.not.to.equal(other.headers["x-inspector-token"]);
      const paths = ["snapshot", "live?cpu=0", "bytes?side=0&since=0&gpa=0x2000&length=4"];
      const orders = ["write?gpa=0x2000&bytes=01", "machine/continue", "moment"];
      for (const wrong of [
        {},
        { "x-inspector-token": "0".repeat(32) },
        { "x-inspector-token": "é" },
      ]) {
        for (const path of paths) {
          expect(await client.failure(path, "GET", wrong)).to.deep.equal([401, "ERR_TOKEN"]);
        }
        for (const path of orders) {
          expect(await client.failure(path, "POST", wrong)).to.deep.equal([401, "ERR_TOKEN"]);
        }
      }
      expect(await client.failure(`live?cpu=0&token=${token}`, "GET", {})).to.deep.equal([
        401,
        "ERR_TOKEN",
      ]);
      expect(toy.space.readb(0x2000)).to.equal(0);
      expect((await client.get<LiveInfo>("live?cpu=0")).moments).to.deep.equal([]);
      // The files of the page have no data.
      expect((await client.send("/", "GET", {})).status).to.equal(200);
    });

    it("refuses other hosts, other origins, other methods and bodies", async () => {
      const toy = new ToyMachine([]);
      const client = await debug(toy);
      const order = "write?gpa=0x2000&bytes=01";
      const with_ = (headers: Record<string, string>): Record<string, string> => {
        return { ...client.headers, ...headers };
      };
      const refused: readonly [string, Record<string, string>, number, string][] = [
        ["POST", { host: "evil.example" }, 403, "ERR_HOST"],
        ["POST", { origin: "http://evil.example" }, 403, "ERR_ORIGIN"],
        ["POST", { origin: "null" }, 403, "ERR_ORIGIN"],
        ["POST", { "sec-fetch-site": "cross-site" }, 403, "ERR_ORIGIN"],
        ["GET", {}, 405, "ERR_METHOD"],
        ["PUT", {}, 405, "ERR_METHOD"],
      ];
      for (const [method, headers, status, code] of refused) {
        expect(await client.failure(order, method, with_(headers)), code).to.deep.equal([
          status,
          code,
        ]);
      }
      const text = "{not JSON";
      const { status } = await client.send(
        `/api/${order}`,
        "POST",
        with_({ "content-length": String(text.length) }),
        text,
      );
      expect(status).to.equal(413);
      expect(await client.failure("bytes?side=0&since=0&gpa=0&length=1", "POST")).to.deep.equal([
        405,
        "ERR_METHOD",
      ]);
      expect(toy.space.readb(0x2000)).to.equal(0);
    });

    it("refuses invalid parameters, and huge ranges", async () => {
      const toy = new ToyMachine([]);
      const client = await debug(toy);
      const gets = [
        "bytes?side=0&since=0&gpa=0x1000&length=65537",
        "bytes?side=0&since=0&gpa=0x1000&length=8193",
        "bytes?side=0&since=0&gpa=-1&length=1",
        "bytes?side=2&since=0&gpa=0x1000&length=1",
        "bytes?side=1&gpa=0x1000&length=1",
        "heat?region=0&from=0&pages=3&buckets=1&since=0",
        "heat?region=3&from=0&pages=1&buckets=1&since=0",
        "heat?region=0&from=0&pages=2&buckets=1e9&since=0",
        "live",
        "live?cpu=4096",
        "machine/state",
        "machine/state?cpu=1",
        "machine/trace?gpa=0&length=1025",
        `search?side=0&since=0&from=0&direction=forward&pattern=${"00".repeat(257)}`,
      ];
      for (const path of gets) {
        expect((await client.failure(path))[0], path).to.equal(400);
      }
      const posts = [
        `write?gpa=0x1000&bytes=${"00".repeat(1025)}`,
        "write?gpa=0x1000&bytes=0",
        "write?gpa=0x1000&bytes=zz",
        "write?gpa=0x10000000000000000&bytes=00",
        "write?gpa=0x1000&gpa=0x1000&bytes=00",
        "machine/step?cpu=-1",
        "machine/breakpoint?address=0x10000000000000000&set=on",
        "machine/breakpoint?address=0&set=maybe",
        "machine/watchpoint?word=watch&gpa=0&length=0&set=on",
        "machine/watchpoint?word=watch&gpa=0xffffffffffffffff&length=2&set=on",
        "machine/watchpoint?word=look&gpa=0&length=1&set=on",
      ];
      for (const path of posts) {
        expect((await client.failure(path, "POST"))[0], path).to.equal(400);
      }
      for (const path of [
        "machine/hold",
        "machine/release",
        "machine/info",
        "machine",
        "machine/",
      ]) {
        expect((await client.failure(path))[0], path).to.equal(404);
      }
      const { breakpoints, watchpoints } = await client.state();
      expect([breakpoints, watchpoints]).to.deep.equal([[], []]);
    });

    it("keeps the guest running under a flood of requests and pages that do not read", async () => {
      const toy = new ToyMachine([INC, JUMP]);
      toy.cpus[0]!.registers[2] = 0x1000n;
      const client = await debug(toy, { running: true });
      const before = toy.cpus[0]!.registers[0]!;
      const answers = await Promise.allSettled(
        Array.from({ length: 120 }, () => client.send("/api/live?cpu=0")),
      );
      expect(answers.some(({ status }) => status === "fulfilled")).to.equal(true);
      expect(toy.cpus[0]!.registers[0]! > before).to.equal(true);
      expect((await client.state()).status).to.equal("running");
    });

    it("rejects invalid options", async () => {
      const { space, cpus } = new ToyMachine([]);
      const failures: readonly [object, string][] = [
        [{ space: {} }, "ERR_INVALID_ARG_TYPE"],
        [{ space, snapshot: "file" }, "ERR_INVALID_ARG_TYPE"],
        [{ space, machine: {} }, "ERR_INVALID_ARG_TYPE"],
        [{ space, machine: null }, "ERR_INVALID_ARG_TYPE"],
        [{ space, budget: 0 }, "ERR_OUT_OF_RANGE"],
        [{ space, budget: "1" }, "ERR_INVALID_ARG_TYPE"],
      ];
      for (const [options, code] of failures) {
        const error = await rejection(serveInspector(options as LiveInspectorOptions));
        expect(error, JSON.stringify(Object.keys(options))).to.include({ code });
      }
      const machine = { space, cpus, architecture: TOY_ARCHITECTURE };
      const wrong: readonly object[] = [
        { ...machine, disassemble: 1 },
        { ...machine, trace: {} },
        { ...machine, running: 1 },
        { ...machine, cpus: [{}] },
        { ...machine, space: null },
      ];
      for (const options of wrong) {
        expect(() => new InspectedMachine(options as InspectedMachineOptions))
          .to.throw(TypeError)
          .with.property("code", "ERR_INVALID_ARG_TYPE");
      }
      expect(() => new InspectedMachine({ ...machine, cpus: [] })).to.throw(RangeError);
      expect(() => new InspectedMachine(machine).connect({} as never)).to.throw(TypeError);
    });
  });
});
