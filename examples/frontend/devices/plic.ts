import { deserialize, serialize } from "node:v8";
import type { MmioDevice } from "pound-guest-memory";

/** The interrupt sources, of which number 0 does not exist. */
const SOURCES = 96;
const WORDS = SOURCES / 32;
const MAX_PRIORITY = 7;

// Offsets of the registers: priorities, pending bits, and the registers of each context.
const PENDING = 0x1000;
const ENABLE = 0x2000;
const ENABLE_SIZE = 0x80;
const CONTEXT = 0x20_0000;
const CONTEXT_SIZE = 0x1000;
const THRESHOLD = 0;
const CLAIM = 4;

/** An interrupt target: a mode of the hart. */
interface Context {
  readonly enabled: Uint32Array;
  threshold: number;
  /** Called with whether an interrupt is pending for the context. */
  readonly notify: (pending: boolean) => void;
}

/** SiFive's platform-level interrupt controller, with levels as inputs. */
export class Plic implements MmioDevice {
  private readonly priority = new Uint8Array(SOURCES);
  private readonly levels = new Uint32Array(WORDS);
  private readonly pending = new Uint32Array(WORDS);
  private readonly claimed = new Uint32Array(WORDS);
  private readonly contexts: readonly Context[];

  /** @param notify - One function for each context, called when its output may have changed. */
  constructor(...notify: readonly ((pending: boolean) => void)[]) {
    this.contexts = notify.map((fn) => ({
      enabled: new Uint32Array(WORDS),
      threshold: 0,
      notify: fn,
    }));
  }

  /** Sets the input of a source, from 1 to 95. */
  setLevel(source: number, level: boolean): void {
    setBit(this.levels, source, level);
    this.update();
  }

  save(): Uint8Array {
    const { priority, levels, pending, claimed } = this;
    const contexts = this.contexts.map(({ enabled, threshold }) => ({ enabled, threshold }));
    return serialize([{ priority, levels, pending, claimed }, contexts]);
  }

  load(state: Uint8Array): void {
    const [own, contexts] = deserialize(state) as [object, readonly object[]];
    Object.assign(this, own);
    this.contexts.forEach((context, i) => Object.assign(context, contexts[i]));
  }

  readl(offset: number): number {
    if (offset < 4 * SOURCES) {
      return this.priority[offset / 4]!;
    }
    if (offset >= PENDING && offset < PENDING + 4 * WORDS) {
      return this.pending[(offset - PENDING) / 4]!;
    }
    const enabled = this.enabledAt(offset);
    if (enabled !== null) {
      return enabled.context.enabled[enabled.word]!;
    }
    const context = this.contexts[Math.floor((offset - CONTEXT) / CONTEXT_SIZE)];
    if (context === undefined) {
      return 0;
    }
    switch (offset % CONTEXT_SIZE) {
      case THRESHOLD:
        return context.threshold;
      case CLAIM:
        return this.claim(context);
      default:
        return 0;
    }
  }

  writel(offset: number, value: number): void {
    const enabled = this.enabledAt(offset);
    const context = this.contexts[Math.floor((offset - CONTEXT) / CONTEXT_SIZE)];
    if (offset > 0 && offset < 4 * SOURCES) {
      this.priority[offset / 4] = value & MAX_PRIORITY;
    } else if (enabled !== null) {
      enabled.context.enabled[enabled.word] = value & (enabled.word === 0 ? ~1 : ~0);
    } else if (context !== undefined && offset % CONTEXT_SIZE === THRESHOLD) {
      context.threshold = value & MAX_PRIORITY;
    } else if (context !== undefined && offset % CONTEXT_SIZE === CLAIM && value < SOURCES) {
      // The completion of an interrupt that the context has not enabled is ignored.
      setBit(this.claimed, value, this.isClaimed(value) && !getBit(context.enabled, value));
    }
    this.update();
  }

  private enabledAt(offset: number): { context: Context; word: number } | null {
    const context = this.contexts[Math.floor((offset - ENABLE) / ENABLE_SIZE)];
    const word = (offset % ENABLE_SIZE) / 4;
    return context !== undefined && word < WORDS ? { context, word } : null;
  }

  private isClaimed(source: number): boolean {
    return getBit(this.claimed, source);
  }

  /** The enabled pending source with the highest priority, the lowest number first; 0 for none. */
  private best(context: Context, above: number): number {
    let best = 0;
    let most = above;
    for (let source = 1; source < SOURCES; source++) {
      const isReady = getBit(this.pending, source) && getBit(context.enabled, source);
      if (isReady && this.priority[source]! > most) {
        best = source;
        most = this.priority[source]!;
      }
    }
    return best;
  }

  /** Claims an interrupt, whatever the threshold is. */
  private claim(context: Context): number {
    const source = this.best(context, 0);
    if (source !== 0) {
      setBit(this.claimed, source, true);
      setBit(this.pending, source, false);
      this.update();
    }
    return source;
  }

  private update(): void {
    for (let word = 0; word < WORDS; word++) {
      // A source is pending from its level on until it is claimed.
      this.pending[word] = this.pending[word]! | (this.levels[word]! & ~this.claimed[word]!);
    }
    for (const context of this.contexts) {
      context.notify(this.best(context, context.threshold) !== 0);
    }
  }
}

function getBit(words: Uint32Array, bit: number): boolean {
  return ((words[bit >>> 5]! >>> (bit & 31)) & 1) !== 0;
}

function setBit(words: Uint32Array, bit: number, value: boolean): void {
  const mask = 1 << (bit & 31);
  words[bit >>> 5] = value ? words[bit >>> 5]! | mask : words[bit >>> 5]! & ~mask;
}
