import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Command, InvalidArgumentError, Option } from "commander";
import {
  crosscheck,
  crosscheckSmall,
  type CrosscheckResult,
  type MakeMemory,
} from "../crosscheck/crosscheck.js";
import { crosscheckMmu, type MmuCrosscheckResult } from "../crosscheck/mmu.js";
import { randomMmuOps } from "../crosscheck/mmu-ops.js";
import { decodeOpLog } from "../crosscheck/op-log.js";
import { exhaustiveOps, lackeyOps, type OpSource, randomOps } from "../crosscheck/sources.js";
import { GuestMemory } from "../memory/guest-memory.js";
import {
  type AccessPolicy,
  type AlignmentPolicy,
  type Endian,
  policyNumber,
} from "../base/policy.js";
import { hex } from "../base/printable.js";
import { GuestMemAccessResult } from "../base/result.js";
import { CliError } from "./failure.js";
import { skipForeignOption } from "./replay.js";
import { EXIT_DIFFERENT } from "./exit-status.js";
import { startBar } from "./progress.js";
import { formatSize, parseSize } from "./size.js";
import { print } from "./terminal.js";

interface CrosscheckArguments {
  readonly ops: number;
  readonly seed: number;
  readonly size: number;
  readonly trace?: string;
  readonly skipForeign: boolean;
  readonly log?: string;
  readonly exhaustive: boolean;
  readonly mmu: boolean;
  readonly alignment: AlignmentPolicy;
  readonly endian: Endian;
  readonly subject?: string;
  readonly json: boolean;
}

/** The operations to run, and their label in the report. */
interface Plan {
  readonly source: OpSource;
  readonly size: number;
  readonly policy: AccessPolicy;
  readonly label: string;
  /** The number of operations; undefined if it is not known beforehand. */
  readonly total?: number;
}

/** Adds the command `crosscheck` to a program. */
export function registerCrosscheck(program: Command): void {
  program
    .command("crosscheck")
    .description("check a memory model, or the view path, against the compiled C++ accessors")
    .option("--ops <n>", "number of random operations", parseCount, 1_000_000)
    .option("--seed <n>", "seed of the random operations", parseCount, 1)
    .addOption(
      new Option("--size <bytes>", "size of guest RAM, such as 4096, 64K, 64M or 2G")
        .argParser(parseSize)
        .default(parseSize("64M"), "64M"),
    )
    .addOption(
      new Option("--trace <file>", "the accesses of a lackey trace").conflicts([
        "log",
        "exhaustive",
      ]),
    )
    .addOption(skipForeignOption())
    .addOption(
      new Option("--log <file>", "the operations of a log").conflicts([
        "exhaustive",
        "alignment",
        "endian",
      ]),
    )
    .addOption(
      new Option("--alignment <policy>", "whether unaligned accesses fault")
        .choices(["fault", "allow"])
        .default("fault"),
    )
    .addOption(
      new Option("--endian <order>", "byte order of values")
        .choices(["little", "big"])
        .default("little"),
    )
    .option("--exhaustive", "every address and width of RAM of 0 to 64 bytes", false)
    .addOption(
      new Option("--mmu", "the paths of address translation, under changes of the page tables")
        .default(false)
        .conflicts(["trace", "log", "exhaustive", "subject"]),
    )
    .option(
      "--subject <module>",
      "a module whose default export, given a size and a policy, makes a memory",
    )
    .option("--json", "print the result as JSON", false)
    .action(async (options: CrosscheckArguments) => {
      const result = options.mmu ? runMmu(options) : await run(options);
      print(options.json ? toJson(result) : toText(result));
      process.exitCode = result.difference === null ? 0 : EXIT_DIFFERENT;
    });
}

async function run(options: CrosscheckArguments): Promise<CrosscheckResult> {
  const subject = await loadSubject(options.subject);
  if (options.exhaustive) {
    const { alignment, endian } = options;
    return crosscheckSmall(subject, (size) => exhaustiveOps(size), undefined, {
      alignment,
      endian,
    });
  }
  const { source, size, policy, label, total } = planOf(options);
  const bar = startBar("checking", total);
  try {
    return await crosscheck(subject, source, {
      size,
      policy,
      label,
      onProgress: (done) => bar?.update(done),
    });
  } finally {
    bar?.stop();
  }
}

function runMmu({ ops, seed, alignment, endian }: CrosscheckArguments): MmuCrosscheckResult {
  return crosscheckMmu(randomMmuOps({ seed, count: ops }), {
    policy: { alignment, endian },
    label: `seed ${seed}`,
  });
}

function planOf(options: CrosscheckArguments): Plan {
  const { ops, seed, size, trace, skipForeign, log, alignment, endian } = options;
  const policy = { alignment, endian };
  if (log !== undefined) {
    const decoded = decodeOpLog(readFileSync(log));
    const source: OpSource = () => [decoded.ops];
    return { ...decoded, source, label: log, total: decoded.ops.length };
  }
  if (trace !== undefined) {
    return { source: lackeyOps(trace, size, { skipForeign }), size, policy, label: trace };
  }
  const source = randomOps({ seed, count: ops, size });
  return { source, size, policy, label: `seed ${seed} and size ${formatSize(size)}`, total: ops };
}

/** The view path: the memory itself, or its policy object for any but the default policy. */
const viewPath: MakeMemory = (size, policy) => {
  const memory = GuestMemory.allocate(size);
  return policyNumber(policy) === 0 ? memory : memory.withPolicy(policy);
};

/** The function of a module that makes a memory; the view path's if there is no module. */
async function loadSubject(path: string | undefined): Promise<MakeMemory> {
  if (path === undefined) {
    return viewPath;
  }
  const module = (await import(pathToFileURL(resolve(path)).href)) as { default?: unknown };
  const exported = module.default;
  if (typeof exported !== "function") {
    throw new CliError(`${path}: its default export must be a function that makes a memory`);
  }
  return exported as MakeMemory;
}

function toText(result: CrosscheckResult | MmuCrosscheckResult): string {
  const { operations, difference } = result;
  const done = `${operations.toLocaleString("en")} operations${faultsOf(result)}`;
  return difference === null ? `no difference in ${done}\n` : `${difference.report}after ${done}\n`;
}

function faultsOf(result: CrosscheckResult | MmuCrosscheckResult): string {
  if (!("faults" in result)) {
    return "";
  }
  const { faults } = result;
  const unaligned = faults[GuestMemAccessResult.FAULT_UNALIGNED]!.toLocaleString("en");
  const boundary = faults[GuestMemAccessResult.FAULT_BOUNDARY]!.toLocaleString("en");
  return `, of which ${unaligned} FAULT_UNALIGNED and ${boundary} FAULT_BOUNDARY`;
}

function toJson(result: CrosscheckResult | MmuCrosscheckResult): string {
  const plain = (_: string, value: unknown): unknown => {
    if (typeof value === "bigint") {
      return hex(value);
    }
    return value instanceof Uint8Array ? Buffer.from(value).toString("hex") : value;
  };
  return `${JSON.stringify(result, plain, 2)}\n`;
}

function parseCount(text: string): number {
  const count = Number(text);
  if (!/^\d+$/.test(text) || !Number.isSafeInteger(count)) {
    throw new InvalidArgumentError("It must be a whole number.");
  }
  return count;
}
