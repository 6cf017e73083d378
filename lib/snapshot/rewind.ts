import { checkFunction, checkObject, toByteCount } from "../base/arguments.js";
import { rangeError } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import { PAGE_SIZE } from "../base/page.js";
import { restoreSnapshot } from "./restore.js";
import { contentsOf, type Snapshot } from "./snapshot.js";
import { NO_STATE } from "./state.js";
import type { SnapshotSubject } from "./subject.js";
import { type SnapshotOptions, takeSnapshot } from "./take.js";

/** Options of {@link Rewind}. */
export interface RewindOptions {
  /**
   * The most bytes that the snapshots may take together: pages that differ between one snapshot and
   * the next, and state. The oldest snapshots are dropped for it. At least 1; the newest snapshot
   * is kept even if it alone takes more.
   */
  readonly budget: Gpa;
  /** Returns the state beside memory and devices, such as the registers of a CPU. */
  readonly save?: (() => SnapshotOptions["state"]) | undefined;
  /** Restores what `save` returned: it reads `snapshot.state(name)`. Called after memory. */
  readonly load?: ((snapshot: Snapshot) => void) | undefined;
}

/** A snapshot, and the bytes that it takes beside the one before it. */
interface Entry {
  readonly snapshot: Snapshot;
  readonly added: number;
}

/**
 * The latest states of a machine, to go back in time. Each {@link Rewind.take} adds a snapshot,
 * which shares the unchanged pages with the one before; the oldest are dropped when all together
 * exceed a budget of memory.
 *
 * Start dirty tracking of the memories first: otherwise each snapshot compares all pages.
 *
 * @example
 * ```js
 * import { GuestMemory } from "pound-guest-memory";
 * import { Rewind } from "pound-guest-memory/snapshot";
 *
 * const memory = GuestMemory.allocate(1024 * 1024);
 * memory.startTracking();
 * const rewind = new Rewind(memory, { budget: 64 * 1024 * 1024 });
 * for (let second = 1; second <= 3; second++) {
 *   memory.writel(0x1000, second); // run the guest
 *   rewind.take();
 * }
 * rewind.back(2);
 * console.log(memory.readl(0x1000), rewind.length); // 1 1
 * ```
 */
export class Rewind {
  readonly #subject: SnapshotSubject;
  readonly #budget: number;
  readonly #save: RewindOptions["save"];
  readonly #load: RewindOptions["load"];
  #entries: Entry[] = [];

  /** @throws TypeError, RangeError for invalid options. */
  constructor(subject: SnapshotSubject, options: RewindOptions) {
    const { budget, save, load } = checkObject(options, "options");
    this.#budget = toByteCount(budget, "budget");
    if (this.#budget === 0) {
      throw rangeError("budget must be at least 1");
    }
    this.#subject = subject;
    this.#save = save === undefined ? save : checkFunction(save, "save");
    this.#load = load === undefined ? load : checkFunction(load, "load");
  }

  /** The number of snapshots. */
  get length(): number {
    return this.#entries.length;
  }

  /** The snapshots, the oldest first. */
  get snapshots(): Snapshot[] {
    return this.#entries.map(({ snapshot }) => snapshot);
  }

  /** The bytes of pages and state that the snapshots take together. */
  get bytes(): number {
    const [first, ...rest] = this.#entries;
    return first === undefined
      ? 0
      : rest.reduce((sum, { added }) => sum + added, bytesAfter(null, first.snapshot));
  }

  /**
   * Takes a snapshot, and drops the oldest ones as the budget demands.
   *
   * @throws The errors of {@link takeSnapshot}, and what `save` throws. Nothing changes then.
   */
  take(): Snapshot {
    const parent = this.#entries.at(-1)?.snapshot;
    const snapshot = takeSnapshot(this.#subject, { parent, state: this.#save?.() ?? {} });
    this.#entries.push({ snapshot, added: bytesAfter(parent ?? null, snapshot) });
    let { bytes } = this;
    while (bytes > this.#budget && this.#entries.length > 1) {
      this.#entries.shift();
      ({ bytes } = this);
    }
    return snapshot;
  }

  /**
   * Goes back to an earlier snapshot, which becomes the newest: those after it are dropped.
   *
   * @param steps - 0 for the newest snapshot, 1 for the one before, and so on. By default the
   * newest. A number beyond the oldest snapshot means the oldest.
   * @returns The snapshot; null if there is none.
   * @throws TypeError, RangeError for an invalid number; the errors of {@link restoreSnapshot}, and
   * what `load` throws. The snapshots remain then.
   */
  back(steps = 0): Snapshot | null {
    const count = toByteCount(steps, "steps");
    const index = Math.max(0, this.#entries.length - 1 - count);
    const entry = this.#entries[index];
    if (entry === undefined) {
      return null;
    }
    restoreSnapshot(this.#subject, entry.snapshot);
    this.#load?.(entry.snapshot);
    this.#entries = this.#entries.slice(0, index + 1);
    return entry.snapshot;
  }

  /** Drops all snapshots. */
  clear(): void {
    this.#entries = [];
  }
}

/** The bytes that a snapshot takes if the one before it exists; null for all of its bytes. */
function bytesAfter(before: Snapshot | null, snapshot: Snapshot): number {
  const { regions, state = NO_STATE } = contentsOf(snapshot);
  const old = before === null ? null : contentsOf(before).regions;
  let bytes = 0;
  regions.forEach(({ pages }, i) => {
    const known = old?.[i]?.pages;
    if (known === undefined) {
      bytes += pages.stored * PAGE_SIZE;
      return;
    }
    for (const page of known.changedPages(pages)) {
      bytes += pages.get(page) === null ? 0 : PAGE_SIZE;
    }
  });
  for (const block of [...state.named.values(), ...state.devices.values()]) {
    bytes += block.length;
  }
  return bytes;
}
