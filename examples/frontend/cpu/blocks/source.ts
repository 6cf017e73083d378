import { Op } from "../decode.js";
import { emitAccess, type FastAccess } from "./access.js";
import { addressOf, branchCondition, emitArithmetic, link } from "./emit.js";
import {
  type Extended,
  extendedAfter,
  isBranch,
  isLoad,
  isStore,
  NONE_EXTENDED,
  readBy,
  writes,
} from "./facts.js";
import type { Block, Region } from "./region.js";
import { edge, type Loop, type Node, structureOf } from "./structure.js";

/** The registers with extended values at the start of each block. */
function extendedIn(region: Region, entry: number): Map<number, Extended> {
  const found = new Map<number, Extended>([[entry, NONE_EXTENDED]]);
  const pending = [entry];
  for (let start = pending.pop(); start !== undefined; start = pending.pop()) {
    const block = region.get(start)!;
    const after = block.instructions.reduce(
      (extended, one) => extendedAfter(one, extended),
      found.get(start)!,
    );
    for (const next of block.successors) {
      const before = found.get(next);
      const merged = before === undefined ? after : before & after;
      if (region.has(next) && merged !== before) {
        found.set(next, merged);
        pending.push(next);
      }
    }
  }
  return found;
}

/**
 * The body of a function that executes a region.
 *
 * It has the parameter `left`, the number of instructions that it may execute, and returns the
 * offset to continue at. It counts the instructions in `hart.left`. A register is in two variables,
 * `a` with its number for the low half and `b` for the high half.
 */
export function sourceOf(
  region: Region,
  entry: number,
  unaligned: number,
  fast: FastAccess,
): string {
  const { nodes, removed } = structureOf(region, entry);
  const extended = extendedIn(region, entry);
  const lines: string[] = [];

  const emitNodes = (list: readonly Node[], headers: ReadonlySet<number>) => {
    const starts = list.map((node) => (typeof node === "number" ? node : node.header));
    const [, ...others] = starts;
    lines.push(...others.toReversed().map((start) => `B${start}: {`));
    list.forEach((node, i) => {
      if (i > 0) {
        lines.push("}");
      }
      if (typeof node === "number") {
        emitBlock(region.get(node)!, headers);
      } else {
        emitLoop(node, headers);
      }
    });
  };
  const emitLoop = ({ header, nodes: body }: Loop, headers: ReadonlySet<number>) => {
    lines.push(`L${header}: for (;;) {`);
    emitNodes(body, new Set([...headers, header]));
    lines.push("}");
  };
  const emitBlock = (block: Block, headers: ReadonlySet<number>) => {
    const { start, instructions, successors } = block;
    const count = instructions.length;
    const leaveTo = (at: number | string, unused: number) =>
      `at = ${at}; ${unused === 0 ? "" : `left += ${unused};`} break X;`;
    const jumpTo = (to: number) =>
      !region.has(to) || removed.has(edge(start, to))
        ? leaveTo(to, 0)
        : headers.has(to)
          ? `continue L${to};`
          : `break B${to};`;
    lines.push(`if ((left -= ${count}) < 0) { ${leaveTo(start, count)} }`);
    let known = extended.get(start)!;
    instructions.forEach((one, i) => {
      const unused = count - i - 1;
      if (isLoad(one.op) || isStore(one.op)) {
        const fault = `hart.${isLoad(one.op) ? "load" : "store"}Fault(r, ${one.at}, t, u)`;
        lines.push(
          // Devices read the time, which depends on this.
          `hart.left = left + ${unused + 1};`,
          emitAccess(one, known, fast, {
            fault: leaveTo(fault, unused),
            attention: leaveTo(one.next, unused),
          }),
        );
      } else if (isBranch(one.op)) {
        const [next, target] = successors as [number, number];
        lines.push(`if (${branchCondition(one, known)}) { ${jumpTo(target)} }`, jumpTo(next));
      } else if (one.op === Op.JAL) {
        lines.push(link(one), jumpTo(successors[0]!));
      } else if (one.op === Op.JALR) {
        lines.push(
          addressOf(one, known),
          "s = t & ~1; v = u;",
          unaligned === 0
            ? ""
            : `if ((s & ${unaligned}) !== 0) { ${leaveTo(`hart.jumpFault(${one.at}, s, v)`, 0)} }`,
          link(one),
          leaveTo("hart.offsetOf(s, v)", 0),
        );
      } else {
        lines.push(emitArithmetic(one, known));
      }
      known = extendedAfter(one, known);
    });
    const last = instructions.at(-1)!;
    if (!isBranch(last.op) && last.op !== Op.JAL && last.op !== Op.JALR) {
      lines.push(jumpTo(successors[0]!));
    }
  };

  const used = new Set<number>();
  const written = new Set<number>();
  for (const { instructions } of region.values()) {
    for (const one of instructions) {
      readBy(one).forEach((register) => used.add(register));
      if (writes(one.op)) {
        used.add(one.rd);
        written.add(one.rd);
      }
    }
  }
  used.delete(0);
  written.delete(0);
  emitNodes(nodes, new Set());
  const loaded = [...used].map((r) => `, a${r} = x[${2 * r}], b${r} = x[${2 * r + 1}]`);
  const stored = [...written].map((r) => `x[${2 * r}] = a${r}; x[${2 * r + 1}] = b${r};`);
  return [
    "const { pageLow, pageHigh } = fetcher;",
    "left |= 0;",
    `let at = 0, r = 0, s = 0, t = 0, u = 0, v = 0, w = 0, p = 0, q = 0${loaded.join("")};`,
    "X: {",
    ...lines,
    "}",
    ...stored,
    "hart.left = left;",
    "return at;",
  ]
    .filter((line) => line !== "")
    .join("\n");
}
