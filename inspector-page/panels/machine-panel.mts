import type { LiveInfo, MachineState, TraceInfo, WatchInfo } from "../../lib/inspector/protocol.js";
import { requests, session } from "../client/requests.mjs";
import type { MachineCommands } from "../control/machine-commands.mjs";
import { cursorAddress, type State } from "../model/state.mjs";
import { nameOf, type Subject } from "../model/subject.mjs";
import { byId, make } from "./dom.mjs";

/** The calls that the panel makes. */
export interface MachinePanelEvents {
  /** A register was chosen, to be changed. */
  readonly register: (number: number) => void;
  /** An address was chosen. */
  readonly chosen: (gpa: bigint) => void;
}

/** What the machine does: its registers, code, breakpoints, snapshots and recorded accesses. */
export class MachinePanel {
  readonly #panel = byId("machine-panel", HTMLElement);
  readonly #status = byId("machine-status", HTMLElement);
  readonly #cpu = byId("cpu", HTMLSelectElement);
  readonly #registers = byId("registers", HTMLElement);
  readonly #code = byId("code", HTMLElement);
  readonly #stops = byId("stops", HTMLElement);
  readonly #moments = byId("moments", HTMLElement);
  readonly #accesses = byId("accesses", HTMLElement);
  readonly #subject: Subject;
  readonly #commands: MachineCommands;
  readonly #events: MachinePanelEvents;
  readonly #values: readonly HTMLElement[];
  /** The texts of the lists, to leave elements that have the focus as they are. */
  readonly #shown = new Map<HTMLElement, string>();
  /** The cursor, and the state of the stopped guest, that the accesses were requested for. */
  #traced = { cursor: "", stop: "" };

