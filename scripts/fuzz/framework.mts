import { type ChildProcess, spawn } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Randomness } from "../../lib/crosscheck/randomness.js";

export { Randomness };

/** A number in a file. */
export interface Field {
  readonly offset: number;
  /** Size in bytes. The number is little-endian. */
  readonly size: 1 | 2 | 4 | 8;
}

/** A file reader to fuzz: the default export of a module. */
export interface Target {
  /** Well-formed files, from which mutants are made. */
  seeds(): Promise<Buffer[]> | Buffer[];
  /** The numbers of a file, which need not be well formed. */
  fields(file: Buffer): Field[];
  /** Corrects checksums and similar fields, in place if possible, so that a mutant passes them. */
  repair(file: Buffer): Buffer;
  /**
   * Reads a file, and uses the result as a user would.
   *
   * @param path - A file with the same bytes.
   * @throws an error for which {@link Target.isRefusal} is true, if the file is refused. Any other
   *   error is a fault.
   */
  run(file: Buffer, path: string, random: Randomness): Promise<void> | void;
  /** Whether an error is one that the reader's documentation names. */
  isRefusal(error: unknown): boolean;
}

/** Options of {@link fuzz}. Mutant `i` depends only on `seed + i`. */
export interface FuzzOptions {
  readonly seed: number;
  /** The most mutants to try. */
  readonly runs: number;
  /** The most seconds to run. There is no limit by default. */
  readonly seconds?: number;
  /** The folder in which faulty mutants are saved. */
  readonly failures: string;
  /** Milliseconds without a message after which the process is killed; a minute by default. */
  readonly silence?: number;
}

/** A mutant that shows a fault. */
export interface Fault {
  readonly seed: number;
  readonly reason: string;
}

/** The result of {@link fuzz}. */
export interface FuzzResult {
  /** The number of mutants that were read or refused. */
  readonly passed: number;
  /** The number of mutants that were read. */
  readonly accepted: number;
  readonly faults: readonly Fault[];
  /** The peak of memory in bytes, less the memory in use before the first mutant. */
  readonly memory: number;
  /** The most processor time of a mutant, in milliseconds. */
  readonly milliseconds: number;
}

/** Bytes of memory that a reader may use in addition to the size of the file. */
const MEMORY = 256 * 2 ** 20;
/** Milliseconds of processor time that a mutant may take. No seed file has more than 100 KB. */
const MILLISECONDS = 10_000;
const MAX_FAULTS = 10;

const INTERESTING = [0, 7, 8, 12, 16, 21, 24, 31, 32, 36, 40, 48, 52, 53, 62, 63, 64].map(
  (bits) => 2n ** BigInt(bits),
);

/** The mutant of a seed. */
export function mutate(target: Target, seeds: readonly Buffer[], random: Randomness): Buffer {
  const pick = (): Buffer => seeds[random.below(seeds.length)]!;
  let file: Buffer = Buffer.from(pick());
  for (let left = 1 + random.below(4); left > 0; left--) {
    file = mutateOnce(target, file, pick, random);
  }
  // One in eight keeps its wrong checksum, to test the checks too.
  return random.below(8) === 0 ? file : target.repair(file);
}

function mutateOnce(target: Target, file: Buffer, pick: () => Buffer, random: Randomness): Buffer {
  const at = random.below(file.length + 1);
  switch (random.below(12)) {
    case 0:
      return Buffer.from(file.subarray(0, at));
    case 1:
      return Buffer.concat([file, Buffer.alloc(random.below(5000), random.below(256))]);
    case 2: {
      const length = random.below(64);
      return Buffer.concat([file.subarray(0, at), file.subarray(at + length)]);
    }
    case 3: {
      const again = file.subarray(at, at + random.below(256));
      return Buffer.concat([file.subarray(0, at), again, file.subarray(at)]);
    }
    case 4: {
      const other = pick();
      return Buffer.concat([file.subarray(0, at), other.subarray(random.below(other.length + 1))]);
    }
    case 5:
    case 6:
      for (let left = 1 + random.below(8); left > 0 && file.length > 0; left--) {
        file[random.below(file.length)] = random.below(256);
      }
      return file;
    default: {
      const fields = target.fields(file);
      const field = fields[random.below(Math.max(1, fields.length))];
      if (field !== undefined && field.offset + field.size <= file.length) {
        write(file, field, valueFor(file, field, fields, random));
      }
      return file;
    }
  }
}

function valueFor(
  file: Buffer,
  field: Field,
  fields: readonly Field[],
  random: Randomness,
): bigint {
  const other = fields[random.below(fields.length)]!;
  const offset = BigInt(random.below(5)) - 2n;
  switch (random.below(6)) {
    case 0:
      return random.u64();
    case 1:
      return read(file, field) + offset;
    case 2:
      return read(file, other) + offset;
    case 3:
      return BigInt(file.length) + offset;
    default:
      return INTERESTING[random.below(INTERESTING.length)]! + offset;
  }
}

function read(file: Buffer, { offset, size }: Field): bigint {
  return Buffer.concat([file.subarray(offset, offset + size), Buffer.alloc(8)]).readBigUInt64LE();
}

function write(file: Buffer, { offset, size }: Field, value: bigint): void {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt.asUintN(64, value));
  bytes.copy(file, offset, 0, size);
}

/**
 * Tries mutants in this process. Each is written to a file first, which survives a crash.
 *
 * @param path - The path of that file.
 * @param onProgress - Called from time to time with the seed of the next mutant.
 */
