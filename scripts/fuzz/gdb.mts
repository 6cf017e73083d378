import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type GdbCpu, GdbServer, type GdbStop } from "pound-guest-memory/gdb";
import { encodePacket } from "../../lib/gdb/packets.js";
import { Toy, TOY_ARCHITECTURE, ToyCpu, ToyMachine } from "../../test/support/toy-machine.js";
import type { Field, Randomness, Target } from "./framework.mjs";

/** Counts, stores and loads, in a loop that does not end. */
const PROGRAM = [Toy.INC, Toy.STORE, Toy.LOAD, Toy.JUMP];
const START = 0x1000n;

/** A CPU that executes few instructions at a time, so that a mutant takes little time. */
class ShortCpu extends ToyCpu {
  translate?: NonNullable<GdbCpu["translate"]>;

  override run(limit: number, breakpoints: ReadonlySet<bigint>): GdbStop | undefined {
    return super.run(Math.min(limit, 8), breakpoints);
  }
}

/** Pages of 256 bytes at their own addresses. Every eighth is not mapped. */
function translate(va: bigint): ReturnType<NonNullable<GdbCpu["translate"]>> {
  return (va >> 8n) % 8n === 7n ? null : { gpa: va & -256n, size: 256 };
}

const { space } = new ToyMachine(PROGRAM);
const memory = space.read(START, 0x2000);
const rom = space.read(0x8000, 4);

/** Conversations of a debugger. A number is sent as that byte, between packets. */
const CONVERSATIONS: readonly (readonly (string | number)[])[] = [
  [0x2b, "qSupported:multiprocess+;swbreak+;hwbreak+;vContSupported+", "vMustReplyEmpty"],
  ["QStartNoAckMode", 0x2b, "?", "Hg0", "qXfer:features:read:target.xml:0,ffb", "qAttached"],
  ["qXfer:memory-map:read::0,1000", "qXfer:threads:read::0,1000", "qfThreadInfo", "qsThreadInfo"],
  ["g", "p4", "P4=0010000000000000", "m1000,40", "m1ffe,8", "M1000,4:01020304", "X2000,4:}\x03ab"],
  ["m9000,4", "M9008,4:01020304", "m8000,4", "mfffffffffffffff0,20", "m10000000000000000,1"],
  ["Z0,1004,4", "vCont;c", "z0,1004,4", "Z1,1008,4", "c", "z1,1008,4", "vCont?", "qC"],
  ["Z2,2000,4", "vCont;c:1", "z2,2000,4", "Z3,2000,8", "c", "Z4,0,ffffffffffffffff", "s"],
  ["vCont;s:1;c:2", "Hg2", "g", "T2", "Hc-1", "S05;1000", "C05", 0x03, "qThreadExtraInfo,1"],
  ["vCont;c", 0x03, "c", 0x03, "?", 0x2d, "D"],
  ["c1000", 0x03, "k"],
  [`G${"00".repeat(41)}`, `M1000,${(0x800).toString(16)}:${"a5".repeat(0x800)}`, "m1000,ffffffff"],
];

function seeds(): Buffer[] {
  return CONVERSATIONS.map((conversation) =>
    Buffer.concat(
      conversation.map((part) =>
        typeof part === "number" ? Buffer.of(part) : encodePacket(Buffer.from(part, "latin1")),
      ),
    ),
  );
}

function fields(file: Buffer): Field[] {
  return Array.from({ length: file.length }, (_, offset) => ({ offset, size: 1 }));
}

/** Corrects the checksums of packets. */
function repair(file: Buffer): Buffer {
  const text = file.toString("latin1").replace(/\$([^#]*)#../gs, (_, payload: string) => {
    const sum = Buffer.from(payload, "latin1").reduce((total, byte) => total + byte, 0);
    return `$${payload}#${(sum & 0xff).toString(16).padStart(2, "0")}`;
  });
  return Buffer.from(text, "latin1");
}

/** Thrown if the server closes the connection. */
class Refused extends Error {}

const folder = mkdtempSync(join(tmpdir(), "fuzz-gdb-"));
process.once("exit", () => rmSync(folder, { recursive: true }));

async function open(path: string): Promise<Socket> {
  const socket = connect(path);
  await once(socket, "connect");
  // The event "close" follows.
  return socket.on("error", () => undefined);
}

/** Sends a conversation in pieces. Returns whether the server has closed the connection. */
async function converse(path: string, bytes: Buffer, random: Randomness): Promise<boolean> {
  const socket = (await open(path)).resume();
  for (let at = 0; at < bytes.length && !socket.destroyed;) {
    const length = 1 + random.below(200);
    socket.write(bytes.subarray(at, at + length));
    at += length;
    await new Promise(setImmediate);
  }
  const isClosed = socket.readableEnded || socket.destroyed;
  // Half of the debuggers end their side first.
  if (random.below(2) === 0) {
    socket.end();
    await new Promise(setImmediate);
  }
  socket.destroy();
  return isClosed;
}

/** Checks that another debugger can attach. */
async function attach(path: string): Promise<void> {
  for (;;) {
    // The server may not have noticed yet that the last connection has ended.
    const socket = await open(path);
    socket.write("$?#3f");
    const reply = await new Promise<string>((resolve) => {
      let text = "";
      socket.on("data", (part: Buffer) => {
        text += part.toString("latin1");
        if (/#../.test(text)) {
          resolve(text);
        }
      });
      socket.on("close", () => resolve(text));
    });
    socket.destroy();
    if (reply !== "") {
      if (!/^\+\$(T[\da-f]{2}.*thread:[12];|W[\da-f]{2})#[\da-f]{2}$/.test(reply)) {
        throw new Error(`the server answers ${JSON.stringify(reply)}`);
      }
      return;
    }
    await new Promise(setImmediate);
  }
}

async function run(file: Buffer, _path: string, random: Randomness): Promise<void> {
  space.poke(START, memory);
  space.poke(0x8000, rom);
  const cpus = [new ShortCpu(space), new ShortCpu(space)];
  const translates = random.below(2) === 0;
  for (const cpu of cpus) {
    if (translates) {
      cpu.translate = translate;
    }
    cpu.pc = START;
    cpu.registers[1] = 0x2000n;
    cpu.registers[2] = START;
  }
  const path = join(folder, "socket");
  const server = await GdbServer.listen({
    space,
    cpus,
    architecture: TOY_ARCHITECTURE,
    path,
    devices: random.below(2) === 0,
    running: random.below(2) === 0,
  });
  // A mutant may change the program to one that fails.
  server.ended.catch(() => undefined);
  try {
    const isRefused = await converse(path, file, random);
    await attach(path);
    if (isRefused) {
      throw new Refused();
    }
  } finally {
    await server.close();
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof Refused;
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
