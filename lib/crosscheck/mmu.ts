import { checkFunction, checkObject } from "../base/arguments.js";
import { type AccessPolicy, checkPolicy } from "../base/policy.js";
import { hex } from "../base/printable.js";
import { Mmu } from "../mmu/mmu.js";
import { type CheckedMmu, type MakeMmu, MmuMachine } from "./mmu-machine.js";
import { formatMmuOp, type MmuOp, type MmuOpSource } from "./mmu-ops.js";
import { leaveOut } from "./shrink.js";

/** Options of {@link crosscheckMmu}. */
export interface MmuCrosscheckOptions {
  /** The access policy of both spaces. The default is that of Pound's header. */
  readonly policy?: AccessPolicy;
  /** Makes the MMU to check. The default is the view path. */
  readonly makeSubject?: MakeMmu;
  /** Names the operations in the report, for instance `"seed 1"`. */
  readonly label?: string;
  /** Called after each batch with the number of operations done so far. */
  readonly onProgress?: (done: number) => void;
}

/** The first difference between two MMUs, with the operations that show it. */
export interface MmuDifference {
  /** The index in the source of the operation that showed it. */
  readonly index: number;
  /** The shortest sequence found that shows a difference at its last operation. */
  readonly ops: readonly MmuOp[];
  /** What the last of {@link MmuDifference.ops} did on the reference and on the subject. */
  readonly expected: string;
  readonly actual: string;
  /** A text for people: the operations as code, and both outcomes. */
  readonly report: string;
}

/** The result of {@link crosscheckMmu}. */
export interface MmuCrosscheckResult {
  /** The number of operations run on both MMUs. */
  readonly operations: number;
  /** Null if the two MMUs agree on everything. */
  readonly difference: MmuDifference | null;
}

interface Found {
  readonly index: number;
  readonly expected: string;
  readonly actual: string;
}

const viewPath: MakeMmu = (space, options) => {
  const mmu = new Mmu(space, options);
  return { mmu, access: mmu };
};

const nativePath: MakeMmu = (space, options): CheckedMmu => {
  const mmu = new Mmu(space, options);
  return { mmu, access: mmu.native };
};

/**
 * Runs the same operations on the view path and on the native path of an MMU, each in a machine of
 * its own, and compares every result code, value and fault, the walks, what devices, watchpoints
 * and code guards observe, and at the end of each batch RAM and its dirty pages. Stops at the first
 * difference and shortens the operations that lead to it.
 *
 * @example
 * ```ts
 * import { crosscheckMmu, randomMmuOps } from "pound-guest-memory/crosscheck";
 *
 * const { operations, difference } = crosscheckMmu(randomMmuOps({ seed: 1, count: 100_000 }));
 * console.log(operations, difference?.report ?? "no difference");
 * ```
 * @param source - The operations.
 * @throws RangeError, TypeError for an invalid argument; the errors of the source.
 */
export function crosscheckMmu(
  source: MmuOpSource,
  options: MmuCrosscheckOptions = {},
): MmuCrosscheckResult {
  const { makeSubject = viewPath, label, onProgress } = checkObject(options, "options");
  checkFunction(source, "source");
  checkFunction(makeSubject, "makeSubject");
  checkFunction(onProgress ?? source, "onProgress");
  const policy = checkPolicy(options.policy ?? {});
  const firstFound = (ops: readonly MmuOp[]): Found | null => compare(ops, policy, makeSubject);
  let operations = 0;
  for (const batch of source()) {
    const found = firstFound(batch);
    if (found !== null) {
      const index = operations + found.index;
      const name = label === undefined ? `operation ${index}` : `operation ${index} of ${label}`;
      const ops = batch.slice(0, found.index + 1);
      return { operations: index, difference: explain(ops, found, index, name, firstFound) };
    }
    operations += batch.length;
    onProgress?.(operations);
  }
  return { operations, difference: null };
}

/** Runs operations on two new machines, and returns the first on which they differ. */
function compare(ops: readonly MmuOp[], policy: AccessPolicy, makeSubject: MakeMmu): Found | null {
  const reference = new MmuMachine(policy, nativePath);
  const subject = new MmuMachine(policy, makeSubject);
  for (const [index, op] of ops.entries()) {
    const expected = reference.run(op);
    const actual = subject.run(op);
    if (expected !== actual) {
      return { index, expected, actual };
    }
  }
  const before = reference.memory();
  const after = subject.memory();
  const at = before.bytes.findIndex((byte, i) => byte !== after.bytes[i]);
  if (at >= 0) {
    const [expected, actual] = [before, after].map(
      ({ bytes }) => `RAM at ${hex(at)}: ${bytes[at]}`,
    );
    return { index: ops.length - 1, expected: expected!, actual: actual! };
  }
  const [expected, actual] = [before, after].map(({ dirty }) => `dirty pages: ${dirty.join()}`);
  return expected === actual
    ? null
    : { index: ops.length - 1, expected: expected!, actual: actual! };
}

function explain(
  ops: readonly MmuOp[],
  found: Found,
  index: number,
  name: string,
  firstFound: (ops: readonly MmuOp[]) => Found | null,
): MmuDifference {
  const shrunk = leaveOut(ops, (fewer) => firstFound(fewer) !== null);
  const last = firstFound(shrunk);
  const { expected, actual } = last ?? found;
  const kept = shrunk.slice(0, (last?.index ?? shrunk.length) + 1);
  const report = [
    `difference at ${name}; as short as it gets:`,
    "",
    ...kept.map((op) => `  ${formatMmuOp(op)}`),
    "",
    `  reference  ${expected}`,
    `  subject    ${actual}`,
    "",
  ].join("\n");
  return { index, ops: kept, expected, actual, report };
}
