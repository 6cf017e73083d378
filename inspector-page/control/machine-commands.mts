import type { LiveInfo, MomentInfo, WatchInfo } from "../../lib/inspector/protocol.js";
import { messageOf } from "../client/errors.mjs";
import type { LiveLoop } from "../client/live-loop.mjs";
import { orders, session } from "../client/requests.mjs";
import { formatAddress } from "../model/addresses.mjs";
import type { Navigation } from "../model/navigation.mjs";
import { compareWith, nameOf, type Subject } from "../model/subject.mjs";
import type { StatusLine } from "../panels/status-line.mjs";
import type { Commands } from "./commands.mjs";

/** The commands that control a running machine. */
export class MachineCommands {
  readonly #subject: Subject;
  readonly #navigation: Navigation;
  readonly #commands: Commands;
  readonly #status: StatusLine;
  readonly #loop: LiveLoop;
  #info: LiveInfo | null = null;
  #lastOrder: Promise<void> = Promise.resolve();

  constructor(
    subject: Subject,
    navigation: Navigation,
    commands: Commands,
    status: StatusLine,
    loop: LiveLoop,
  ) {
    this.#subject = subject;
    this.#navigation = navigation;
    this.#commands = commands;
    this.#status = status;
    this.#loop = loop;
  }

  /** What the machine did last; null before the first answer. */
  get info(): LiveInfo | null {
    return this.#info;
  }

  /** The index of the CPU whose registers are shown. */
  get cpu(): number {
    return this.#loop.cpu;
  }

  /** Takes an answer of the server. */
  update(info: LiveInfo): void {
    this.#info = info;
    // The ring drops the oldest snapshots. An older answer does not have the newest one.
    const numbers = info.moments.map(({ number }) => number);
    if (session.since > 0 && numbers.length > 0 && numbers[0]! > session.since) {
      this.compare(null);
    }
  }

  continue(): void {
    this.#order("continued", orders.continue);
  }

  pause(): void {
    this.#order("paused", orders.pause);
  }

  step(): void {
    this.#order("stepped", () => orders.step(this.cpu));
  }

  selectCpu(cpu: number): void {
    this.#loop.cpu = cpu;
    this.#loop.ask();
  }

  stepCpu(): void {
    const count = this.#subject.machine?.cpus.length ?? 1;
    this.selectCpu((this.cpu + 1) % count);
  }

  /** Goes to the instruction that is executed next. */
  goToPc(): void {
    const at = this.#info?.machine?.at ?? null;
    if (at !== null) {
      this.#commands.goTo(BigInt(at));
    } else {
      this.#status.fail("the pc is not in memory");
    }
  }

  /** Sets a breakpoint at an address, by default that of the cursor, or removes it. */
  toggleBreakpoint(address = this.#navigation.gpa): void {
    const at = formatAddress(address);
    const on = this.#info?.machine?.breakpoints.includes(at) !== true;
    this.#order(on ? `breakpoint at ${at}` : `no breakpoint at ${at}`, () =>
      orders.setBreakpoint(address, on),
    );
  }

  /** Sets a watchpoint of writes to the element at the cursor, or removes it. */
  toggleWatchpoint(): void {
    const { bytes } = this.#commands.state.type;
    const gpa = this.#navigation.gpa - (this.#navigation.gpa % BigInt(bytes));
    const watch = { word: "watch", gpa: formatAddress(gpa), length: `0x${bytes}` } as const;
    this.setWatchpoint(watch, !this.#watches(watch));
  }

  setWatchpoint(watch: WatchInfo, on: boolean): void {
    const what = `watchpoint of ${Number(watch.length)} bytes at ${watch.gpa}`;
    this.#order(on ? what : `no ${what}`, () => orders.setWatchpoint(watch, on));
  }

  write(bytes: Uint8Array): void {
    const { gpa } = this.#navigation;
    const done = `${bytes.length} bytes written at ${formatAddress(gpa)}`;
    this.#order(done, () => orders.write(gpa, bytes));
  }

  setRegister(number: number, value: bigint): void {
    const { name } = this.#subject.machine!.registers[number]!;
    const done = `${name} = ${formatAddress(value)}`;
    this.#order(done, () => orders.setRegister(this.cpu, number, value));
  }

  /** Takes a snapshot, and compares with it. */
  takeMoment(): void {
    this.#order("snapshot taken", async () => this.compare(await orders.takeMoment()));
  }

  /** Compares with the next snapshot, and after the last one with none. */
  stepMoment(): void {
    const moments = this.#info?.moments ?? [];
    const current = moments.findIndex(({ number }) => number === session.since);
    this.compare(moments[current + 1] ?? null);
  }

  compare(moment: MomentInfo | null): void {
    session.since = moment?.number ?? 0;
    compareWith(this.#subject, moment);
    this.#commands.comparisonChanged();
    this.#status.tell(moment === null ? "no comparison" : `what changed since ${nameOf(moment)}`);
    this.#loop.ask();
  }

  #watches({ word, gpa, length }: WatchInfo): boolean {
    const watchpoints = this.#info?.machine?.watchpoints ?? [];
    return watchpoints.some(
      (known) => known.word === word && known.gpa === gpa && known.length === length,
    );
  }

  /** Gives an order after those before have been executed. */
  #order(done: string, give: () => Promise<unknown>): void {
    this.#lastOrder = this.#lastOrder.then(give).then(
      () => {
        this.#status.tell(done);
        this.#loop.ask();
      },
      (error: unknown) => this.#status.fail(messageOf(error)),
    );
  }
}
