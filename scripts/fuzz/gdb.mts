import type { GdbStop } from "../../lib/gdb/cpu.js";
import { TargetDescription } from "../../lib/gdb/description.js";
import type { DebuggedMachine } from "../../lib/gdb/machine.js";
import { DebuggedMemory } from "../../lib/gdb/memory.js";
import { encodePacket, PacketReader } from "../../lib/gdb/packets.js";
import { Runner } from "../../lib/gdb/runner.js";
import { Session } from "../../lib/gdb/session.js";
import { Stops } from "../../lib/gdb/stops.js";
import { Toy, TOY_ARCHITECTURE, ToyCpu, ToyMachine } from "../../test/support/toy-machine.js";
import type { Field, Randomness, Target } from "./framework.mjs";

/** Counts, stores and loads, in a loop that does not end. */
const PROGRAM = [Toy.INC, Toy.STORE, Toy.LOAD, Toy.JUMP];
const START = 0x1000n;

/** A CPU that executes few instructions at a time, so that a mutant takes little time. */
class ShortCpu extends ToyCpu {
  override run(limit: number, breakpoints: ReadonlySet<bigint>): GdbStop | undefined {
    return super.run(Math.min(limit, 8), breakpoints);
  }
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

/** Checks that each reply is an acknowledgement or a packet. */
async function check(bytes: Buffer): Promise<void> {
  for (const { kind } of new PacketReader().read(bytes)) {
    if (kind === "bad-checksum" || kind === "interrupt") {
      throw new Error(`the server sends ${JSON.stringify(bytes.toString("latin1"))}`);
    }
  }
  await Promise.resolve();
}

/** Sends a conversation in pieces, and interrupts the guest until all of it is handled. */
async function converse(
  machine: DebuggedMachine,
  bytes: Buffer,
  random: Randomness,
): Promise<void> {
  const session = new Session(machine, check);
  const handled: Promise<void>[] = [];
  for (let at = 0; at < bytes.length && session.end === null;) {
    const length = 1 + random.below(200);
    handled.push(session.receive(bytes.subarray(at, at + length)));
    // An error is noticed below.
    handled.at(-1)!.catch(() => undefined);
    at += length;
    await new Promise(setImmediate);
  }
  let isHandled = false;
  const all = Promise.all(handled).finally(() => (isHandled = true));
  all.catch(() => undefined);
  while (!isHandled) {
    await machine.runner.interrupt();
    await new Promise(setImmediate);
  }
  await all;
}

async function run(file: Buffer, _path: string, random: Randomness): Promise<void> {
  space.poke(START, memory);
  space.poke(0x8000, rom);
  const cpus = [new ShortCpu(space), new ShortCpu(space)];
  for (const cpu of cpus) {
    cpu.pc = START;
    cpu.registers[1] = 0x2000n;
    cpu.registers[2] = START;
  }
  const description = new TargetDescription(TOY_ARCHITECTURE);
  const stops = new Stops(space);
  const runner = new Runner(cpus, description, stops);
  const isAllowed = random.below(2) === 0;
  const machine = {
    cpus,
    description,
    memory: new DebuggedMemory(space, isAllowed),
    stops,
    runner,
  };
  try {
    await converse(machine, file, random);
  } finally {
    await runner.interrupt();
    stops.clear();
    // The next debugger can attach.
    await converse(machine, seeds()[1]!, random);
  }
}

function isRefusal(error: unknown): boolean {
  // The modules of lib/ are loaded twice, as CommonJS and as ES modules, each with its class.
  return error instanceof Error && error.name === "ProtocolViolation";
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
