import { type Op, opWrites } from "../native/op-buffer.js";
import type { AccessPolicy } from "../base/policy.js";
import { hex } from "../base/printable.js";
import { resultName } from "../base/result.js";
import type { Difference, Side } from "./difference.js";
import { writtenValue } from "./run-op.js";

const SUFFIXES = ["b", "w", "l", "q"] as const;
const OUTS = ["Uint8Array", "Uint16Array", "Uint32Array", "BigUint64Array"] as const;

/** The report of a difference: code to paste, both outcomes, and the bytes at the address. */
export function formatReport(
  { index, ops, expected, actual, expectedBytes, actualBytes }: Omit<Difference, "report">,
  size: number,
  { alignment, endian }: Required<AccessPolicy>,
  label: string | undefined,
): string {
  const found = label === undefined ? `operation ${index}` : `operation ${index} of ${label}`;
  const policy =
    alignment === "fault" && endian === "little"
      ? ""
      : ` (alignment ${alignment}, endian ${endian})`;
  return [
    `difference at ${found}, on RAM of ${size} bytes${policy}; as short as it gets:`,
    "",
    ...ops.map((op) => `  ${formatOp(op)}`),
    "",
    `  reference  ${formatSide(expected)}`,
    `  subject    ${formatSide(actual)}`,
    "",
    `  RAM of reference  ${formatBytes(expectedBytes)}`,
    `  RAM of subject    ${formatBytes(actualBytes)}`,
    "",
  ].join("\n");
}

/** An operation as a statement. */
export function formatOp({ kind, gpa, value }: Op): string {
  const suffix = SUFFIXES[kind & 3]!;
  const address = formatAddress(gpa);
  if (!opWrites(kind)) {
    return `memory.tryRead${suffix}(${address}, new ${OUTS[kind & 3]!}(1));`;
  }
  const passed = writtenValue(kind, value);
  const [sign, digits] = passed < 0n ? ["-", -passed] : ["", passed];
  return `memory.tryWrite${suffix}(${address}, ${sign}0x${digits.toString(16)}${suffix === "q" ? "n" : ""});`;
}

function formatAddress(gpa: bigint): string {
  return `${hex(gpa)}${gpa > Number.MAX_SAFE_INTEGER ? "n" : ""}`;
}

function formatSide(side: Side): string {
  if ("thrown" in side) {
    return `threw ${side.thrown}`;
  }
  return `${resultName(side.result) ?? `code ${String(side.result)}`}, out 0x${side.value.toString(16)}`;
}

function formatBytes(bytes: Uint8Array | null): string {
  return bytes === null
    ? "cannot be read"
    : Buffer.from(bytes).toString("hex").replace(/..\B/g, "$& ");
}
