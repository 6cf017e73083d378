import type { MessagePort } from "node:worker_threads";
import { checkBooleans, checkFunction, checkObject, isInstance } from "../base/arguments.js";
import { typeError } from "../base/errors.js";
import { hex } from "../base/printable.js";
import { CommandError } from "../debug/command-error.js";
import { type DebuggedMachine, debugMachine, type MachineParts } from "../debug/machine.js";
import { SIGINT, SIGTRAP, type Stop } from "../debug/runner.js";
import type { WatchWord } from "../debug/stops.js";
import { partsOf } from "../debug/translation.js";
import { AccessTrace } from "../space/access-trace.js";
import type { AddressSpace } from "../space/address-space.js";
import { serveOver } from "./machine-link.js";
import { Parameters } from "./parameters.js";
import type { MachineInfo, MachineState, TraceInfo } from "./protocol.js";
import { badParameter, RequestError } from "./request-error.js";

/** The most bytes of one write. */
export const MAX_WRITE = 1024;
/** The most lines of disassembly, characters of a line, and accesses of a trace in one response. */
const MAX_LINES = 64;
const MAX_CHARACTERS = 200;
const MAX_ACCESSES = 64;
/** Milliseconds after which a hold ends by itself. */
const HOLD_MS = 2000;

const WATCH_WORDS: readonly WatchWord[] = ["watch", "rwatch", "awatch"];
const SWITCHES = ["on", "off"] as const;

/** A line of a disassembly. */
export interface DisassembledLine {
  readonly address: bigint;
  /** The instruction, such as `addi sp, sp, -16`. */
  readonly text: string;
}

/** Options of {@link InspectedMachine}. */
export interface InspectedMachineOptions extends MachineParts {
  /**
   * Disassembles the instructions from an address on, about 16 of them. By default, the page shows
   * no disassembly. It is called between two slices, several times a second.
   *
   * @param cpu - The index of the CPU.
   */
  readonly disassemble?: (address: bigint, cpu: number) => readonly DisassembledLine[];
  /** The recorded accesses in which the page looks up who wrote the byte at the cursor. */
  readonly trace?: AccessTrace;
  /** Whether the guest runs at once; false by default: it waits for the page. */
  readonly running?: boolean;
}

/**
 * A machine that the inspector's page can pause, step, change and watch.
 *
 * It executes the CPUs as `GdbServer` does: in slices of about 5 ms, on the event loop of this
 * thread. Pass it to {@link serveInspector}, or make it in a worker and
 * {@link InspectedMachine.connect} it, so that the server and the guest run in different threads.
 *
 * @example
 * ```ts
 * import { AddressSpace } from "pound-guest-memory";
 * import { type GdbCpu, riscvArchitecture } from "pound-guest-memory/gdb";
 * import { InspectedMachine, serveInspector } from "pound-guest-memory/inspector";
 *
 * const space = new AddressSpace();
 * space.addRam(0x8000_0000, 65536);
 * const registers = new BigUint64Array(33);
 * const cpu: GdbCpu = {
 *   readRegister: (number) => registers[number]!,
 *   writeRegister: (number, value) => void (registers[number] = value),
 *   run: () => undefined, // a real CPU executes instructions
 * };
 *
 * const machine = new InspectedMachine({ space, cpus: [cpu], architecture: riscvArchitecture() });
 * const inspector = await serveInspector({ space, machine });
 * console.log(`open ${inspector.url}`);
 * await inspector.close();
 * ```
 */
export class InspectedMachine {
  readonly #space: AddressSpace;
  readonly #machine: DebuggedMachine;
  readonly #disassemble: InspectedMachineOptions["disassemble"];
  readonly #trace: AccessTrace | undefined;
  /** Resolves when the request before has been answered. */
  #turn: Promise<unknown> = Promise.resolve();
  #release: () => void = () => undefined;

  /** @throws TypeError, RangeError for an invalid option. */
  constructor(options: InspectedMachineOptions) {
    const { disassemble, trace, running = false } = checkObject(options, "options");
    if (disassemble !== undefined) {
      checkFunction(disassemble, "disassemble");
    }
    if (trace !== undefined && !isInstance(trace, AccessTrace)) {
      throw typeError("trace must be an AccessTrace");
    }
    checkBooleans({ running });
    this.#machine = debugMachine(options, "physical");
    this.#space = options.space;
    this.#disassemble = disassemble;
    this.#trace = trace;
    if (running) {
      void this.#machine.runner.resumeAll();
    }
  }

