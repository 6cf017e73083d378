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

const SIGINT = 2;
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
    }
    return this.last;
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
      let stepped: Stop | null = null;
      for (const [index, action] of actions) {
        const stop = await this.#runCpu(index, action, isStep);
        if (stop !== null) {
          return stop;
        }
        if (action === "step") {
          stepped ??= { kind: "signal", cpu: index, signal: SIGTRAP };
        }
      }
      if (stepped !== null) {
        return stepped;
      }
      this.#adapt(performance.now() - start);
      await new Promise(setImmediate);
      if (this.#interrupted) {
        const [cpu = 0] = actions.keys();
        return { kind: "signal", cpu, signal: SIGINT };
      }
    }
  }

  /** Runs a CPU for a slice, or for one instruction. Null if it may go on. */
  async #runCpu(index: number, action: Action, isStep: boolean): Promise<Stop | null> {
    const cpu = this.#cpus[index]!;
    try {
      // A step executes its instruction even at a breakpoint.
      if (action === "continue") {
        const stop = await this.#breakpointAt(index);
        if (stop !== null) {
          return stop;
        }
      }
      return await this.#execute(cpu, index, isStep ? 1 : this.#slice);
    } catch (error) {
      return { kind: "error", cpu: index, error };
    }
  }

  async #execute(cpu: GdbCpu, index: number, limit: number): Promise<Stop | null> {
    const stops = this.#stops;
    const { breakpoints } = stops;
    const isWatching = stops.hasWatchpoints;
    const run = isWatching ? 1 : limit;
    for (let left = limit; left > 0; left -= run) {
      const running = stops.watching(() => cpu.run(run, breakpoints));
      // No await for a CPU of this thread: it would take longer than most instructions.
      const result = running instanceof Promise ? await running : running;
      if (result !== undefined) {
        return toStop(index, result);
      }
      if (isWatching && left > 1 && breakpoints.size > 0) {
        const stop = await this.#breakpointAt(index);
        if (stop !== null) {
          return stop;
        }
      }
    }
    return null;
  }

  async #breakpointAt(index: number): Promise<Stop | null> {
    const { breakpoints } = this.#stops;
    if (breakpoints.size === 0) {
      return null;
    }
    const pc = await this.#cpus[index]!.readRegister(this.#description.pc);
    return breakpoints.has(pc)
      ? { kind: "breakpoint", cpu: index, hardware: this.#stops.isHardware(pc) }
      : null;
  }

  #adapt(milliseconds: number): void {
    if (milliseconds < SLICE_MILLISECONDS / 2) {
      this.#slice = Math.min(2 * this.#slice, MAX_SLICE);
    } else if (milliseconds > 2 * SLICE_MILLISECONDS) {
      this.#slice = Math.max(this.#slice >>> 1, 1);
    }
  }
}

function toStop(cpu: number, result: GdbStop | WatchHit): Stop {
  if ("word" in result) {
    return { kind: "watchpoint", cpu, hit: result };
  }
  return "exited" in result
    ? { kind: "exit", status: result.exited & 0xff }
    : { kind: "signal", cpu, signal: result.signal & 0xff };
}
