import type { GdbCpu, GdbStop } from "./cpu.js";
import type { TargetDescription } from "./description.js";
import type { Stops, WatchHit } from "./stops.js";

/** Milliseconds that a slice should take: the delay of an interrupt. */
const SLICE_MILLISECONDS = 5;
const MAX_SLICE = 2 ** 24;

/** What a CPU does when the machine resumes. CPUs that are not listed stay stopped. */
export type Action = "continue" | "step";

/** Why the machine has stopped. `cpu` is the index of the CPU that stopped it. */
export type Stop =
  | { readonly kind: "signal"; readonly cpu: number; readonly signal: number }
  | { readonly kind: "breakpoint"; readonly cpu: number; readonly hardware: boolean }
  | { readonly kind: "watchpoint"; readonly cpu: number; readonly hit: WatchHit }
  | { readonly kind: "error"; readonly cpu: number; readonly error: unknown }
  | { readonly kind: "exit"; readonly status: number };

export const SIGINT = 2;
export const SIGTRAP = 5;

/** Executes the CPUs in slices, between which the server handles what a debugger sends. */
export class Runner {
  readonly #cpus: readonly GdbCpu[];
  readonly #description: TargetDescription;
  readonly #stops: Stops;
  /** Instructions of a slice. It adapts to the speed of the CPUs. */
  #slice = 1024;
  #interrupted = false;
  #running: Promise<Stop> | null = null;
  /** What waits for the end of the slice. */
  #waiting: (() => Promise<void>)[] = [];
  /** The last reason to stop. Before the machine has run, it is the trap of a debugger. */
  last: Stop = { kind: "signal", cpu: 0, signal: SIGTRAP };

  constructor(cpus: readonly GdbCpu[], description: TargetDescription, stops: Stops) {
    this.#cpus = cpus;
    this.#description = description;
    this.#stops = stops;
  }

  get isRunning(): boolean {
    return this.#running !== null;
  }

  /** Runs until the machine stops. It must not run already. */
  async resume(actions: ReadonlyMap<number, Action>): Promise<Stop> {
    this.#interrupted = false;
    this.#running = this.#run(actions);
    try {
      this.last = await this.#running;
    } finally {
      this.#running = null;
      await this.#serveWaiting();
    }
    return this.last;
  }

  /** Calls a function while no CPU executes: between two slices if the machine runs. */
  atRest<T>(task: () => T | Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#waiting.push(async () => {
        try {
          resolve(await task());
        } catch (error) {
          // Whatever the task has thrown.
          // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors
          reject(error);
        }
      });
      if (!this.isRunning) {
        void this.#serveWaiting();
      }
    });
  }

  async #serveWaiting(): Promise<void> {
    for (const task of this.#waiting.splice(0)) {
      await task();
    }
  }

  /** Lets every CPU run. */
  resumeAll(): Promise<Stop> {
    return this.resume(new Map(this.#cpus.map((_, index) => [index, "continue"])));
  }

  /** Stops the machine after the slice, as by Ctrl+C in gdb. Resolves when it is stopped. */
  async interrupt(): Promise<void> {
    this.#interrupted = true;
    await this.#running;
  }

  async #run(actions: ReadonlyMap<number, Action>): Promise<Stop> {
    if (this.last.kind === "exit") {
      return this.last;
    }
    const isStep = [...actions.values()].includes("step");
    for (;;) {
      const start = performance.now();
      const stop = await this.#runSlice(actions, isStep ? 1 : this.#slice);
      if (stop !== null) {
        return stop;
      }
      this.#adapt(performance.now() - start);
      await this.#serveWaiting();
      await new Promise(setImmediate);
      if (this.#interrupted) {
        const [cpu = 0] = actions.keys();
        return { kind: "signal", cpu, signal: SIGINT };
      }
    }
  }

  /**
   * Runs each CPU for a slice: those of this thread in turn, until one stops, and those of other
   * threads at the same time. If several stop, the next slice reports the others, since none of
   * them has executed the instruction that stopped it.
   */
  async #runSlice(actions: ReadonlyMap<number, Action>, limit: number): Promise<Stop | null> {
    const elsewhere: Promise<Stop | null>[] = [];
    let stop: Stop | null = null;
    let stepped: Stop | null = null;
    for (const [index, action] of actions) {
      const result = this.#runCpu(index, action, limit);
      if (result instanceof Promise) {
        elsewhere.push(result);
      } else if (result !== null) {
        stop = result;
        break;
      }
      if (action === "step") {
        stepped ??= { kind: "signal", cpu: index, signal: SIGTRAP };
      }
    }
    for (const result of await Promise.all(elsewhere)) {
      stop ??= result;
    }
    return stop ?? stepped;
  }

  /** Runs a CPU for up to `limit` instructions. Null if it may go on. */
  #runCpu(index: number, action: Action, limit: number): MaybePromise<Stop | null> {
    const fail = (error: unknown): Stop => ({ kind: "error", cpu: index, error });
    try {
      // A step executes its instruction even at a breakpoint.
      const before = action === "continue" ? this.#breakpointAt(index) : null;
      const result = then(before, (stop) => stop ?? this.#execute(index, limit));
      return result instanceof Promise ? result.catch(fail) : result;
    } catch (error) {
      return fail(error);
    }
  }

  #execute(index: number, limit: number): MaybePromise<Stop | null> {
    const cpu = this.#cpus[index]!;
    const stops = this.#stops;
    const { breakpoints } = stops;
    if (!stops.hasWatchpoints) {
      const result = stops.watching(() => cpu.run(limit, breakpoints));
      return then(result, (stop) => toStop(index, stop));
    }
    for (let left = limit; left > 0; left--) {
      const result = then(stops.follow(cpu), () => stops.watching(() => cpu.run(1, breakpoints)));
      const stop = then(
        then(result, (found) => toStop(index, found)),
        (found) => found ?? (left > 1 ? this.#breakpointAt(index) : null),
      );
      if (stop instanceof Promise) {
        return stop.then((found) => found ?? this.#execute(index, left - 1));
      }
      if (stop !== null) {
        return stop;
      }
    }
    return null;
  }

  #breakpointAt(index: number): MaybePromise<Stop | null> {
    const { breakpoints } = this.#stops;
    if (breakpoints.size === 0) {
      return null;
    }
    return then(this.#cpus[index]!.readRegister(this.#description.pc), (pc) =>
      breakpoints.has(pc)
        ? { kind: "breakpoint", cpu: index, hardware: this.#stops.isHardware(pc) }
        : null,
    );
  }

  #adapt(milliseconds: number): void {
    if (milliseconds < SLICE_MILLISECONDS / 2) {
      this.#slice = Math.min(2 * this.#slice, MAX_SLICE);
    } else if (milliseconds > 2 * SLICE_MILLISECONDS) {
      this.#slice = Math.max(this.#slice >>> 1, 1);
    }
  }
}

function toStop(cpu: number, result: GdbStop | WatchHit | undefined): Stop | null {
  if (result === undefined) {
    return null;
  }
  if ("word" in result) {
    return { kind: "watchpoint", cpu, hit: result };
  }
  return "exited" in result
    ? { kind: "exit", status: result.exited & 0xff }
    : { kind: "signal", cpu, signal: result.signal & 0xff };
}

type MaybePromise<T> = T | Promise<T>;

/** Calls a function with a value, at once if it is there: a promise would delay the next CPU. */
function then<T, R>(value: MaybePromise<T>, next: (value: T) => MaybePromise<R>): MaybePromise<R> {
  return value instanceof Promise ? value.then(next) : next(value);
}