  /**
   * Lets a server in another thread use the machine: pass it the other port of a `MessageChannel`
   * as `machine`. An open port keeps this thread alive.
   *
   * @throws TypeError if `port` is not a MessagePort.
   */
  connect(port: MessagePort): void {
    serveOver(port, this);
  }

  /** Stops the guest after the slice. */
  async close(): Promise<void> {
    this.#release();
    await this.#machine.runner.interrupt();
  }

  /**
   * Answers a request of the page.
   *
   * @param query - The parameters of the request.
   * @throws {@link RequestError}
   * @internal
   */
  async ask(path: string, query: string): Promise<object> {
    if (path === "release") {
      this.#release();
      return {};
    }
    const parameters = new Parameters(new URLSearchParams(query));
    if (path === "hold") {
      return this.#hold();
    }
    const answer = this.#turn.then(() => this.#execute(path, parameters));
    this.#turn = answer.catch(() => undefined);
    return answer;
  }

  async #execute(path: string, query: Parameters): Promise<object> {
    const { runner } = this.#machine;
    switch (path) {
      case "info":
        return this.#info();
      case "state":
        return runner.atRest(() => this.#state(query));
      case "trace":
        return this.#accesses(query);
      case "pause":
        await runner.interrupt();
        return {};
      case "continue":
        return this.#continue();
      case "step":
        return this.#step(this.#cpu(query));
      default:
        return runner.atRest(() => this.#change(path, query));
    }
  }

  #info(): MachineInfo {
    const { cpus, description } = this.#machine;
    return {
      cpus: cpus.map(({ name }, i) => name ?? `cpu${i}`),
      registers: description.registers.map(({ name, bits }) => ({ name, bits })),
      pc: description.pc,
      traces: this.#trace !== undefined,
    };
  }

  async #state(query: Parameters): Promise<MachineState> {
    const { cpus, description, runner, stops } = this.#machine;
    const { last } = runner;
    const index = this.#cpu(query);
    const values: bigint[] = [];
    for (const [number, { bits }] of description.registers.entries()) {
      values.push(BigInt.asUintN(bits, await cpus[index]!.readRegister(number)));
    }
    const pc = values[description.pc]!;
    const [place] = await partsOf(cpus[index]!, pc, 1);
    const lines = this.#disassemble?.(pc, index).slice(0, MAX_LINES) ?? [];
    return {
      status: runner.isRunning ? "running" : last.kind === "exit" ? "ended" : "stopped",
      reason: runner.isRunning ? "" : describeStop(last),
      cpu: last.kind === "exit" ? null : last.cpu,
      registers: values.map(hex),
      at: place?.gpa == null ? null : hex(place.gpa),
      disassembly: lines.map(({ address, text }) => {
        return { address: hex(address), text: text.slice(0, MAX_CHARACTERS) };
      }),
      breakpoints: [...stops.breakpoints].map(hex),
      watchpoints: stops.watchpoints.map(({ word, address, length }) => {
        return { word, gpa: hex(address), length: hex(length) };
      }),
    };
  }

  /** The newest of the recorded accesses to a range. */
  #accesses(query: Parameters): TraceInfo {
    const gpa = query.address("gpa");
    const end = gpa + BigInt(query.integer("length", 1, MAX_WRITE));
    const found = (this.#trace?.accesses() ?? []).filter(
      (access) => access.gpa < end && gpa < access.gpa + BigInt(access.width),
    );
    return {
      accesses: found
        .slice(-MAX_ACCESSES)
        .reverse()
        .map(({ gpa: at, width, kind, tag, value }) => {
          const text = value === undefined ? null : hex(value);
          return { gpa: hex(at), width, kind, tag: hex(tag), value: text };
        }),
    };
  }

  async #continue(): Promise<object> {
    const { cpus, runner, stops, description } = this.#machine;
    if (runner.isRunning) {
      return {};
    }
    this.#checkNotEnded();
    // The instructions that have stopped the machine are executed first.
    const first = new Set<number>();
    for (const [index, cpu] of cpus.entries()) {
      if (stops.breakpoints.size > 0) {
        const pc = await cpu.readRegister(description.pc);
        if (stops.breakpoints.has(pc)) {
          first.add(index);
        }
      }
    }
    if (runner.last.kind === "watchpoint") {
      first.add(runner.last.cpu);
    }
    if (first.size === 0 || (await this.#stepOver([...first]))) {
      void runner.resumeAll();
    }
    return {};
  }

  async #step(cpu: number): Promise<object> {
    if (this.#machine.runner.isRunning) {
      throw new RequestError(409, "ERR_RUNNING", "the machine runs: pause it first");
    }
    this.#checkNotEnded();
    await this.#stepOver([cpu]);
    return {};
  }

  /** Executes an instruction of some CPUs. Returns whether nothing else has stopped the machine. */
  async #stepOver(cpus: readonly number[]): Promise<boolean> {
    const { runner, stops } = this.#machine;
    const { last } = runner;
    // The access that has stopped the machine is made again.
    stops.ignoresWatchpoints = last.kind === "watchpoint" && cpus.includes(last.cpu);
    try {
      const stop = await runner.resume(new Map(cpus.map((cpu) => [cpu, "step"])));
      return stop.kind === "signal" && stop.signal === SIGTRAP;
    } finally {
      stops.ignoresWatchpoints = false;
    }
  }

  #checkNotEnded(): void {
    if (this.#machine.runner.last.kind === "exit") {
      throw new RequestError(409, "ERR_ENDED", "the guest has ended");
    }
  }

  /** Executes a request that changes the machine, while no CPU executes. */
  async #change(path: string, query: Parameters): Promise<object> {
    const { cpus, description, stops } = this.#machine;
    switch (path) {
      case "register": {
        const number = query.integer("number", 0, description.registers.length - 1);
        const value = query.value("value", description.registers[number]!.bits);
        await cpus[this.#cpu(query)]!.writeRegister(number, value);
        return {};
      }
      case "write":
        writeBytes(this.#space, query);
        return {};
      case "breakpoint": {
        const address = query.value("address", 64);
        if (query.choice("set", SWITCHES) === "on") {
          allow(() => stops.addBreakpoint(address, true));
        } else {
          stops.removeBreakpoint(address, true);
        }
        return {};
      }
      case "watchpoint": {
        const gpa = query.value("gpa", 64);
        const length = query.value("length", 64);
        const word = query.choice("word", WATCH_WORDS);
        if (query.choice("set", SWITCHES) === "on") {
          allow(() => stops.addWatchpoint(word, gpa, length));
        } else {
          stops.removeWatchpoint(word, gpa, length);
        }
        return {};
      }
      default:
        throw new RequestError(404, "ERR_NOT_FOUND", `there is no /api/machine/${path}`);
    }
  }

  /** Keeps the machine from executing and from answering until `release`, or for 2 s. */
  #hold(): Promise<object> {
    const { runner } = this.#machine;
    return new Promise((resolve) => {
      this.#turn = this.#turn.then(() =>
        runner.atRest(
          () =>
            new Promise<void>((release) => {
              const timer = setTimeout(release, HOLD_MS);
              this.#release = () => {
                clearTimeout(timer);
                release();
              };
              resolve({});
            }),
        ),
      );
    });
  }

  #cpu(query: Parameters): number {
    return query.integer("cpu", 0, this.#machine.cpus.length - 1);
  }
}

