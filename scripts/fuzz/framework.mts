import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { Randomness } from "../../lib/crosscheck/randomness.js";

export { Randomness };

/** Bytes of a file that mean one number. */
export interface Field {
  readonly offset: number;
  /** Little-endian. */
  readonly size: 1 | 2 | 4 | 8;
}

/** A reader of files to fuzz: the default export of a module of its own. */
export interface Target {
  /** Files that are well formed. */
  seeds(): Promise<Buffer[]> | Buffer[];
  /** Where numbers lie in a file, which need not be well formed. */
  fields(file: Buffer): Field[];
  /** Makes checksums and the like right again, so that a mutant gets past them; in place. */
  repair(file: Buffer): Buffer;
  /**
   * Reads a file, and does what a user does next.
   *
   * @param path - A file with the same bytes.
   * @throws what {@link Target.isRefusal} knows, where the file is refused; anything else is a fault.
   */
  run(file: Buffer, path: string, random: Randomness): Promise<void> | void;
  /** Whether an error is one that the documentation of the reader names. */
  isRefusal(error: unknown): boolean;
}

/** How to fuzz. Mutant `i` depends on `seed + i` alone. */
export interface FuzzOptions {
  readonly seed: number;
  /** Mutants to try, at most. */
  readonly runs: number;
  /** Seconds to try them in, at most; no limit if not given. */
  readonly seconds?: number;
  /** The folder that faulty mutants are saved in. */
  readonly failures: string;
  /** Milliseconds that a process may be silent before it is ended; a minute if not given. */
  readonly silence?: number;
}

/** A mutant that shows a fault. */
export interface Fault {
  readonly seed: number;
  readonly reason: string;
}

/** What came of the mutants. */
export interface FuzzResult {
  /** Mutants that were read or refused. */
  readonly passed: number;
  /** Those that were read. */
  readonly accepted: number;
  readonly faults: readonly Fault[];
  /** The most bytes of memory taken above those taken before the first mutant. */
  readonly memory: number;
  /** The most time of the processor that a mutant took. */
  readonly milliseconds: number;
}

/** Bytes of memory that a reader may take besides the size of the file. */
const MEMORY = 256 * 2 ** 20;
/** Milliseconds of the processor that reading a mutant may take. No seed has more than 100 KB. */
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
  // Some stay broken: the checks come first, and must hold as well.
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
 * Tries mutants in this process, each from a file that is there yet when the process crashes.
 *
 * @param path - That file.
 * @param onProgress - Called with the seed of a mutant before it is tried, now and then.
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
    // What is well formed may be refused yet, for instance where it does not fit.
    const reason = await faultOf(target, file, path, new Randomness(0));
    if (reason !== null) {
      throw new Error(`a well-formed file shows a fault: ${reason}`);
    }
  }
  const before = peakMemory();
  const start = performance.now();
  const faults: Fault[] = [];
  let [passed, accepted, longest, told] = [0, 0, 0, start];
  for (let i = 0; i < runs && faults.length < MAX_FAULTS; i++) {
    const now = performance.now();
    if (now - start > seconds * 1000) {
      break;
    }
    if (i === 0 || now - told > 1000) {
      told = now;
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

/** Why a mutant shows a fault; null where it does not. */
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

function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}

/** Keeps a faulty mutant. */
function save(path: string, seed: number, reason: string, failures: string): Fault {
  mkdirSync(failures, { recursive: true });
  copyFileSync(path, join(failures, `seed-${seed}`));
  return { seed, reason };
}

/**
 * Tries mutants in a process of their own, whose crash or hang is a fault too.
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
    // Which of the mutants since the last word it was is in no message: the file is the evidence.
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

/** Waits for the result of a child, or its end. */
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

/** What the process of {@link fuzz} runs. */
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
