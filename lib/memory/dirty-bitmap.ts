import { PAGE_SIZE } from "../base/page.js";
import { isSharedArrayBuffer } from "node:util/types";
import { outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { toAddress, toByteCount } from "../base/arguments.js";

/** Page numbers are given out in a Uint32Array. */
const MAX_SIZE = PAGE_SIZE * 2 ** 32;

const ALL = 0xffff_ffff;

/** Words behind the bits: how many drains were begun and how many were ended, by all threads. */
const COUNTERS = 2;

/**
 * Which pages of a block of RAM were written: one bit for each 4096 bytes.
 *
 * A page is marked after its bytes were written, and {@link DirtyBitmap.drain} takes the marks
 * before its caller reads the bytes. So a write that a drain does not tell of is told by the next
 * one, whichever threads the two run on.
 *
 * The bits lie in a SharedArrayBuffer. For as long as nobody has asked for {@link
 * DirtyBitmap.buffer} no other thread can see them, and marks are plain stores. From then on each
 * mark is an atomic operation. It is made even where the bit seems set already: a thread that drains
 * at that moment may have cleared the bit and read the page while the write was still on its way
 * from this processor to the others, and only the atomic operation keeps the two in order.
 *
 * Snapshots take marks through a cursor of their own: what they take stays here, and what is drained
 * here reaches them all the same.
 */
export class DirtyBitmap {
  /** Bytes of RAM that the bits stand for. */
  readonly size: bigint;
  /** Number of pages, the last of which may be cut short. */
  readonly pages: number;

  // Private to TypeScript only, as in GuestMemory: marking is on the path of every tracked write.
  private readonly words: Uint32Array;
  private shared: boolean;
  /** Drains that were begun, and drains that were ended. */
  readonly #counters: Uint32Array;
  /** How many drains were made through this object, modulo 2^32. */
  #ownDrains = 0;
  /** How many of them left the marks of this object's own cursor where they were. */
  #othersDrains = 0;
  readonly #cursors: DirtyCursor[] = [];
  readonly #own: DirtyCursor;

  /**
   * @param size - Bytes of RAM, from 0 to 2^44.
   * @param buffer - Another bitmap's {@link DirtyBitmap.buffer}, to share its bits; fresh bits, none
   * of them set, where it is not given.
   * @throws TypeError, RangeError for an invalid size, or a buffer that is too small for it; Error
   * `ERR_OUT_OF_MEMORY`.
   */
  constructor(size: Gpa, buffer?: SharedArrayBuffer) {
    const bytes = toByteCount(size, "size");
    if (bytes > MAX_SIZE) {
      throw rangeError("size must be at most 2^44");
    }
    this.size = BigInt(bytes);
    this.pages = Math.ceil(bytes / PAGE_SIZE);
    const count = Math.ceil(this.pages / 32);
    this.shared = buffer !== undefined;
    const bits = sharedBits(buffer, (count + COUNTERS) * 4);
    this.words = new Uint32Array(bits, 0, count);
    this.#counters = new Uint32Array(bits, count * 4, COUNTERS);
    this.#own = this.dirtyCursor();
  }

  /** Keeps `JSON.stringify` from writing out every bit: the RAM's size in bytes. */
  toJSON(): { type: "DirtyBitmap"; size: number } {
    return { type: "DirtyBitmap", size: Number(this.size) };
  }

  /**
   * The bits: bit `n % 32` of the little-endian 32-bit word `n / 32` is page `n`. Two more words
   * follow, which count drains. Give it to a worker, and there to the constructor. Asking for it
   * makes marks atomic from then on, which is slower.
   */
  get buffer(): SharedArrayBuffer {
    this.shared = true;
    return this.words.buffer as SharedArrayBuffer;
  }

  /**
   * Marks the pages of a range as written. Call it after the bytes were written.
   *
   * @param offset - Bytes from the start of the RAM.
   * @param length - Bytes; 1 by default.
   * @throws TypeError; RangeError where the range does not fit in the RAM.
   */
  mark(offset: Gpa, length: Gpa = 1): void {
    const start = toAddress(offset, "offset");
    const count = toByteCount(length, "length");
    if (start + count > Number(this.size)) {
      throw rangeError("the range must lie in the RAM of the bitmap");
    }
    if (count > 0) {
      this.#markPages(Math.floor(start / PAGE_SIZE), Math.floor((start + count - 1) / PAGE_SIZE));
    }
  }

  /**
   * How often marks were taken away from here by {@link DirtyBitmap.drain}, on whichever thread,
   * modulo 2^32. Whoever finds it at what it was left at knows that the marks are all that came
   * since.
   */
  get drains(): number {
    return (Atomics.load(this.#counters, 0) - this.#othersDrains) >>> 0;
  }

  /** Notes that writes may go unmarked from here on, or went so far. @internal */
  interrupt(): void {
    Atomics.add(this.#counters, 0, 1);
    Atomics.add(this.#counters, 1, 1);
  }

  /** Marks one page, which the caller has made sure of. @internal */
  markPage(page: number): void {
    const word = page >>> 5;
    const bit = 1 << (page & 31);
    if (this.shared) {
      Atomics.or(this.words, word, bit);
    } else if ((this.words[word]! & bit) === 0) {
      this.words[word] = this.words[word]! | bit;
    }
  }

  /** Whether another thread may mark and drain. @internal */
  get isShared(): boolean {
    return this.shared;
  }

  /**
   * Whether the page of a byte is marked.
   *
   * @throws TypeError; RangeError where the byte lies outside the RAM.
   */
  isDirty(offset: Gpa): boolean {
    const start = toAddress(offset, "offset");
    if (start >= Number(this.size)) {
      throw rangeError("offset must lie in the RAM of the bitmap");
    }
    const page = Math.floor(start / PAGE_SIZE);
    return (this.#wordOf(this.#own, Math.floor(page / 32)) & (1 << (page & 31))) !== 0;
  }

  /** How many pages are marked. */
  get count(): number {
    let count = 0;
    for (let word = 0; word < this.words.length; word++) {
      count += bitsIn(this.#wordOf(this.#own, word));
    }
    return count;
  }

  /**
   * The numbers of the marked pages, in order; they stay marked.
   *
   * @throws RangeError where they are more than an array can hold.
   */
  peek(): Uint32Array {
    const words = newWords(this.words.length);
    for (let word = 0; word < words.length; word++) {
      words[word] = this.#wordOf(this.#own, word);
    }
    return takePages(words);
  }

  /**
   * Takes all marks away and gives the numbers of the pages that had one, in order. Each 32 marks
   * are taken in one atomic step: a page that is written meanwhile is in this list or in the next.
   * Read the bytes of the pages only after the call.
   *
   * @throws RangeError where they are more than an array can hold; they stay marked then.
   */
  drain(): Uint32Array {
    return this.#own.drain();
  }

  /** A consumer of marks beside {@link DirtyBitmap.drain}, from here on. @internal */
  dirtyCursor(): DirtyCursor {
    const cursor = new DirtyCursor(this.words.length, (of) => this.#collect(of));
    if (this.#cursors.length > 0) {
      // What is marked so far concerns the others alone.
      this.#handOut();
      this.#othersDrains = (this.#othersDrains + 1) >>> 0;
    }
    this.#cursors.push(cursor);
    return cursor;
  }

  /**
   * Moves all marks to the cursor that asks and to all others.
   *
   * @returns Whether nobody else took marks since the last time.
   */
  #collect(cursor: DirtyCursor): boolean {
    // Looked at before the marks are taken: a drain by another thread that is under way here may take
    // some of those that are made from here on.
    const begun = this.#foreignDrains(0);
    const quiet = begun === this.#foreignDrains(1);
    this.#handOut();
    if (cursor !== this.#own) {
      this.#othersDrains = (this.#othersDrains + 1) >>> 0;
    }
    const whole = cursor.begun === this.#foreignDrains(0);
    cursor.begun = quiet ? begun : undefined;
    return whole;
  }

  #foreignDrains(counter: 0 | 1): number {
    return (Atomics.load(this.#counters, counter) - this.#ownDrains) >>> 0;
  }

  /** Takes the marks that all threads see, and gives them to every cursor of this object. */
  #handOut(): void {
    const pending = this.#cursors.map((cursor) => cursor.pending);
    this.#ownDrains = (this.#ownDrains + 1) >>> 0;
    Atomics.add(this.#counters, 0, 1);
    const { words } = this;
    for (let word = 0; word < words.length; word++) {
      // Most words are zero, and only looking at one leaves it in every processor's cache.
      if (Atomics.load(words, word) !== 0) {
        const bits = Atomics.exchange(words, word, 0);
        for (const marks of pending) {
          marks[word]! |= bits;
        }
      }
    }
    Atomics.add(this.#counters, 1, 1);
  }

  /** The marks of 32 pages as a cursor has them. */
  #wordOf(cursor: DirtyCursor, word: number): number {
    return Atomics.load(this.words, word) | cursor.pendingAt(word);
  }

  #markPages(first: number, last: number): void {
    for (let page = first; page <= last;) {
      const bit = page % 32;
      const word = Math.floor(page / 32);
      const whole = Math.floor((last + 1) / 32) - word;
      if (bit === 0 && whole > 0 && !this.shared) {
        this.words.fill(ALL, word, word + whole);
        page += 32 * whole;
        continue;
      }
      const count = Math.min(32 - bit, last - page + 1);
      const bits = count === 32 ? ALL : ((1 << count) - 1) << bit;
      Atomics.or(this.words, word, bits);
      page += count;
    }
  }
}

/** One consumer of the marks of a {@link DirtyBitmap}: takes them, and leaves them to the others. */
export class DirtyCursor {
  /**
   * How many drains by others had begun when this cursor last took marks; undefined where one was
   * under way, or where it took none yet.
   */
  begun: number | undefined;
  readonly #length: number;
  readonly #collect: (cursor: DirtyCursor) => boolean;
  /** What was taken from the bitmap, and not by this cursor yet. */
  #pending: Uint32Array | null = null;

  /** Use `dirtyCursor`. @internal */
  constructor(length: number, collect: (cursor: DirtyCursor) => boolean) {
    this.#length = length;
    this.#collect = collect;
  }

  /** @throws Error `ERR_OUT_OF_MEMORY`. @internal */
  get pending(): Uint32Array {
    return (this.#pending ??= newWords(this.#length));
  }

  /** @internal */
  pendingAt(word: number): number {
    return this.#pending === null ? 0 : this.#pending[word]!;
  }

  /** As the bitmap's own. */
  drain(): Uint32Array {
    return this.take().pages;
  }

  /**
   * As `drain`.
   *
   * @returns `whole` is whether the marks are all that was written since the last call: false at the
   * first, after a drain by another thread, and where tracking stopped in between.
   */
  take(): { readonly pages: Uint32Array; readonly whole: boolean } {
    const whole = this.#collect(this);
    return { whole, pages: takePages(this.pending) };
  }

  /** Forgets the marks that there are. */
  skip(): void {
    this.#collect(this);
    this.pending.fill(0);
  }
}

/** The pages whose bits are set in `words`, in order. The words are zero afterwards. */
function takePages(words: Uint32Array): Uint32Array {
  let count = 0;
  for (let word = 0; word < words.length; word++) {
    count += bitsIn(words[word]!);
  }
  const pages = newPages(count);
  let at = 0;
  for (let word = 0; word < words.length; word++) {
    let bits = words[word]!;
    if (bits === 0) {
      continue;
    }
    words[word] = 0;
    if (bits === ALL) {
      const end = at + 32;
      for (let page = word * 32; at < end; page++) {
        pages[at++] = page;
      }
      continue;
    }
    for (; bits !== 0; bits &= bits - 1) {
      pages[at++] = word * 32 + (31 - Math.clz32(bits & -bits));
    }
  }
  return pages;
}

/** How many bits of 32 are set. */
function bitsIn(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}

function newPages(count: number): Uint32Array {
  try {
    return new Uint32Array(count);
  } catch {
    throw rangeError(`${count} page numbers are more than one array can hold here`);
  }
}

function newWords(count: number): Uint32Array {
  try {
    return new Uint32Array(count);
  } catch {
    throw outOfMemoryError("the runtime has no room for the marks of a bitmap of this size");
  }
}

function sharedBits(buffer: SharedArrayBuffer | undefined, bytes: number): SharedArrayBuffer {
  if (buffer === undefined) {
    try {
      return new SharedArrayBuffer(bytes);
    } catch {
      throw outOfMemoryError("the runtime has no room for a bitmap of this size");
    }
  }
  if (!isSharedArrayBuffer(buffer)) {
    throw typeError("buffer must be a SharedArrayBuffer");
  }
  if (buffer.byteLength < bytes) {
    throw rangeError(`buffer must have at least ${bytes} bytes`);
  }
  return buffer;
}
