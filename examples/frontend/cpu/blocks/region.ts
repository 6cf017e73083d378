import { CODE_PAGE } from "../code-cache.js";
import { lengthOf, Op } from "../decode.js";
import { isBranch } from "./facts.js";

/** The most instructions that become one function. */
const MOST_INSTRUCTIONS = 512;

/** A decoded instruction. */
export interface Instruction {
  readonly op: Op;
  /** The offset in the page, and that of the next instruction. */
  readonly at: number;
  readonly next: number;
  /** Numbers of registers. */
  readonly rd: number;
  readonly rs1: number;
  readonly rs2: number;
  readonly immediate: number;
}

/** Instructions that execute one after the other, of which only the last one can jump. */
export interface Block {
  /** The offset of the first instruction. */
  readonly start: number;
  readonly instructions: readonly Instruction[];
  /**
   * The offsets at which the block can continue. That of a branch which is taken is the last. The
   * list is empty after `jalr`.
   */
  readonly successors: readonly number[];
}

/** Blocks by their offsets. All are reachable from the first one. */
export type Region = ReadonlyMap<number, Block>;

/** The decoded code of a page. */
export interface DecodedPage {
  /** The two words of an instruction. 0 in the first one means that it is not decoded. */
  read(at: number): { readonly word: number; readonly immediate: number };
  /** Whether code that follows a jump runs often enough to belong to the region. */
  isWarm(at: number): boolean;
}

/** The instructions that are always interpreted. */
function isInterpreted(op: Op): boolean {
  return op === Op.ILLEGAL || (op >= Op.FENCE_I && op <= Op.CSRRCI);
}

/**
 * Finds the code that is reachable from an offset of a page by branches and direct jumps, except
 * calls. It ends at code that hardly runs, and at instructions that have to be interpreted.
 *
 * @param unaligned - The bit of a target that makes a jump trap; 0 for none.
 */
export function findRegion(entry: number, page: DecodedPage, unaligned: number): Region {
  const found = new Map<number, Instruction>();
  const leaders = new Set([entry]);
  const targets = (one: Instruction): number[] =>
    one.op === Op.JALR
      ? []
      : one.op === Op.JAL
        ? [one.at + one.immediate]
        : isBranch(one.op)
          ? [one.next, one.at + one.immediate]
          : [one.next];
  const pending = [entry];
  for (let at = pending.shift(); at !== undefined; at = pending.shift()) {
    while (!found.has(at) && found.size < MOST_INSTRUCTIONS) {
      const one = instructionAt(at, page);
      if (one === null || traps(one, unaligned)) {
        break;
      }
      found.set(at, one);
      if (!jumps(one)) {
        at = one.next;
        continue;
      }
      targets(one).forEach((target) => leaders.add(target));
      if (!isCall(one)) {
        pending.push(...targets(one).filter((target) => page.isWarm(target)));
      }
      break;
    }
  }
  const region = new Map<number, Block>();
  for (const start of leaders) {
    const instructions: Instruction[] = [];
    for (let one = found.get(start); one !== undefined; one = found.get(one.next)) {
      instructions.push(one);
      if (jumps(one) || leaders.has(one.next)) {
        break;
      }
    }
    const last = instructions.at(-1);
    if (last !== undefined) {
      region.set(start, { start, instructions, successors: targets(last) });
    }
  }
  return region;
}

function jumps({ op }: Instruction): boolean {
  return op === Op.JAL || op === Op.JALR || isBranch(op);
}

function isCall({ op, rd }: Instruction): boolean {
  return op === Op.JAL && rd !== 0;
}

/** Whether a jump or a taken branch raises an exception. */
function traps({ op, at, immediate }: Instruction, unaligned: number): boolean {
  return (op === Op.JAL || isBranch(op)) && ((at + immediate) & unaligned) !== 0;
}

function instructionAt(at: number, page: DecodedPage): Instruction | null {
  if (at < 0 || at >= CODE_PAGE) {
    return null;
  }
  const { word, immediate } = page.read(at);
  // eslint-disable-next-line @typescript-eslint/no-unsafe-enum-assignment -- decode wrote an Op
  const op: Op = word & 0xff;
  if (word === 0 || isInterpreted(op)) {
    return null;
  }
  const [rd, rs1, rs2] = [(word >>> 9) & 0x7f, (word >>> 17) & 0x7f, word >>> 25];
  // The slot for writes to register 0 is after the last register.
  return { op, at, next: at + lengthOf(word), rd: rd & 31, rs1, rs2, immediate };
}
