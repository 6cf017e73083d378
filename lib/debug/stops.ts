import type { AddressSpace } from "../space/address-space.js";
import type { WatchedAccess, Watchpoint } from "../space/watchpoint.js";
import { CommandError, EINVAL, ENOSPC } from "./command-error.js";
import type { GdbCpu } from "./cpu.js";
import { type Part, partsOf } from "./translation.js";

/** The most breakpoints and watchpoints. */
const MAX_STOPS = 4096;
/** The most bytes of a watchpoint if a CPU translates addresses: each instruction looks them up. */
const MAX_TRANSLATED = 4096n;

/** The word for each kind of watchpoint in a stop reply. */
export type WatchWord = "watch" | "rwatch" | "awatch";

const WATCH_KINDS = { watch: "write", rwatch: "read", awatch: "access" } as const;

/** A watchpoint that an access has touched. */
export interface WatchHit {
  readonly word: WatchWord;
  /** The first address that is both accessed and watched, as the debugger named it. */
  readonly address: bigint;
}

/** A watchpoint of the debugger. */
export interface WatchedRange {
  readonly word: WatchWord;
  readonly address: bigint;
  readonly length: bigint;
}

/** A watchpoint of the debugger, and the watchpoints of the space at the memory that it is for. */
interface Watched extends WatchedRange {
  placed: readonly Watchpoint[];
}

/** Thrown out of an access, and so out of the CPU's `run`, by a watchpoint. */
class WatchpointReached extends Error {
  override readonly name = "WatchpointReached";
}

/** The breakpoints and watchpoints of a debugger. */
export class Stops {
  readonly #space: AddressSpace;
  readonly #software = new Set<bigint>();
  readonly #hardware = new Set<bigint>();
  readonly #watchpoints = new Map<string, Watched>();
  readonly #translates: boolean;
  /** The addresses of all breakpoints. */
  #breakpoints: ReadonlySet<bigint> = new Set();
  /** Whether accesses reach no watchpoint for now. */
  ignoresWatchpoints = false;
  #isExecuting = false;
  #hit: WatchHit | null = null;

  /** @param cpus - Those whose addresses the watchpoints have, if they translate them. */
  constructor(space: AddressSpace, cpus: readonly GdbCpu[]) {
    this.#space = space;
    this.#translates = cpus.some(({ translate }) => translate !== undefined);
  }

  /** The addresses of all breakpoints. A later change does not affect the set. */
  get breakpoints(): ReadonlySet<bigint> {
    return this.#breakpoints;
  }