/**
 * Writes the parameter `bytes` at the address `gpa`, also to ROM.
 *
 * @throws {@link RequestError} if an address is not in RAM or ROM. Nothing is written then.
 */
export function writeBytes(space: AddressSpace, query: Parameters): void {
  const gpa = query.value("gpa", 64);
  const bytes = query.bytes("bytes", MAX_WRITE);
  if (gpa + BigInt(bytes.length) > 2n ** 64n) {
    throw badParameter("the bytes must end at 2^64 or below");
  }
  const [missing] = space.peek(gpa, Buffer.alloc(bytes.length));
  if (missing !== undefined) {
    const at = hex(gpa + BigInt(missing.offset));
    throw new RequestError(404, "ERR_UNMAPPED", `no RAM or ROM is at ${at}`);
  }
  space.poke(gpa, bytes);
}

/** Calls a function that refuses a breakpoint or a watchpoint with a CommandError. */
function allow(add: () => void): void {
  try {
    add();
  } catch (error) {
    throw error instanceof CommandError ? badParameter(error.message) : error;
  }
}

const WATCHED: Readonly<Record<WatchWord, string>> = {
  watch: "a write to",
  rwatch: "a read of",
  awatch: "an access to",
};

function describeStop(stop: Stop): string {
  switch (stop.kind) {
    case "exit":
      return `the guest has ended with status ${stop.status}`;
    case "breakpoint":
      return "breakpoint";
    case "watchpoint":
      return `${WATCHED[stop.hit.word]} ${hex(stop.hit.address)}`;
    case "error":
      return `the CPU failed: ${String(stop.error)}`.slice(0, 1000);
    case "signal":
      return { [SIGINT]: "paused", [SIGTRAP]: "stopped" }[stop.signal] ?? `signal ${stop.signal}`;
  }
}
