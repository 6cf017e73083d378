import { GuestMemory, OpBuffer } from "pound-guest-memory";
import {
  crosscheck,
  decodeOpLog,
  encodeOpLog,
  OpRecorder,
  randomOps,
} from "pound-guest-memory/crosscheck";
import type { Field, Randomness, Target } from "./framework.mjs";

const HEADER = 24;
const OP = 24;
/** Logs of RAM up to this many bytes are all replayed; of larger RAM, one in {@link LARGE}. */
const SMALL = 2 ** 20;
const LARGE = 64;

function seeds(): Buffer[] {
  const recorder = new OpRecorder(GuestMemory.allocate(64));
  recorder.tryWritel(4, 7);
  recorder.tryReadq(8, new BigUint64Array(1));
  recorder.tryReadw(65, new Uint16Array(1));
  const logs = [recorder.log(64), { size: 2 ** 36, ops: new OpBuffer(0) }];
  for (const size of [0, 4096, 2 ** 20 + 3]) {
    for (const ops of randomOps({ seed: size, count: 60, size })() as Iterable<OpBuffer>) {
      logs.push({ size, ops, policy: { alignment: "allow", endian: "big" } });
    }
  }
  return logs.map(encodeOpLog);
}

function fields(file: Buffer): Field[] {
  const all: Field[] = [
    { offset: 8, size: 8 },
    { offset: 16, size: 1 },
  ];
  for (let at = HEADER; at + OP <= file.length; at += OP) {
    all.push({ offset: at, size: 8 }, { offset: at + 8, size: 8 }, { offset: at + 16, size: 1 });
  }
  return all;
}

/** Cuts the log to whole operations, and makes all their kinds known ones. */
function repair(file: Buffer): Buffer {
  if (file.length < HEADER) {
    return file;
  }
  const whole = file.subarray(0, file.length - ((file.length - HEADER) % OP));
  whole.write("PGMOPS\0\x02", "latin1");
  for (let at = HEADER; at < whole.length; at += OP) {
    whole[at + 16]! &= 7;
  }
  return whole;
}

async function run(file: Buffer, _path: string, random: Randomness): Promise<void> {
  const { size, ops, policy } = decodeOpLog(file);
  if (
    !decodeOpLog(encodeOpLog({ size, ops, policy })).ops.bytes.every((b, i) => b === ops.bytes[i])
  ) {
    throw new Error("encoding a log anew gives another");
  }
  if (size > SMALL && random.below(LARGE) !== 0) {
    return;
  }
  const { difference } = await crosscheck(
    (bytes) => GuestMemory.allocate(bytes).withPolicy(policy),
    () => [ops],
    { size, policy },
  );
  if (difference !== null) {
    throw new Error(difference.report);
  }
}

function isRefusal(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  // A log can declare more RAM than the process has addresses for.
  return (
    (error instanceof RangeError && code === "ERR_OUT_OF_RANGE") ||
    (error instanceof Error && code === "ERR_OUT_OF_MEMORY")
  );
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
