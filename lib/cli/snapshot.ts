import { type Command, Option } from "commander";
import { hex, printable } from "../base/printable.js";
import type { SnapshotFile, SnapshotWindow } from "../snapshot/index.js";
import { CliError } from "./failure.js";
import { abortable } from "./progress.js";
import { formatSize } from "./size.js";
import { print } from "./terminal.js";

const CHECKSUMS = ["crc32", "sha256"] as const;

interface Flags {
  readonly output?: string;
  readonly packed: boolean;
  readonly checksum?: (typeof CHECKSUMS)[number];
  readonly json: boolean;
}

/** What a snapshot file holds, as `--json` prints it. */
interface SnapshotReport {
  readonly format: "mappable" | "packed";
  readonly checksum: (typeof CHECKSUMS)[number];
  readonly generation: number;
  readonly size: number;
  readonly storedPages: number;
  readonly windows: readonly WindowReport[];
  /** The names of the blocks of state, and the regions whose devices have state. */
  readonly state: { readonly blocks: readonly string[]; readonly devices: readonly string[] };
}

interface WindowReport {
  readonly gpa: string;
  readonly size: string;
  readonly kind: SnapshotWindow["kind"];
  readonly name: string;
}

/** Adds the command `snapshot` to a program. */
export function registerSnapshot(program: Command): void {
  program
    .command("snapshot")
    .description("verify a snapshot file and show what it holds, or write it in another form")
    .argument("<file>", "a snapshot file of any version")
    .option("-o, --output <file>", "write the snapshot to this file, so that it can be mapped")
    .option("--packed", "write it without holes, as version 1 or 2 of the format", false)
    .addOption(
      new Option("--checksum <name>", "the checksums of the pages to write").choices(CHECKSUMS),
    )
    .option("--json", "print JSON", false)
    .action(async (path: string, flags: Flags) => {
      const { output, packed, checksum, json } = flags;
      if (output === undefined && (packed || checksum !== undefined)) {
        throw new CliError("--packed and --checksum need --output");
      }
      // No other command needs snapshots, so they are loaded here.
      const { openSnapshot, saveSnapshot } = await import("../snapshot/index.js");
      const file = await openSnapshot(path);
      try {
        if (output === undefined) {
          await abortable("verifying", (options) => file.verify(options));
        } else {
          const snapshot = await abortable("reading", (options) => file.load(options));
          const form = { mappable: !packed, checksum };
          await abortable("writing", (options) =>
            saveSnapshot(snapshot, output, { ...form, ...options }),
          );
        }
        const report = await reportOf(file);
        print(json ? `${JSON.stringify(report, null, 2)}\n` : describe(report));
      } finally {
        await file.close();
      }
    });
}

async function reportOf(file: SnapshotFile): Promise<SnapshotReport> {
  const { mappable, checksum, generation, size, regions, windows } = file;
  const { named, devices } = await file.readState();
  return {
    format: mappable ? "mappable" : "packed",
    checksum,
    generation,
    size,
    storedPages: regions.reduce((sum, { storedPages }) => sum + storedPages, 0),
    windows: windows.map(({ gpa, size, kind, name }) => ({
      gpa: hex(gpa),
      size: hex(size),
      kind,
      name,
    })),
    state: {
      blocks: [...named.keys()],
      devices: [...devices.keys()].map((window) => windows[window]!.name),
    },
  };
}

function describe(report: SnapshotReport): string {
  const { format, checksum, generation, storedPages, windows, state } = report;
  return [
    `format:     ${format}, checksums ${checksum}`,
    `generation: ${generation}`,
    `pages:      ${storedPages}, verified`,
    ...windows.map(
      ({ gpa, size, kind, name }) =>
        `  ${gpa} ${kind.padEnd(4)} ${formatSize(Number(size)).padStart(10)} ${printable(name)}`,
    ),
    ...[...state.blocks, ...state.devices].map((name) => `state:      ${printable(name)}`),
    "",
  ].join("\n");
}
