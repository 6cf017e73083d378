/*
 * Fuzzes the lifetime of guest memory: random creation, exposed buffers, transfers, resets,
 * destruction, garbage collections and threads.
 *
 *   node --expose-gc --import tsx test/support/lifetime-fuzz.ts [--seed N] [--runs N] [--seconds N]
 *
 * The seed determines the steps of a run, but not when garbage is collected and how threads
 * interleave. The seed is printed first, since the faults that this finds crash the process.
 */
import { once } from "node:events";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { Arena, GuestMemAccessResult, GuestMemory } from "pound-guest-memory";
import { nativeOf } from "./paths.js";

const { OK, ERROR_INTERNAL } = GuestMemAccessResult;
const STEPS = 60;
const LENGTHS = [1, 15, 16, 4096, 4097, 65_536, 262_144] as const;

/** Pseudo-random integers from 0 to `n` - 1, determined by a seed (mulberry32). */
function randomFrom(seed: number): (n: number) => number {
  let state = seed >>> 0;
  return (n) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % n;
  };
}

function check(holds: boolean, what: string): void {
  if (!holds) {
    throw new Error(`wrong: ${what}`);
  }
}

interface Ram {
  readonly arena: Arena;
  readonly memory: GuestMemory;
  /** Whether the arena has allocated its pages. */
  readonly pages: boolean;
  /** The written bytes by offset. */
  readonly bytes: Map<number, number>;
  /** Whether a buffer over it may have been transferred, so that it is no longer accessible. */
  moved: boolean;
}

/** A buffer that was transferred away from a memory, and the value of its bytes. */
interface Moved {
  readonly bytes: Uint8Array;
  readonly stamp: number;
}

type Transferable = ArrayBuffer & { transfer?: () => ArrayBuffer };

/** Transfers `buffer` to another ArrayBuffer; null if this runtime cannot. */
function move(buffer: Transferable): ArrayBuffer | null {
  try {
    return buffer.transfer?.() ?? structuredClone(buffer, { transfer: [buffer] });
  } catch {
    return null;
  }
}

const WORKER = `
  const { Arena, GuestMemory } = require("pound-guest-memory");
  const nativeOf = (memory) => (GuestMemory.hasNative ? memory.native : memory);
  const { parentPort, workerData: { sizes, stamp, ending } } = require("node:worker_threads");
  globalThis.kept = [];
  const moved = [];
  for (const size of sizes) {
    const memory = GuestMemory.allocate(size);
    nativeOf(memory).writeb(size - 1, stamp);
    kept.push(memory, Arena.create(size), GuestMemory.allocate(size).buffer);
    const { buffer } = memory.buffer;
    new Uint8Array(buffer).fill(stamp);
    let bytes;
    try { bytes = buffer.transfer?.() ?? structuredClone(buffer, { transfer: [buffer] }); } catch {}
    if (bytes !== undefined) moved.push(bytes);
  }
  parentPort.postMessage(moved, moved.filter((buffer) => buffer instanceof ArrayBuffer));
  if (ending === 1) process.exit(0);
  if (ending === 2) { const memory = kept[0]; for (;;) nativeOf(memory).tryWriteb(0, 1); }
`;

class Run {
  readonly #random: (n: number) => number;
  readonly #rams: Ram[] = [];
  readonly #moved: Moved[] = [];
  readonly #kept: unknown[] = [];

  constructor(seed: number) {
    this.#random = randomFrom(seed);
  }

  async go(): Promise<void> {
    for (let step = 0; step < STEPS; step++) {
      await this.#step();
      this.#checkMoved();
    }
    await this.#worker();
    this.#checkMoved();
  }

  async #step(): Promise<void> {
    const ram = this.#rams[this.#random(this.#rams.length || 1)];
    const kind = this.#random(20);
    if (ram === undefined || kind < 4) {
      this.#create();
    } else if (kind < 9) {
      this.#access(ram);
    } else if (kind < 11) {
      this.#expose(ram);
    } else if (kind < 13) {
      this.#move(ram);
    } else if (kind === 13) {
      this.#reset(ram);
    } else if (kind === 14) {
      (this.#random(2) === 0 ? ram.memory : ram.arena).destroy();
    } else if (kind === 15) {
      this.#rams.splice(this.#rams.indexOf(ram), 1);
    } else if (kind === 16) {
      globalThis.gc!();
    } else if (kind === 17) {
      await new Promise((resolve) => setImmediate(resolve));
    } else if (kind === 18) {
      this.#kept.splice(0, this.#random(this.#kept.length + 1));
      this.#moved.splice(0, this.#random(this.#moved.length + 1));
    } else if (this.#random(8) === 0) {
      await this.#worker();
    }
  }

  #length(): number {
    return LENGTHS[this.#random(LENGTHS.length)]!;
  }

  #create(): void {
    const length = this.#length();
    const makes = [
      () => GuestMemory.allocate(length),
      () => GuestMemory.allocate(length),
      () => GuestMemory.create(this.#arenaWithBlock(length)),
      () => GuestMemory.allocateShared(length),
      () => GuestMemory.create(Arena.over(new ArrayBuffer(length + 16))),
      () => GuestMemory.over(new Uint8Array(length + 9).subarray(9)),
      // Nothing but the RAM keeps the arena's pages alive.
      () => GuestMemory.over(Arena.create(length + 64).allocate(length)),
    ];
    const kind = this.#random(makes.length);
    const memory = makes[kind]!();
    this.#add(memory.arena, memory, kind < 3);
  }

