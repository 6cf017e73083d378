import { CODE_PAGE, NO_SLOT } from "../code-cache.js";
import { Op } from "../decode.js";
import type { Fetcher } from "../fetcher.js";
import type { HartMemory, Port } from "../port.js";
import { divide, multiplyHigh } from "../wide.js";
import { sourceOf } from "./compile.js";
import { findRegion } from "./region.js";

/** The most functions that are kept. */
const MOST_FUNCTIONS = 2048;
/** Counters of jumps. Addresses share them, which only makes code seem hotter than it is. */
const COUNTERS = 2 ** 16;
/** The jumps to an instruction after which it is compiled. */
export const USUAL_JUMPS = 1000;

/** What compiled code uses of a hart. */
export interface BlockHart {
  readonly x: Int32Array;
  left: number;
  readonly attention: boolean;
  loadFault(result: number, at: number, low: number, high: number): number;
  storeFault(result: number, at: number, low: number, high: number): number;
  offsetOf(low: number, high: number): number;
}

/** Code that has been compiled to a function. */
export interface Compiled {
  /**
   * Executes up to `left` instructions, at least {@link Compiled.least}. It leaves the number of
   * those that it has not executed in `hart.left`. @returns the offset to continue at.
   */
  readonly run: (left: number) => number;
  /** The instructions of the first block. */
  readonly least: number;
  /** The first word of the decoded instruction that the function starts with. */
  readonly word: number;
  readonly entry: number;
}

/**
 * The functions of a hart that stand for code which runs often.
 *
 * Such code starts at the target of a jump. The first word of its decoded instruction is replaced
 * by {@link Op.COMPILED} with the number of the function.
 */
export class Blocks {
  readonly list: Compiled[] = [];
  private readonly jumps = new Uint16Array(COUNTERS);
  /** The slots of the pages of code that has been compiled. */
  private readonly hasFunctions = new Set<number>();

  /**
   * @param after - The jumps after which code is compiled, less than 65536; Infinity for never.
   * @param unaligned - The bit of a target that makes a jump trap; 0 for none.
   * @param onDiscard - Called when functions, which may be running, are discarded.
   */
  constructor(
    private readonly hart: BlockHart,
    private readonly memory: HartMemory,
    private readonly port: Port,
    private readonly fetcher: Fetcher,
    private readonly unaligned: number,
    private readonly after: number,
    private readonly onDiscard: () => void,
  ) {}

  /** Counts a jump to a decoded instruction. Returns whether it has become hot. */
  count(entry: number): boolean {
    return ++this.jumps[counterOf(entry)]! === this.after;
  }

  /** Compiles the code at an offset in the current page, if it can be. Returns whether it was. */
  compile(at: number): boolean {
    const { slot, cache } = this.fetcher;
    const { code } = cache;
    if (slot === NO_SLOT) {
      return false;
    }
    const entry = slot + at;
    const region = findRegion(
      at,
      (offset) => {
        const word = code[slot + offset]!;
        const isCompiled = (word & 0xff) === Op.COMPILED;
        return {
          word: isCompiled ? this.list[word >>> 8]!.word : word,
          immediate: code[slot + offset + 1]!,
        };
      },
      this.unaligned,
    );
    const first = region.get(at);
    if (first === undefined) {
      return false;
    }
    if (this.list.length === MOST_FUNCTIONS) {
      this.restore();
    }
    const { hart, memory, port, fetcher } = this;
    const { byte, word, long, quad, halves } = port;
    const environment = {
      ...{ hart, memory, port, fetcher, x: hart.x, byte, word, long, quad, halves },
      ...{ divide, multiplyHigh },
    };
    // V8 makes constants of `const` variables in the scope of a function that exists once. The
    // parentheses make it compile the function at once.
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- this is a compiler
    const make = new Function(
      "environment",
      `"use strict"; const { ${Object.keys(environment).join(", ")} } = environment;\n` +
        `return (function (left) {\n${sourceOf(region, at, this.unaligned)}\n});`,
    ) as (environment: object) => Compiled["run"];
    const index = this.list.length;
    this.list.push({
      run: make(environment),
      least: first.instructions.length,
      word: code[entry]!,
      entry,
    });
    this.hasFunctions.add(slot);
    code[entry] = Op.COMPILED | (index << 8);
    return true;
  }

  /** Takes that the decoded instructions of a page are gone. */
  discard(slot: number): void {
    if (this.hasFunctions.delete(slot)) {
      // Code that is written again and again is not compiled each time that it runs.
      const first = counterOf(slot);
      this.jumps.fill(0, first, first + CODE_PAGE / 2);
      this.onDiscard();
    }
  }

  /** Takes that all decoded instructions are gone. */
  discardAll(): void {
    this.list.length = 0;
    this.hasFunctions.clear();
    this.jumps.fill(0);
    this.onDiscard();
  }

  /** Puts the decoded instructions back in place of all functions. */
  private restore(): void {
    const { code } = this.fetcher.cache;
    for (const [index, { entry, word }] of this.list.entries()) {
      if (code[entry] === (Op.COMPILED | (index << 8))) {
        code[entry] = word;
      }
    }
    this.discardAll();
  }
}

function counterOf(entry: number): number {
  return (entry >>> 1) % COUNTERS;
}