  /** The watchpoints, in the order in which they were added. */
  get watchpoints(): readonly WatchedRange[] {
    return [...this.#watchpoints.values()];
  }

  get hasWatchpoints(): boolean {
    return this.#watchpoints.size !== 0;
  }

  isHardware(address: bigint): boolean {
    return this.#hardware.has(address);
  }

  addBreakpoint(address: bigint, isHardware: boolean): void {
    this.#checkRoom();
    (isHardware ? this.#hardware : this.#software).add(address);
    this.#collect();
  }

  removeBreakpoint(address: bigint, isHardware: boolean): void {
    (isHardware ? this.#hardware : this.#software).delete(address);
    this.#collect();
  }

  /** @throws CommandError if the range is empty, too long, or ends above 2^64. */
  addWatchpoint(word: WatchWord, address: bigint, length: bigint): void {
    this.#checkRoom();
    if (length === 0n || address + length > 2n ** 64n) {
      throw new CommandError(EINVAL, "the range must not be empty, nor end above 2^64");
    }
    if (this.#translates && length > MAX_TRANSLATED) {
      throw new CommandError(ENOSPC);
    }
    const key = keyOf(word, address, length);
    if (!this.#watchpoints.has(key)) {
      const watched: Watched = { word, address, length, placed: [] };
      this.#watchpoints.set(key, watched);
      if (!this.#translates) {
        watched.placed = [this.#watch(watched, 0, address, length)];
      }
    }
  }

  removeWatchpoint(word: WatchWord, address: bigint, length: bigint): void {
    const key = keyOf(word, address, length);
    removeAll(this.#watchpoints.get(key)?.placed ?? []);
    this.#watchpoints.delete(key);
  }

  /**
   * Moves the watchpoints to the memory that a CPU has at their addresses. Called before each of
   * its instructions, since any of them may change the page tables.
   *
   * @returns A promise only if `translate` of the CPU returns one.
   */
  follow(cpu: GdbCpu): void | Promise<void> {
    if (!this.#translates) {
      return;
    }
    const later: Promise<void>[] = [];
    for (const watched of this.#watchpoints.values()) {
      const parts = partsOf(cpu, watched.address, Number(watched.length));
      if (parts instanceof Promise) {
        later.push(parts.then((found) => this.#place(watched, found)));
      } else {
        this.#place(watched, parts);
      }
    }
    return later.length === 0 ? undefined : Promise.all(later).then(() => undefined);
  }

  clear(): void {
    this.#software.clear();
    this.#hardware.clear();
    this.#collect();
    for (const watchpoint of this.#watchpoints.values()) {
      removeAll(watchpoint.placed);
    }
    this.#watchpoints.clear();
  }

  /**
   * Calls a function that executes instructions. Accesses by the host at other times reach no
   * watchpoint.
   *
   * @returns What the function returns; the watchpoint that it reached instead, if it did.
   */
  watching<T>(execute: () => T): T | WatchHit {
    this.#isExecuting = true;
    this.#hit = null;
    try {
      const result = execute();
      return this.#hit ?? result;
    } catch (error) {
      // The CPU may have wrapped the error.
      if (this.#hit !== null) {
        return this.#hit;
      }
      throw error;
    } finally {
      this.#isExecuting = false;
    }
  }

  #place(watched: Watched, parts: readonly Part[]): void {
    const mapped = parts.filter(({ gpa }) => gpa !== null);
    const { placed } = watched;
    const isPlaced = (part: Part, i: number): boolean =>
      placed[i]!.gpa === part.gpa && placed[i]!.length === BigInt(part.length);
    if (mapped.length !== placed.length || !mapped.every(isPlaced)) {
      removeAll(placed);
      watched.placed = mapped.map(({ offset, gpa, length }) =>
        this.#watch(watched, offset, gpa!, BigInt(length)),
      );
    }
  }

  /** Watches the memory from `gpa` on, which is that of a part of a watchpoint. */
  #watch({ word, address }: Watched, offset: number, gpa: bigint, length: bigint): Watchpoint {
    const start = address + BigInt(offset);
    return this.#space.watch({ gpa, length, kinds: WATCH_KINDS[word] }, (access) =>
      this.#reached(word, start + (access.gpa > gpa ? access.gpa - gpa : 0n), access),
    );
  }

  #reached(word: WatchWord, address: bigint, { gpa, kind }: WatchedAccess): void {
    if (!this.#isExecuting || this.ignoresWatchpoints) {
      return;
    }
    this.#hit ??= { word, address };
    // A device must not be read again for the same instruction, so this instruction completes.
    if (kind === "write" || this.#space.regionAt(gpa)?.kind !== "mmio") {
      throw new WatchpointReached("a watchpoint of the debugger was reached");
    }
  }

  #checkRoom(): void {
    if (this.#software.size + this.#hardware.size + this.#watchpoints.size >= MAX_STOPS) {
      throw new CommandError(ENOSPC, `there are ${MAX_STOPS} breakpoints and watchpoints`);
    }
  }

  #collect(): void {
    this.#breakpoints = new Set([...this.#software, ...this.#hardware]);
  }
}

function removeAll(watchpoints: readonly Watchpoint[]): void {
  watchpoints.forEach((watchpoint) => watchpoint.remove());
}

function keyOf(word: WatchWord, address: bigint, length: bigint): string {
  return `${word},${address},${length}`;
}