  #arenaWithBlock(length: number): Arena {
    const arena = Arena.create(length + 4096);
    this.#kept.push(arena.allocate(1 + this.#random(64)));
    return arena;
  }

  #add(arena: Arena, memory: GuestMemory, pages: boolean): void {
    for (const gpa of [0, Number(memory.size) - 1].filter((address) => address >= 0)) {
      check(memory.readb(gpa) === 0 && nativeOf(memory).readb(gpa) === 0, "fresh RAM is not zero");
    }
    this.#rams.push({ arena, memory, pages, bytes: new Map(), moved: false });
  }

  #access({ memory, bytes, moved }: Ram): void {
    const gpa = this.#random(Number(memory.size) || 1);
    const value = this.#random(256);
    const [one, other] =
      this.#random(2) === 0 ? [memory, nativeOf(memory)] : [nativeOf(memory), memory];
    const out = new Uint8Array(1);
    const found = one.tryReadb(gpa, out);
    check(other.tryReadb(gpa, new Uint8Array(1)) === found, "the paths disagree");
    if (memory.destroyed || moved) {
      check(memory.size === 0n || found === ERROR_INTERNAL, "an ended access was let through");
      return;
    }
    if (found !== OK) {
      check(memory.size === 0n, `result ${found}`);
      return;
    }
    check(out[0] === (bytes.get(gpa) ?? 0), "a byte is not what was written");
    if (this.#random(4) === 0) {
      check(one.atomics.exchangeb(gpa, value) === out[0], "an atomic found another byte");
    } else {
      one.writeb(gpa, value);
    }
    check(other.readb(gpa) === value, "the other path reads another byte");
    bytes.set(gpa, value);
  }

  #expose({ memory, arena, moved }: Ram): void {
    if (this.#random(2) === 0) {
      this.#kept.push(memory.buffer);
    } else if (!memory.destroyed && !moved && memory.size > 8n) {
      this.#kept.push(memory.slice(1, 4), nativeOf(memory), memory.atomics);
    } else if (!arena.destroyed && arena.remaining > 0n) {
      this.#kept.push(arena.allocate(1, 1));
    }
  }

  #move(ram: Ram): void {
    if (ram.memory.destroyed || ram.moved || ram.memory.shareable !== null) {
      return;
    }
    const { buffer } = ram.memory.buffer;
    const bytes = move(buffer as ArrayBuffer);
    // A runtime may copy the bytes instead of moving them.
    ram.moved = ram.memory.size > 0n && buffer.byteLength === 0;
    if (bytes !== null && ram.moved) {
      const stamp = this.#random(256);
      this.#moved.push({ bytes: new Uint8Array(bytes).fill(stamp), stamp });
    }
  }

  #reset(ram: Ram): void {
    const { arena, memory, bytes, pages } = ram;
    if (arena.destroyed || (ram.moved && !pages)) {
      return;
    }
    arena.reset();
    check(memory.destroyed, "RAM outlived a reset");
    if (pages) {
      const next = GuestMemory.create(arena);
      for (const gpa of bytes.keys()) {
        check(
          next.readb(gpa) === 0 && nativeOf(next).readb(gpa) === 0,
          "RAM is not zero after a reset",
        );
      }
      this.#add(arena, next, true);
    }
  }

  async #worker(): Promise<void> {
    const stamp = this.#random(256);
    const ending = this.#random(3);
    const sizes = Array.from({ length: 1 + this.#random(3) }, () => this.#length());
    const worker = new Worker(WORKER, { eval: true, workerData: { sizes, stamp, ending } });
    const ended = once(worker, "exit");
    const [buffers] = (await once(worker, "message")) as [ArrayBuffer[]];
    if (ending === 2) {
      await worker.terminate();
    }
    await ended;
    for (const buffer of buffers) {
      this.#moved.push({ bytes: new Uint8Array(buffer), stamp });
    }
  }

  /** Checks that nothing has written to a transferred buffer. */
  #checkMoved(): void {
    for (const { bytes, stamp } of this.#moved) {
      for (const index of [0, bytes.length - 1, this.#random(bytes.length)]) {
        check(bytes[index] === stamp, "a moved buffer has changed");
      }
    }
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      seed: { type: "string", default: String(Date.now() % 2 ** 31) },
      runs: { type: "string" },
      seconds: { type: "string" },
    },
  });
  const first = Number(values.seed);
  const runs = Number(values.runs ?? (values.seconds === undefined ? 100 : Infinity));
  const end = Date.now() + Number(values.seconds ?? Infinity) * 1000;
  console.log(`lifetimes: from seed ${first}`);
  let seed = first;
  try {
    for (; seed < first + runs && Date.now() < end; seed++) {
      await new Run(seed).go();
    }
  } catch (error) {
    console.error(`lifetimes: seed ${seed}`);
    throw error;
  }
  console.log(`lifetimes: ${seed - first} runs of ${STEPS} steps without a fault`);
}

void main();
