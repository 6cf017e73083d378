import type { PathResult, ReplayResult } from "../trace/replay.js";
import { printable } from "../base/printable.js";
import { guestAccesses } from "../trace/replay-survey.js";
import { GuestMemAccessResult, resultName } from "../base/result.js";
import type { TraceCounts } from "../trace/workload.js";
import { formatSize } from "./size.js";

/** The contents of the report of one replay. */
export interface ReplayFacts {
  /** The trace's name, as the user wrote it. */
  readonly file: string;
  readonly counts: TraceCounts;
  /** The size of guest RAM in bytes. */
  readonly size: number;
  /** The number of rounds that the user asked for. */
  readonly rounds: number;
  readonly flat: boolean;
  readonly split: boolean;
  readonly result: ReplayResult;
}

const KIND_NAMES = ["fetch", "load", "store", "modify"] as const;
const WIDTHS = [1, 2, 4, 8] as const;
const FAULTS = Object.values(GuestMemAccessResult).filter((code) => code !== 0);

/** The report as an object for JSON. */
export function toJson({ file, counts, size, flat, split, result }: ReplayFacts): object {
  return {
    trace: {
      file,
      lines: counts.lines,
      noise: counts.noise,
      foreign: counts.foreign,
      ...byName(KIND_NAMES, counts.traced),
    },
    memory: { size, mapping: flat ? "flat" : "first-touch", split },
    accesses: {
      ...Object.fromEntries(
        KIND_NAMES.map((name, kind) => [name, byName(WIDTHS, result.accesses[kind])]),
      ),
      total: result.total,
    },
    bytesTouched: result.bytesTouched,
    rounds: result.rounds,
    checksumOf: result.checksumOf,
    paths: Object.fromEntries(result.paths.map((path) => [path.name, pathToJson(path)])),
    ratio: ratio(result),
    equal: result.equal,
  };
}

function pathToJson({ faults, checksum, nsPerAccess }: PathResult): object {
  return {
    faults: Object.fromEntries(FAULTS.map((code) => [resultName(code), faults[code]])),
    checksum,
    nsPerAccess,
  };
}

function byName(names: readonly PropertyKey[], counts: readonly number[] = []): object {
  return Object.fromEntries(names.map((name, index) => [name, counts[index]]));
}

/** The time of the last path divided by that of the first. */
function ratio({ paths }: ReplayResult): number {
  return (paths.at(-1)?.nsPerAccess ?? 0) / (paths[0]?.nsPerAccess ?? 0);
}

/** The report as text. Every line ends in a newline. */
export function toText(facts: ReplayFacts): string {
  const { result } = facts;
  return [
    heading(facts),
    align(accessRows(result)),
    align(faultRows(result)),
    align(resultRows(result)),
    verdict(result),
  ]
    .map((part) => `${part}\n`)
    .join("\n");
}

function heading({ file, counts, size, rounds, flat, split, result }: ReplayFacts): string {
  const traced = counts.traced.reduce((sum, count) => sum + count, 0);
  const placed = flat ? "at the traced addresses" : "as first touched";
  const skipped = counts.foreign === 0 ? "" : `, ${count(counts.foreign)} foreign lines skipped`;
  const noise = `${count(counts.noise)} lines of noise${skipped}`;
  return [
    `trace   ${printable(file)}: ${count(traced)} accesses, ${noise}`,
    `RAM     ${formatSize(size)}, pages placed ${placed}, accesses ${split ? "split" : "unsplit"}`,
    `rounds  ${result.rounds}${result.rounds < rounds ? ", the trace being too long to keep" : ""}`,
  ].join("\n");
}

function accessRows({ accesses, total }: ReplayResult): string[][] {
  const rows = accesses.map((row, kind) => [KIND_NAMES[kind]!, ...row, sum(row)]);
  const totals = WIDTHS.map((_, width) => guestAccesses(accesses.map((row) => row[width]!)));
  return [
    ["accesses", ...WIDTHS.map((width) => `${width} B`), "total"],
    // The rows count a modify once. The total counts its load and its store.
    ...[...rows, ["total (modify: 2)", ...totals, total]].map((row) => row.map(cell)),
  ];
}

function faultRows({ paths }: ReplayResult): string[][] {
  return [
    ["faults", ...FAULTS.map(resultName)],
    ...paths.map(({ name, faults }) => [name, ...FAULTS.map((code) => count(faults[code] ?? 0))]),
  ];
}

function resultRows({ paths }: ReplayResult): string[][] {
  return [
    ["path", "ns/access", "checksum (SHA-256)"],
    ...paths.map(({ name, nsPerAccess, checksum }) => [name, nsPerAccess.toFixed(2), checksum]),
  ];
}

function verdict(result: ReplayResult): string {
  const [first, last] = [result.paths[0], result.paths.at(-1)];
  const times = ratio(result).toFixed(1);
  const covered = result.checksumOf === "ram" ? "the whole RAM" : "the pages touched";
  return [
    `bytes touched  ${count(result.bytesTouched)}`,
    `checksums      ${result.equal ? "equal" : "DIFFERENT"}, over ${covered}`,
    `ratio          ${last?.name ?? ""} takes ${times} times as long as ${first?.name ?? ""}`,
  ].join("\n");
}

/** Formats rows as lines: the first column aligned to the left, the others to the right. */
function align(rows: readonly (readonly string[])[]): string {
  const widths = (rows[0] ?? []).map((_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  const pad = (text: string, column: number): string =>
    column === 0 ? text.padEnd(widths[column] ?? 0) : text.padStart(widths[column] ?? 0);
  return rows.map((row) => row.map(pad).join("  ").trimEnd()).join("\n");
}

function cell(value: string | number): string {
  return typeof value === "number" ? count(value) : value;
}

function count(value: number): string {
  return value.toLocaleString("en-US");
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
