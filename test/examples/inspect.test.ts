import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { disassemble } from "../../examples/frontend/cpu/disassemble.js";
import { inspectProgram, type InspectedProgram } from "../../examples/frontend/inspect.js";
import { RAM } from "../../examples/frontend/memory-map.js";
import { programFile } from "../../examples/frontend/programs.js";
import type { HeatInfo, LiveInfo, TraceInfo } from "../../lib/inspector/protocol.js";
import { need } from "../support/need.js";

const OBJDUMP = "riscv64-linux-gnu-objdump";

describe("the example machine under the inspector", function () {
  this.timeout(60_000);
  let program: InspectedProgram | null = null;

  afterEach(async () => {
    await program?.close();
    program = null;
  });

  async function start(traced: readonly [number, number] | null): Promise<void> {
    program = await inspectProgram(join(__dirname, "../support/inspect-worker.cjs"), {
      file: programFile("terrain"),
      argument: 1000,
      traced,
      running: true,
    });
  }

  async function ask<T>(path: string, method = "GET"): Promise<T> {
    const { origin, searchParams } = new URL(program!.inspector.url);
    const response = await fetch(`${origin}/api/${path}`, {
      method,
      headers: { "x-inspector-token": searchParams.get("token")! },
    });
    expect(response.status, path).to.equal(200);
    return (await response.json()) as T;
  }

  it("runs in a worker, whose writes the heat map shows", async () => {
    await start(null);
    const heat = (): Promise<HeatInfo> =>
      ask("heat?region=6&from=0&pages=4096&buckets=4096&since=0");
    let written = 0;
    while (written < 20) {
      written = (await heat()).stored.filter(Boolean).length;
    }
    // The guest writes to a part of its RAM only.
    expect(written).to.be.below(3000);
    const { machine } = await ask<LiveInfo>("live?cpu=0");
    expect(machine?.status).to.equal("running");
    await ask("machine/pause", "POST");
    const { registers, disassembly, reason } = (await ask<LiveInfo>("live?cpu=0")).machine!;
    expect(reason).to.equal("paused");
    expect(disassembly).to.have.length(16);
    expect(disassembly[0]!.address).to.equal(registers[32]);
    expect(Number(registers[32])).to.be.within(RAM, RAM + 0x10_0000);
  });

  it("records who writes to some bytes", async () => {
    const stack = RAM + 0x45_0000;
    await start([stack, 0x1_0000]);
    const accesses = async (): Promise<TraceInfo["accesses"]> => {
      for (let gpa = stack; gpa < stack + 0x1_0000; gpa += 1024) {
        const info = await ask<TraceInfo>(`machine/trace?gpa=${gpa}&length=1024`);
        if (info.accesses.length > 0) {
          return info.accesses;
        }
      }
      return [];
    };
    let found = await accesses();
    while (found.length === 0) {
      found = await accesses();
    }
    const [{ tag, kind }] = found as [TraceInfo["accesses"][number]];
    expect(kind).to.equal("write");
    await ask("machine/pause", "POST");
    const { origin, searchParams } = new URL(program!.inspector.url);
    const code = await fetch(`${origin}/api/bytes?side=0&since=0&gpa=${tag}&length=4`, {
      headers: { "x-inspector-token": searchParams.get("token")! },
    });
    const word = new DataView(await code.arrayBuffer()).getInt32(0, true);
    expect(disassemble(word, BigInt(tag))).to.match(/^s[bhwd] /);
  });
});

describe("the disassembler of the example", () => {
  it("agrees with objdump on the instructions of a program", function () {
    need(this, OBJDUMP);
    const output = execFileSync(OBJDUMP, ["-d", "-M", "no-aliases", programFile("workload")], {
      encoding: "utf8",
      maxBuffer: 2 ** 26,
    });
    let count = 0;
    for (const line of output.split("\n")) {
      const [, address, word, text] = /^\s*([\da-f]+):\s+([\da-f]{8})\s+(\S.*)$/.exec(line) ?? [];
      if (text === undefined || /^(csr|fence|\.|unimp|0x)/.test(text)) {
        continue;
      }
      const expected = text
        .replace(/\s*[<#].*$/, "")
        .trim()
        .replace(/\s+/g, " ");
      const actual = disassemble(parseInt(word!, 16) | 0, BigInt(`0x${address!}`));
      const plain = (assembly: string): string => assembly.replace(/, /g, ",").replace(/\b0x/g, "");
      expect(plain(actual), line).to.equal(plain(expected));
      count++;
    }
    expect(count).to.be.above(900);
  });
});
