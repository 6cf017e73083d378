import type { CodeRange } from "./hart.js";

/** Bytes of a page of code, and words that its decoded instructions take. */
export const CODE_PAGE = 4096;
/** The most pages that are kept decoded at the same time. */
const MOST_PAGES = 1024;
/** The slot of code that is not kept. Its words are always 0. */
export const NO_SLOT = 0;

/**
 * Guards a page of code: `onWrite` is called before the first write to it, and not again.
 *
 * @param gpa - The address of the page of {@link CODE_PAGE} bytes.
 */
export type CodeGuarder = (gpa: number, onWrite: () => void) => { remove(): void };

/** Who has to know that decoded instructions are gone. */
export interface CodeListener {
  /** Called when those of a page are. */
  discard(slot: number): void;
  /** Called when all are. */
  discardAll(): void;
}

/**
 * The decoded instructions of a hart, by physical page.
 *
 * A page has a slot: two words for each of its addresses that are a multiple of 2, see `decode`. If
 * the first word is 0, the instruction is not decoded.
 */
export class CodeCache {
  readonly code: Int32Array;
  /** The index of two words for an instruction that is not kept. */
  readonly scratch: number;
  listener: CodeListener | null = null;
  private readonly slots = new Map<number, number>();
  private readonly pageOf = new Map<number, number>();
  private readonly guards = new Map<number, { remove(): void }>();
  private used = NO_SLOT + CODE_PAGE;

  /**
   * @param range - Code elsewhere is not kept.
   * @param guarder - Without it, {@link CodeCache.synchronize} discards all decoded instructions.
   */
  constructor(
    private readonly range: CodeRange,
    private readonly guarder: CodeGuarder | null,
  ) {
    const pages = Math.min(Math.floor(range.size / CODE_PAGE), MOST_PAGES);
    this.scratch = NO_SLOT + CODE_PAGE * (1 + pages);
    this.code = new Int32Array(this.scratch + 2);
  }

  /** Whether no further page has room. */
  get isFull(): boolean {
    return this.used === this.scratch;
  }

  /**
   * The slot of a page; {@link NO_SLOT} if it is not kept. The cache must not be full.
   *
   * @param gpa - The address of the page, a multiple of {@link CODE_PAGE}.
   */
  slotOf(gpa: number): number {
    const found = this.slots.get(gpa);
    if (found !== undefined) {
      return found;
    }
    const { base, size } = this.range;
    if (gpa < base || gpa + CODE_PAGE > base + size) {
      return NO_SLOT;
    }
    const slot = this.used;
    this.used += CODE_PAGE;
    this.slots.set(gpa, slot);
    this.pageOf.set(slot, gpa);
    return slot;
  }

  /**
   * Guards the page of a slot. It must be called before an instruction is decoded into the slot.
   */
  guard(slot: number): void {
    if (this.guarder === null || this.guards.has(slot)) {
      return;
    }
    const onWrite = () => {
      this.guards.delete(slot);
      this.code.fill(0, slot, slot + CODE_PAGE);
      this.listener?.discard(slot);
    };
    this.guards.set(slot, this.guarder(this.pageOf.get(slot)!, onWrite));
  }

  /** `fence.i`: later fetches see all earlier stores. Guarded pages always do. */
  synchronize(): void {
    if (this.guarder === null) {
      this.forget();
    }
  }

  /** Discards all decoded instructions. The pages keep their slots. */
  forget(): void {
    this.code.fill(0, 0, this.used);
    this.listener?.discardAll();
  }

  /** Discards all pages. */
  clear(): void {
    this.guards.forEach((guard) => guard.remove());
    this.guards.clear();
    this.slots.clear();
    this.pageOf.clear();
    this.code.fill(0);
    this.listener?.discardAll();
    this.used = NO_SLOT + CODE_PAGE;
  }
}
