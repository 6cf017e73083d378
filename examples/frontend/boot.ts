import { join } from "node:path";
import { parseArgs } from "node:util";
import { loadSnapshot, saveSnapshot } from "pound-guest-memory/snapshot";
import { BOOTS, type BootName, readBoot } from "./boots.js";
import { runInWorker } from "./in-worker.js";
import type { Path } from "./machine.js";
import { differences } from "./run.js";
import { Terminal } from "./terminal.js";
import { Typist } from "./typist.js";
import { VirtMachine } from "./virt.js";

/** The names of what can be booted. */
export const BOOT_NAMES = Object.keys(BOOTS) as BootName[];

const USAGE = `usage: npm run example -- NAME [options]

Boots software of other people on a subset of QEMU's virt machine: ${BOOT_NAMES.join(", ")}.
The terminal is the serial port. Ctrl-A X leaves, and Ctrl-A B goes back in time.

  --path PATH      view, which is the default, or native
  --ram MIB        RAM, 128 by default
  --save FILE      saves the machine, and ends, when the guest has sent the text of --after
  --after TEXT
  --restore FILE   goes on from where a machine with the same guest and RAM was saved
  --compare        runs on both paths, with text that a script types, and compares the runs
  --json           as --compare, and prints the outcome as JSON

Ends with status 0, 1 if the guest failed or the two runs differ, or 2 for wrong usage.`;

/** The file of the thread that boots a guest on a path. */
const WORKER = join(__dirname, "boot-worker.js");
/** Instructions between two looks at the keyboard. */
const SLICE = 2 ** 18;
/** Slices between two states to go back to: some seconds. */
const SLICES_OF_STATE = 2 ** 8;
const MIB = 2 ** 20;
/** The most memory that these states take. */
const HISTORY = 256 * MIB;

/** How a guest runs at the terminal. */
interface TerminalRun {
  readonly boot: BootName;
  readonly path: Path;
  readonly ramSize: number;
  /** Where the machine is saved, and the text after which it is. */
  readonly save: string | undefined;
  readonly after: string | undefined;
  /** The machine to go on with. */
  readonly restore: string | undefined;
}

/** Runs a machine with the terminal at its serial port. Returns whether the guest succeeded. */
async function runAtTerminal(run: TerminalRun): Promise<boolean> {
  const { boot, path, ramSize, save, after, restore } = run;
  const terminal = new Terminal();
  const lines = after === undefined ? [] : [{ after, type: "" }];
  const watcher = new Typist(lines, () => machine.cpu.stop());
  const machine = new VirtMachine({
    ...readBoot(boot),
    typed: [],
    path,
    ramSize,
    onByte: (byte) => {
      terminal.write(byte);
      watcher.see(byte);
    },
  });
  if (restore !== undefined) {
    machine.restore(await loadSnapshot(restore));
  }
  const history = machine.history(HISTORY);
  let wantsBack = false;
  terminal.open((text) => machine.uart.receive(text), {
    x: () => machine.cpu.stop(),
    b: () => (wantsBack = true),
  });
  try {
    for (let slice = 0; machine.cpu.run(SLICE); slice++) {
      await terminal.flush();
      if (wantsBack) {
        // To the state before the newest, which may be only moments old.
        history.back(1);
        wantsBack = false;
      } else if (slice % SLICES_OF_STATE === 0) {
        history.take();
      }
    }
  } finally {
    await terminal.flush();
    terminal.close();
  }
  if (save !== undefined) {
    await saveSnapshot(machine.save(), save);
  }
  return (machine.status ?? 0) === 0;
}

/** Boots on both paths and compares the runs. Returns whether they are equal. */
async function compare(boot: BootName, json: boolean): Promise<boolean> {
  const view = await runInWorker(WORKER, { boot, path: "view" });
  const native = await runInWorker(WORKER, { boot, path: "native" });
  const found = differences(view, native);
  const { status, output, instructions, deviceAccesses } = view;
  if (json) {
    const outcome = { status, output, instructions, deviceAccesses, differences: found };
    console.log(JSON.stringify(outcome, null, 2));
  } else {
    console.log(
      `${output}\n  ${(instructions / 1e6).toFixed(1)} M instructions, ` +
        `${deviceAccesses} accesses to devices\n` +
        `  both paths: ${found.length === 0 ? "equal" : `DIFFERENT: ${found.join("; ")}`}`,
    );
  }
  return found.length === 0 && (status ?? 0) === 0;
}

/**
 * The command that boots a guest.
 *
 * @param args - The arguments of the command line.
 * @returns Whether the guest succeeded.
 */
export async function bootCommand(args: readonly string[]): Promise<boolean> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      path: { type: "string", default: "view" },
      ram: { type: "string", default: "128" },
      save: { type: "string" },
      after: { type: "string" },
      restore: { type: "string" },
      compare: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return true;
  }
  const { path } = values;
  const boot = BOOT_NAMES.find((known) => known === positionals[0]);
  if (boot === undefined || positionals.length > 1 || (path !== "view" && path !== "native")) {
    throw new TypeError(`no such guest or path\n\n${USAGE}`);
  }
  const { save, after, restore } = values;
  if ((save === undefined) !== (after === undefined)) {
    throw new TypeError("--save and --after need each other");
  }
  return values.compare || values.json
    ? compare(boot, values.json)
    : runAtTerminal({ boot, path, ramSize: Number(values.ram) * MIB, save, after, restore });
}
