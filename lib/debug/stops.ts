import type { AddressSpace } from "../space/address-space.js";
import type { WatchedAccess, Watchpoint } from "../space/watchpoint.js";
import { CommandError, EINVAL, ENOSPC } from "./command-error.js";

/** The most breakpoints and watchpoints. */
const MAX_STOPS = 4096;

/** The word for each kind of watchpoint in a stop reply. */
export type WatchWord = "watch" | "rwatch" | "awatch";

const WATCH_KINDS = { watch: "write", rwatch: "read", awatch: "access" } as const;

/** A watchpoint. */
export interface WatchedRange {
  readonly word: WatchWord;
  readonly gpa: bigint;
  readonly length: bigint;
}

/** A watchpoint that an access has touched. */
export interface WatchHit {
  readonly word: WatchWord;
  /** The first address that is both accessed and watched. */
  readonly gpa: bigint;
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
  readonly #watchpoints = new Map<string, Watchpoint>();
  /** The addresses of all breakpoints. */
  #breakpoints: ReadonlySet<bigint> = new Set();
  /** Whether accesses reach no watchpoint for now. */
  ignoresWatchpoints = false;
  #isExecuting = false;
  #hit: WatchHit | null = null;

  constructor(space: AddressSpace) {
    this.#space = space;
  }

  /** The addresses of all breakpoints. A later change does not affect the set. */
  get breakpoints(): ReadonlySet<bigint> {
    return this.#breakpoints;
  }

  /** The watchpoints, in the order in which they were added. */
  get watchpoints(): WatchedRange[] {
    return [...this.#watchpoints].map(([key, { gpa, length }]) => {
      return { word: key.split(",")[0] as WatchWord, gpa, length };
    });
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

  /** @throws CommandError if the range is empty or ends above 2^64. */
  addWatchpoint(word: WatchWord, gpa: bigint, length: bigint): void {
    this.#checkRoom();
    if (length === 0n || gpa + length > 2n ** 64n) {
      throw new CommandError(EINVAL, "the range must not be empty, nor end above 2^64");
    }
    const key = keyOf(word, gpa, length);
    if (!this.#watchpoints.has(key)) {
      const range = { gpa, length, kinds: WATCH_KINDS[word] };
      this.#watchpoints.set(
        key,
        this.#space.watch(range, (access) => this.#reached(word, gpa, access)),
      );
    }
  }

  removeWatchpoint(word: WatchWord, gpa: bigint, length: bigint): void {
    const key = keyOf(word, gpa, length);
    this.#watchpoints.get(key)?.remove();
    this.#watchpoints.delete(key);
  }

  clear(): void {
    this.#software.clear();
    this.#hardware.clear();
    this.#collect();
    for (const watchpoint of this.#watchpoints.values()) {
      watchpoint.remove();
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

  #reached(word: WatchWord, start: bigint, { gpa, kind }: WatchedAccess): void {
    if (!this.#isExecuting || this.ignoresWatchpoints) {
      return;
    }
    this.#hit ??= { word, gpa: gpa > start ? gpa : start };
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

function keyOf(word: WatchWord, gpa: bigint, length: bigint): string {
  return `${word},${gpa},${length}`;
}
