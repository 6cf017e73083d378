import { checkObject, toByteCount } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { hex } from "../base/printable.js";
import { type Op, OpKind } from "../native/op-buffer.js";
import type { Access } from "../space/regions.js";
import { Randomness } from "./randomness.js";
import { formatOp } from "./report.js";

/** Bytes of a page of the checked MMUs. */
export const MMU_PAGE = 4096;

/** Pages of RAM in the home buffer, of other RAM behind it, and of a device behind that. */
export const HOME_PAGES = 8;
export const OTHER_PAGES = 4;
export const DEVICE_PAGE = HOME_PAGES + OTHER_PAGES;

/** One operation on an MMU, its page tables or its space. Virtual addresses are unsigned. */
export type MmuOp =
  | { readonly do: "access"; readonly op: Op }
  | { readonly do: "fetch"; readonly va: bigint; readonly bytes: 1 | 2 | 4 }
  | {
      readonly do: "map";
      readonly va: bigint;
      readonly gpa: number;
      readonly size: number;
      readonly access: Access;
    }
  | { readonly do: "unmap" | "flushPage"; readonly va: bigint }
  | { readonly do: "select"; readonly mode: number; readonly asid: number }
  | { readonly do: "flushAsid"; readonly asid: number }
  | { readonly do: "flushAll" }
  | {
      /** A change of the physical map, or of what the space observes, at a page of guest RAM. */
      readonly do:
        "addRom" | "removeRom" | "selectBank" | "watch" | "unwatch" | "guardCode" | "startTracking";
      readonly page: number;
    };

type SpaceChange = Extract<MmuOp, { page: number }>["do"];

/**
 * A function that returns operations in batches. Each batch starts with new machines. Each call has
 * to return the same operations.
 */
export type MmuOpSource = () => Iterable<readonly MmuOp[]>;

/** Options of {@link randomMmuOps}. */
export interface RandomMmuOptions {
  /** Any integer. The low 32 bits of it determine the operations. */
  readonly seed: number;
  /** The number of operations. */
  readonly count: number;
}

const BATCH = 500;
const SPACE_CHANGES: readonly SpaceChange[] = [
  "addRom",
  "removeRom",
  "selectBank",
  "watch",
  "unwatch",
  "guardCode",
  "startTracking",
];
const ALL_KINDS = Object.values(OpKind);
const ACCESSES: readonly Access[] = ["rwx", "rw", "rx", "r", "x", "wx", ""];

/** Where the virtual pages are: they include the ends of 2^31, 2^32, 2^53 and 2^64. */
const BASES = [0n, 2n ** 31n, 2n ** 32n, 2n ** 53n, 2n ** 62n, -(2n ** 31n), 2n ** 64n].map(
  (edge) => BigInt.asUintN(64, edge - 2n * BigInt(MMU_PAGE)),
);
const PAGES = 4;

/**
 * Random accesses through an MMU, changes of the page tables with and without a flush, superpages,
 * flushes, and changes of the physical map.
 *
 * @throws TypeError, RangeError for invalid options.
 */
export function randomMmuOps(options: RandomMmuOptions): MmuOpSource {
  const { seed } = checkObject(options, "options");
  const count = toByteCount(options.count, "count");
  if (typeof seed !== "number") {
    throw typeError("seed must be a number");
  }
  if (!Number.isInteger(seed)) {
    throw rangeError("seed must be an integer");
  }
  return function* (): Generator<readonly MmuOp[], void, undefined> {
    const random = new Randomness(seed);
    for (let left = count; left > 0; left -= BATCH) {
      const batch: MmuOp[] = [];
      while (batch.length < Math.min(left, BATCH)) {
        batch.push(randomOp(random));
      }
      yield batch;
    }
  };
}

function randomOp(random: Randomness): MmuOp {
  const choice = random.below(20);
  if (choice < 11) {
    const kind = ALL_KINDS[random.below(ALL_KINDS.length)]!;
    return { do: "access", op: { kind, gpa: randomVa(random), value: random.u64() } };
  }
  if (choice < 13) {
    const bytes = ([1, 2, 4] as const)[random.below(3)]!;
    return { do: "fetch", va: randomVa(random), bytes };
  }
  if (choice < 17) {
    return randomMapping(random);
  }
  if (choice < 19) {
    return randomFlush(random);
  }
  const change = SPACE_CHANGES[random.below(SPACE_CHANGES.length)]!;
  return { do: change, page: random.below(DEVICE_PAGE) };
}

function randomPage(random: Randomness): bigint {
  const page = BASES[random.below(BASES.length)]! + BigInt(random.below(PAGES) * MMU_PAGE);
  return BigInt.asUintN(64, page);
}

/** An address in a page; often one near its end, and often an aligned one. */
function randomVa(random: Randomness): bigint {
  const choice = random.below(4);
  const offset =
    choice === 0
      ? MMU_PAGE - 1 - random.below(8)
      : choice === 1
        ? random.below(MMU_PAGE)
        : 8 * random.below(choice === 2 ? 4 : MMU_PAGE / 8);
  return randomPage(random) + BigInt(offset);
}

function randomMapping(random: Randomness): MmuOp {
  const page = randomPage(random);
  if (random.below(6) === 0) {
    return { do: "unmap", va: page };
  }
  const size = random.below(4) === 0 ? 2 * MMU_PAGE : MMU_PAGE;
  const access = ACCESSES[random.below(10)] ?? "rwx";
  // One page behind the device is a hole.
  const gpa = random.below(DEVICE_PAGE + 2) * MMU_PAGE;
  return { do: "map", va: page & -BigInt(size), gpa: gpa - (gpa % size), size, access };
}

function randomFlush(random: Randomness): MmuOp {
  switch (random.below(8)) {
    case 0:
      return { do: "flushAll" };
    case 1:
      return { do: "flushAsid", asid: random.below(2) };
    case 2:
    case 3:
      return { do: "select", mode: random.below(2), asid: random.below(2) };
    default:
      return { do: "flushPage", va: randomPage(random) };
  }
}

/** An operation as a statement. */
export function formatMmuOp(op: MmuOp): string {
  switch (op.do) {
    case "access":
      return formatOp(op.op).replace("memory.", "mmu.");
    case "fetch": {
      const [suffix, bits] = { 1: ["b", 8], 2: ["w", 16], 4: ["l", 32] }[op.bytes];
      return `mmu.tryFetch${suffix}(${hex(op.va)}n, new Uint${bits}Array(1));`;
    }
    case "map":
      return `map(${hex(op.va)}n, { gpa: ${hex(op.gpa)}, size: ${op.size}, access: "${op.access}" });`;
    case "unmap":
      return `unmap(${hex(op.va)}n);`;
    case "flushPage":
      return `mmu.flushPage(${hex(op.va)}n);`;
    case "select":
      return `mmu.select(${op.mode}, ${op.asid});`;
    case "flushAsid":
      return `mmu.flushAsid(${op.asid});`;
    case "flushAll":
      return "mmu.flushAll();";
    default:
      return `${op.do}(${hex(op.page * MMU_PAGE)});`;
  }
}