  constructor(subject: Subject, commands: MachineCommands, events: MachinePanelEvents) {
    this.#subject = subject;
    this.#commands = commands;
    this.#events = events;
    const { machine } = subject;
    this.#panel.hidden = !subject.isLive;
    document.body.classList.toggle("controls", machine !== null);
    byId("accesses-section", HTMLElement).hidden = machine?.traces !== true;
    const buttons: Readonly<Record<string, () => void>> = {
      continue: () => commands.continue(),
      pause: () => commands.pause(),
      step: () => commands.step(),
      moment: () => commands.takeMoment(),
    };
    for (const [id, run] of Object.entries(buttons)) {
      byId(id, HTMLButtonElement).addEventListener("click", run);
    }
    machine?.cpus.forEach((name, i) => this.#cpu.add(new Option(name, String(i))));
    this.#cpu.addEventListener("change", () => commands.selectCpu(Number(this.#cpu.value)));
    this.#values = (machine?.registers ?? []).map(({ name }, number) => {
      const button = make("button", "value");
      button.setAttribute("type", "button");
      button.addEventListener("click", () => events.register(number));
      const entry = make("div", "register");
      entry.append(make("span", "name", name), button);
      this.#registers.append(entry);
      return button;
    });
  }

  focus(): void {
    byId("continue", HTMLButtonElement).focus();
  }

  show(state: State): void {
    const { info } = this.#commands;
    if (info === null) {
      return;
    }
    const { machine, failure } = info;
    this.#showMoments(info);
    if (failure !== null) {
      this.#tell(failure, "failed");
    } else if (machine !== null) {
      this.#showMachine(machine);
    }
    void this.#showAccesses(state, machine);
  }

  #showMachine(machine: MachineState): void {
    const { status, reason, cpu } = machine;
    const name = cpu === null ? "" : ` · ${this.#subject.machine!.cpus[cpu]!}`;
    this.#tell(status === "running" ? "running" : `${reason}${name}`, status);
    this.#cpu.value = String(this.#commands.cpu);
    byId("continue", HTMLButtonElement).disabled = status !== "stopped";
    byId("step", HTMLButtonElement).disabled = status !== "stopped";
    byId("pause", HTMLButtonElement).disabled = status !== "running";
    const { registers } = this.#subject.machine!;
    const digits = registers.map(({ bits }, i) =>
      machine.registers[i]!.slice(2).padStart(bits / 4, "0"),
    );
    // The marks stay until the next change.
    if (this.#values.some((button, i) => button.textContent !== digits[i])) {
      this.#values.forEach((button, i) => {
        const before = button.textContent;
        button.classList.toggle("fresh", before !== "" && before !== digits[i]);
        button.textContent = digits[i]!;
        button.setAttribute("aria-label", `${registers[i]!.name}: ${digits[i]!}; change it`);
      });
    }
    const { breakpoints, watchpoints, disassembly } = machine;
    const pc = machine.registers[this.#subject.machine!.pc];
    this.#fill(this.#code, { disassembly, breakpoints, pc }, () =>
      disassembly.map(({ address, text }) => {
        const line = makeButton(`${address.slice(2)}  ${text}`, () =>
          this.#commands.toggleBreakpoint(BigInt(address)),
        );
        line.classList.toggle("breakpoint", breakpoints.includes(address));
        line.classList.toggle("pc", address === pc);
        line.setAttribute("aria-pressed", String(breakpoints.includes(address)));
        return line;
      }),
    );
    this.#fill(this.#stops, { breakpoints, watchpoints }, () => [
      ...breakpoints.map((address) =>
        this.#makeStop(`break ${address}`, BigInt(address), () =>
          this.#commands.toggleBreakpoint(BigInt(address)),
        ),
      ),
      ...watchpoints.map((watch) =>
        this.#makeStop(describeWatch(watch), BigInt(watch.gpa), () =>
          this.#commands.setWatchpoint(watch, false),
        ),
      ),
    ]);
  }

  #makeStop(text: string, gpa: bigint, remove: () => void): HTMLElement {
    const line = make("div", "stop");
    const removal = makeButton("×", remove);
    removal.setAttribute("aria-label", `remove ${text}`);
    line.append(
      makeButton(text, () => this.#events.chosen(gpa)),
      removal,
    );
    return line;
  }

  #showMoments({ moments }: LiveInfo): void {
    this.#fill(this.#moments, { moments, since: session.since }, () =>
      moments.map((moment) => {
        const isShown = moment.number === session.since;
        const button = makeButton(nameOf(moment), () =>
          this.#commands.compare(isShown ? null : moment),
        );
        button.setAttribute("aria-pressed", String(isShown));
        return button;
      }),
    );
  }

  /** Looks up who accessed the element at the cursor, when the cursor moves or the guest stops. */
  async #showAccesses(state: State, machine: MachineState | null): Promise<void> {
    const gpa = cursorAddress(state);
    const cursor = `${gpa} ${state.type.bytes}`;
    const isRunning = machine?.status === "running";
    const stop = isRunning ? "" : `${machine?.status} ${machine?.registers.join()}`;
    const isKnown = cursor === this.#traced.cursor && (isRunning || stop === this.#traced.stop);
    if (this.#subject.machine?.traces !== true || isKnown) {
      return;
    }
    this.#traced = { cursor, stop };
    try {
      const { accesses } = await requests.trace(gpa, state.type.bytes);
      this.#fill(this.#accesses, accesses, () =>
        accesses.map((access) =>
          makeButton(describeAccess(access), () => this.#events.chosen(BigInt(access.tag))),
        ),
      );
    } catch {
      // The next answer of the server says what is wrong.
    }
  }

  #tell(text: string, status: string): void {
    if (this.#status.textContent !== text) {
      this.#status.textContent = text;
    }
    this.#status.className = status;
  }

  /** Fills a list anew if what it shows has changed. An empty list and its title are hidden. */
  #fill(list: HTMLElement, content: unknown, makeItems: () => HTMLElement[]): void {
    const text = JSON.stringify(content);
    if (this.#shown.get(list) === text) {
      return;
    }
    this.#shown.set(list, text);
    const focused = [...list.querySelectorAll("button")].indexOf(
      document.activeElement as HTMLButtonElement,
    );
    const items = makeItems();
    list.replaceChildren(...items);
    list.parentElement!.classList.toggle("empty", items.length === 0);
    if (focused >= 0) {
      list.querySelectorAll("button")[focused]?.focus();
    }
  }
}

function makeButton(text: string, run: () => void): HTMLElement {
  const button = make("button", "line", text);
  button.setAttribute("type", "button");
  button.addEventListener("click", run);
  return button;
}

function describeWatch({ word, gpa, length }: WatchInfo): string {
  const what = { watch: "write", rwatch: "read", awatch: "access" }[word];
  return `${what} ${gpa} (${Number(length)})`;
}

function describeAccess({ kind, gpa, width, tag, value }: TraceInfo["accesses"][number]): string {
  const how = kind === "write" ? "wrote" : "read";
  return `${tag} ${how} ${value ?? `${width} bytes`} at ${gpa}`;
}