export async function tryMutants(
  target: Target,
  path: string,
  { seed, runs, seconds = Infinity, failures }: FuzzOptions,
  onProgress: (seed: number) => void = () => undefined,
): Promise<FuzzResult> {
  const seeds = await target.seeds();
  for (const file of seeds) {
    writeFileSync(path, file);
    // A well-formed file may be refused too, for instance if it does not fit.
    const reason = await faultOf(target, file, path, new Randomness(0));
    if (reason !== null) {
      throw new Error(`a well-formed file shows a fault: ${reason}`);
    }
  }
  const before = peakMemory();
  const start = performance.now();
  const faults: Fault[] = [];
  let [passed, accepted, longest, reported] = [0, 0, 0, start];
  for (let i = 0; i < runs && faults.length < MAX_FAULTS; i++) {
    const now = performance.now();
    if (now - start > seconds * 1000) {
      break;
    }
    if (i === 0 || now - reported > 1000) {
      reported = now;
      onProgress(seed + i);
    }
    const random = new Randomness(seed + i);
    const file = mutate(target, seeds, random);
    writeFileSync(path, file);
    const used = process.cpuUsage();
    let reason = await faultOf(target, file, path, random, () => accepted++);
    const { user, system } = process.cpuUsage(used);
    const milliseconds = (user + system) / 1000;
    longest = Math.max(longest, milliseconds);
    if (milliseconds > MILLISECONDS) {
      reason ??= `it took ${Math.round(milliseconds)} ms`;
    }
    const memory = peakMemory() - before;
    if (memory > MEMORY + file.length) {
      faults.push(save(path, seed + i, `it took ${memory} bytes of memory`, failures));
      break;
    }
    if (reason === null) {
      passed++;
    } else {
      faults.push(save(path, seed + i, reason, failures));
    }
  }
  return { passed, accepted, faults, memory: peakMemory() - before, milliseconds: longest };
}

/** The fault that a mutant shows; null if it shows none. */
async function faultOf(
  target: Target,
  file: Buffer,
  path: string,
  random: Randomness,
  onAccepted: () => void = () => undefined,
): Promise<string | null> {
  try {
    await target.run(file, path, random);
    onAccepted();
    return null;
  } catch (error) {
    if (target.isRefusal(error)) {
      return null;
    }
    return error instanceof Error ? (error.stack ?? String(error)) : `it threw ${String(error)}`;
  }
}

/**
 * The peak of resident memory in bytes. Linux counts the memory of the parent process before `exec`
 * in `maxRSS`, but not in `VmHWM`.
 */
function peakMemory(): number {
  try {
    const kibibytes = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync("/proc/self/status", "latin1"))?.[1];
    if (kibibytes !== undefined) {
      return Number(kibibytes) * 1024;
    }
  } catch {
    // Not Linux.
  }
  return process.resourceUsage().maxRSS * 1024;
}

/** Saves a faulty mutant. */
function save(path: string, seed: number, reason: string, failures: string): Fault {
  mkdirSync(failures, { recursive: true });
  copyFileSync(path, join(failures, `seed-${seed}`));
  return { seed, reason };
}

/**
 * Tries mutants in another process. A crash or a hang of that process is a fault too.
 *
 * @param module - The path of the module of a {@link Target}.
 */
export async function fuzz(module: string, options: FuzzOptions): Promise<FuzzResult> {
  const folder = mkdtempSync(join(tmpdir(), "fuzz-"));
  const path = join(folder, "mutant");
  const child = spawn(
    process.execPath,
    ["--import", "tsx", fileURLToPath(import.meta.url), module, path, JSON.stringify(options)],
    { stdio: ["ignore", "inherit", "inherit", "ipc"] },
  );
  try {
    const outcome = await follow(child, options);
    if ("result" in outcome) {
      return outcome.result;
    }
    // No message names the mutant that crashed, but the file still holds it.
    const faults = existsSync(path)
      ? [
          save(
            path,
            outcome.seed,
            `${outcome.reason}, at this seed or a later one`,
            options.failures,
          ),
        ]
      : [outcome];
    const passed = outcome.seed - options.seed;
    return { passed, accepted: 0, faults, memory: 0, milliseconds: 0 };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

type Message = { readonly seed: number } | { readonly result: FuzzResult };

/** Waits for the result of a child process, or for its end. */
async function follow(
  child: ChildProcess,
  { seed: firstSeed, silence = 60_000 }: FuzzOptions,
): Promise<{ readonly result: FuzzResult } | Fault> {
  let seed = firstSeed;
  let result: FuzzResult | null = null;
  let isSilent = false;
  const end = (): void => {
    isSilent = true;
    child.kill("SIGKILL");
  };
  let timer = setTimeout(end, silence);
  child.on("message", (message: Message) => {
    clearTimeout(timer);
    timer = setTimeout(end, silence);
    if ("result" in message) {
      result = message.result;
    } else {
      seed = message.seed;
    }
  });
  const [status, signal] = await new Promise<[number | null, string | null]>((resolve) =>
    child.once("close", (...how) => resolve(how)),
  );
  clearTimeout(timer);
  if (result !== null && status === 0) {
    return { result };
  }
  const how = isSilent ? "hung" : `ended by ${signal ?? `status ${status}`}`;
  return { seed, reason: `the process ${how}` };
}

/** The main function of the child process of {@link fuzz}. */
async function main([module, path, options]: readonly string[]): Promise<void> {
  const { default: target } = (await import(pathToFileURL(module!).href)) as { default: Target };
  const send = (message: Message): void => void process.send!(message);
  const parsed = JSON.parse(options!) as FuzzOptions;
  send({ result: await tryMutants(target, path!, parsed, (seed) => send({ seed })) });
  process.disconnect();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await main(process.argv.slice(2));
}
