import { CODE_PAGE, NO_SLOT } from "../code-cache.js";
import { Op } from "../decode.js";
import type { Fetcher } from "../fetcher.js";
import type { HartMemory, Port } from "../port.js";
import { divide, multiplyHigh } from "../wide.js";
import { sourceOf } from "./source.js";
import { findRegion, type Region } from "./region.js";

/** The most functions that are kept. */
const MOST_FUNCTIONS = 2048;
/** Counters of jumps. Addresses share them, which only makes code seem hotter than it is. */
export const COUNTERS = 2 ** 16;
/** How often the code at a place is compiled. */
const MOST_VERSIONS = 8;
/** Code belongs to a region if it has run this much as often as code that is compiled. */
const WARM = 1 / 32;
/** The jumps to an instruction after which it is compiled. */
export const USUAL_JUMPS = 2 ** 14;

/** What compiled code uses of a hart. */
export interface BlockHart {
  readonly x: Int32Array;
  left: number;
  readonly attention: boolean;
  loadFault(result: number, at: number, low: number, high: number): number;
  storeFault(result: number, at: number, low: number, high: number): number;
  jumpFault(at: number, low: number, high: number): number;
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
  readonly slot: number;
  /** The index of that word. */
  readonly entry: number;
  /** How often this code has been compiled, with more and more of what follows it. */
  readonly version: number;
}

/**
 * The functions of a hart that stand for code which runs often.
 *
 * Such code starts at the target of a jump. The first word of its decoded instruction is replaced
 * by {@link Op.COMPILED} with the number of the function.
 */
export class Blocks {
  readonly list: Compiled[] = [];
  /** The jumps to decoded instructions, by half their index modulo {@link COUNTERS}. */
  readonly jumps = new Uint16Array(COUNTERS);
  /** The slots of the pages of code that has been compiled. */
  private readonly hasFunctions = new Set<number>();

  /**
   * @param after - The jumps after which code is compiled, less than 65536; 0 for never.
   * @param unaligned - The bit of a target that makes a jump trap; 0 for none.
   * @param onDiscard - Called when functions, which may be running, are discarded.
   */
  constructor(
    private readonly hart: BlockHart,
    private readonly memory: HartMemory,
    private readonly port: Port,
    private readonly fetcher: Fetcher,
    private readonly unaligned: number,
    readonly after: number,
    private readonly onDiscard: () => void,
  ) {}

  /**
   * Compiles the code at an offset in the current page, if it can be. Returns whether it was.
   *
   * @param from - The function that has just been left for this code; -1 for none. If it can have
   *   the code too, it is compiled again.
   */
  compile(at: number, from: number): boolean {
    const { slot, cache } = this.fetcher;
    const { code } = cache;
    if (slot === NO_SLOT) {
      return false;
    }
    const old = this.list[from];
    if (old !== undefined && old.version < MOST_VERSIONS && old.slot === slot) {
      const region = this.regionAt(old.entry - slot);
      if (region.has(at)) {
        this.list[from] = this.make(region, old.entry - slot, old.word, old.version + 1);
        return true;
      }
    }
    if (this.list.length === MOST_FUNCTIONS) {
      this.restore();
    }
    const region = this.regionAt(at);
    if (!region.has(at)) {
      return false;
    }
    const index = this.list.length;
    this.list.push(this.make(region, at, code[slot + at]!, 1));
    this.hasFunctions.add(slot);
    code[slot + at] = Op.COMPILED | (index << 8);
    return true;
  }

  private regionAt(at: number): Region {
    const { slot, cache } = this.fetcher;
    const { code } = cache;
    const warm = this.after * WARM;
    return findRegion(
      at,
      {
        read: (offset) => {
          const word = code[slot + offset]!;
          const isCompiled = (word & 0xff) === (Op.COMPILED as number);
          return {
            word: isCompiled ? this.list[word >>> 8]!.word : word,
            immediate: code[slot + offset + 1]!,
          };
        },
        isWarm: (offset) => this.jumps[counterOf(slot + offset)]! >= warm,
      },
      this.unaligned,
    );
  }

  private make(region: Region, at: number, word: number, version: number): Compiled {
    const { hart, memory, port, fetcher } = this;
    const { byte, word: half, long, quad, halves } = port;
    const fast = port.translated === null ? "physical" : "virtual";
    const environment = {
      ...{ hart, memory, port, fetcher, x: hart.x, byte, word: half, long, quad, halves },
      ...{ divide, multiplyHigh, virtual: port.virtual },
    };
    // V8 makes constants of `const` variables in the scope of a function that exists once. The
    // parentheses make it compile the function at once.
    // eslint-disable-next-line @typescript-eslint/no-implied-eval -- this is a compiler
    const make = new Function(
      "environment",
      `"use strict"; const { ${Object.keys(environment).join(", ")} } = environment;\n` +
        `return (function (left) {\n${sourceOf(region, at, this.unaligned, fast)}\n});`,
    ) as (environment: object) => Compiled["run"];
    return {
      run: make(environment),
      least: region.get(at)!.instructions.length,
      word,
      slot: fetcher.slot,
      entry: fetcher.slot + at,
      version,
    };
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
