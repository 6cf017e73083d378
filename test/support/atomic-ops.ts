import {
  type Gpa,
  GuestMemAccessResult,
  type GuestAtomicAccess,
  type GuestMemoryFault,
} from "pound-guest-memory";
import { throughHalves, highOf, lowOf } from "./halves.js";
import { HALVES, type Out, WIDTHS, WIDTHS_AND_HALVES, type WidthCase } from "./widths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED } = GuestMemAccessResult;

type Method = (...args: unknown[]) => unknown;

/** An atomic operation, for tests that iterate over them. All values are bigints. */
export interface AtomicCase {
  readonly name: string;
  /** The number of values it takes. */
  readonly values: 0 | 1 | 2;
  /** The value to store, from the old value and the arguments, before it is cut to the width. */
  change(old: bigint, first: bigint, second: bigint): bigint;
}

export const ATOMICS: readonly AtomicCase[] = [
  { name: "Load", values: 0, change: (old) => old },
  { name: "Store", values: 1, change: (_, value) => value },
  { name: "Exchange", values: 1, change: (_, value) => value },
  {
    name: "CompareExchange",
    values: 2,
    change: (old, expected, replacement) => (old === expected ? replacement : old),
  },
  { name: "Add", values: 1, change: (old, value) => old + value },
  { name: "And", values: 1, change: (old, value) => old & value },
  { name: "Or", values: 1, change: (old, value) => old | value },
  { name: "Xor", values: 1, change: (old, value) => old ^ value },
];

/** Every operation at every width. */
export const ATOMICS_AND_WIDTHS = ATOMICS.flatMap((op) => WIDTHS.map((width) => ({ op, width })));

/** Every operation in every form of value. */
export const ATOMICS_AND_ALL_WIDTHS = ATOMICS.flatMap((op) =>
  WIDTHS_AND_HALVES.map((width) => ({ op, width })),
);

/** The name of a method of either form. */
export function methodName(op: AtomicCase, width: WidthCase, form: "try" | "value"): string {
  const name = form === "try" ? `try${op.name}` : op.name[0]!.toLowerCase() + op.name.slice(1);
  return name + width.suffix;
}

/** Calls a method by its name. */
export function callMethod(access: object, name: string, ...args: unknown[]): unknown {
  return (access as Record<string, Method>)[name]!(...args);
}

/** A value in the type that the methods of a width take. */
export function valueOf(width: WidthCase, value: bigint): number | bigint {
  return width.bytes === 8 ? value : Number(value);
}

/** The outcome of an operation. */
export interface Outcome {
  readonly result: GuestMemAccessResult;
  /** The value returned; null if there is none. */
  readonly old: bigint | null;
}

/** Runs an operation in one form. */
export function runAtomic(
  access: GuestAtomicAccess,
  { op, width }: { op: AtomicCase; width: WidthCase },
  form: "try" | "value",
  gpa: Gpa,
  values: readonly bigint[],
): Outcome {
  const name = methodName(op, width, form);
  const given = values
    .slice(0, op.values)
    .flatMap((value) =>
      width === HALVES ? [lowOf(value), highOf(value)] : [valueOf(width, value)],
    );
  if (form === "try") {
    return runTry(access, name, op, width, [gpa, ...given]);
  }
  return width === HALVES && op.name !== "Store"
    ? runIntoHalves(access, name, [gpa, ...given])
    : runValue(access, name, [gpa, ...given]);
}

/** Runs the form that throws faults and stores a value in halves. */
function runIntoHalves(access: object, name: string, args: readonly unknown[]): Outcome {
  const out = new BigUint64Array(1);
  const outcome = throughHalves(out, (pair) => runValue(access, name, [...args, pair, 0]));
  return { ...outcome, old: outcome.result === OK ? out[0]! : null };
}

const UNTOUCHED = 0xa5n;

function runTry(
  access: object,
  name: string,
  op: AtomicCase,
  width: WidthCase,
  args: readonly unknown[],
): Outcome {
  const out: Out = width.out(UNTOUCHED);
  const run = (...given: readonly unknown[]): GuestMemAccessResult => {
    const all = op.name === "Store" ? args : [...args, ...given];
    return callMethod(access, name, ...all) as GuestMemAccessResult;
  };
  const result =
    width === HALVES ? throughHalves(out as BigUint64Array, (pair) => run(pair, 0)) : run(out);
  const found = BigInt(out[0]!);
  if (result !== OK && found !== UNTOUCHED) {
    throw new Error(`${name} faulted, and changed out`);
  }
  return { result, old: result === OK && op.name !== "Store" ? found : null };
}

function runValue(access: object, name: string, args: readonly unknown[]): Outcome {
  try {
    const old = callMethod(access, name, ...args) as number | bigint | undefined;
    return { result: OK, old: old === undefined ? null : BigInt(old) };
  } catch (error) {
    const { result } = error as GuestMemoryFault;
    if (result === undefined) {
      throw error;
    }
    return { result, old: null };
  }
}

/** The same operation on plain bytes, computed byte by byte. */
export function modelAtomic(
  bytes: Uint8Array,
  { op, width }: { op: AtomicCase; width: WidthCase },
  gpa: Gpa,
  values: readonly bigint[],
): Outcome {
  if (BigInt(gpa) + BigInt(width.bytes) > BigInt(bytes.length)) {
    return { result: FAULT_BOUNDARY, old: null };
  }
  if (BigInt(gpa) % BigInt(width.bytes) !== 0n) {
    return { result: FAULT_UNALIGNED, old: null };
  }
  const at = Number(gpa);
  let old = 0n;
  for (let i = width.bytes - 1; i >= 0; i--) {
    old = old * 256n + BigInt(bytes[at + i]!);
  }
  const [first = 0n, second = 0n] = values;
  let stored = op.change(old, first, second);
  for (let i = 0; i < width.bytes; i++) {
    bytes[at + i] = Number(stored & 0xffn);
    stored >>= 8n;
  }
  return { result: OK, old: op.name === "Store" ? null : old };
}
