import type { Direction } from "../client/requests.mjs";
import type { PromptKind } from "../panels/prompt.mjs";
import type { Commands } from "./commands.mjs";
import type { MachineCommands } from "./machine-commands.mjs";

/** The parts of the page that keys open or give the focus to. */
export interface KeyTargets {
  readonly help: HTMLDialogElement;
  /** The number of rows on the screen. */
  readonly visibleRows: () => number;
  readonly openPrompt: (kind: PromptKind) => void;
  readonly closePrompt: () => void;
  readonly focusBytes: () => void;
  readonly focusRegions: () => void;
  readonly focusHeat: () => void;
  readonly focusMachine: () => void;
}

type Bindings = Readonly<Record<string, () => void>>;

/**
 * Runs the command of each key that no field or panel has handled.
 *
 * @param machine - Null if there is no running machine.
 */
export function listenToKeys(
  commands: Commands,
  machine: MachineCommands | null,
  targets: KeyTargets,
): void {
  const plain = {
    ...plainKeys(commands, targets),
    ...(machine === null ? {} : machineKeys(machine, targets)),
  };
  const withControl = controlKeys(commands);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      escape(event, commands, targets);
      return;
    }
    if (targets.help.open || isField(event.target) || event.altKey || event.metaKey) {
      return;
    }
    // Space presses a button that has the focus.
    if (event.key === " " && event.target instanceof HTMLButtonElement) {
      return;
    }
    const command = (event.ctrlKey ? withControl : plain)[event.key];
    if (command !== undefined) {
      event.preventDefault();
      command();
    }
  });
}

/** The keys without a modifier; Shift is part of the key's name. */
function plainKeys(commands: Commands, targets: KeyTargets): Bindings {
  const moveScreens = (count: number): void =>
    commands.scrollRows(count * (targets.visibleRows() - 1));
  const searchAgain = (direction: Direction): void => {
    if (!commands.searchAgain(direction)) {
      targets.openPrompt("search");
    }
  };
  return {
    ArrowLeft: () => commands.moveElements(-1),
    ArrowRight: () => commands.moveElements(1),
    ArrowUp: () => commands.moveRows(-1),
    ArrowDown: () => commands.moveRows(1),
    h: () => commands.moveElements(-1),
    l: () => commands.moveElements(1),
    k: () => commands.moveRows(-1),
    j: () => commands.moveRows(1),
    PageUp: () => moveScreens(-1),
    PageDown: () => moveScreens(1),
    " ": () => moveScreens(1),
    "{": () => commands.movePages(-1),
    "}": () => commands.movePages(1),
    Home: () => commands.moveToRowStart(),
    End: () => commands.moveToRowEnd(),
    g: () => targets.openPrompt("go"),
    "/": () => targets.openPrompt("search"),
    n: () => searchAgain("forward"),
    N: () => searchAgain("backward"),
    d: () => commands.findDifference("forward"),
    D: () => commands.findDifference("backward"),
    x: () => commands.swapSides(),
    t: () => commands.stepType(1),
    T: () => commands.stepType(-1),
    r: () => targets.focusRegions(),
    "[": () => commands.stepRegion(-1),
    "]": () => commands.stepRegion(1),
    m: () => targets.focusHeat(),
    M: () => commands.stepMode(),
    "?": () => targets.help.showModal(),
    Backspace: () => commands.back(),
  };
}

function machineKeys(machine: MachineCommands, targets: KeyTargets): Bindings {
  return {
    c: () => machine.continue(),
    p: () => machine.pause(),
    s: () => machine.step(),
    ".": () => machine.goToPc(),
    b: () => machine.toggleBreakpoint(),
    w: () => machine.toggleWatchpoint(),
    e: () => targets.openPrompt("write"),
    S: () => machine.takeMoment(),
    B: () => machine.stepMoment(),
    u: () => machine.stepCpu(),
    v: () => targets.focusMachine(),
  };
}

function controlKeys(commands: Commands): Bindings {
  return {
    Home: () => commands.moveToRegionStart(),
    End: () => commands.moveToRegionEnd(),
  };
}

/** Ends a search, closes the prompt and focuses the bytes. The browser itself closes the help. */
function escape(event: KeyboardEvent, commands: Commands, targets: KeyTargets): void {
  if (targets.help.open) {
    return;
  }
  event.preventDefault();
  commands.cancelSearch();
  targets.closePrompt();
  targets.focusBytes();
}

function isField(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement || target instanceof HTMLSelectElement;
}
