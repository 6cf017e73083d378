import { PAGE_SIZE } from "../base/page.js";
import { isSharedArrayBuffer } from "node:util/types";
import { outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { toAddress, toByteCount } from "../base/arguments.js";

/** Page numbers must fit in a Uint32Array. */
const MAX_SIZE = PAGE_SIZE * 2 ** 32;

const ALL = 0xffff_ffff;

/** Words after the bits: the numbers of drains that all threads have begun and have ended. */
const COUNTERS = 2;

/**
 * Tracks which pages of a block of RAM were written, with one bit for each page of 4096 bytes.
 *
 * A page is marked after its bytes were written, and {@link DirtyBitmap.drain} clears the marks
 * before its caller reads the bytes. Therefore a write that one drain misses is in the next drain,
 * on whichever threads the write and the drains run.
 *
 * The bits lie in a SharedArrayBuffer. Until {@link DirtyBitmap.buffer} is first read, no other
 * thread can access them, and a mark is a plain store. Afterwards each mark is an atomic operation,
 * even if the bit seems to be set already: a drain on another thread may have cleared the bit and
 * read the page before the write of this processor became visible there. Only the atomic operation
 * orders the write before the mark.
 *
 * Each snapshot has a cursor of its own. Marks that a snapshot takes stay in the bitmap for other
 * consumers, and marks that {@link DirtyBitmap.drain} clears still reach the snapshots.
 *
 * @example
 *
 * ```ts
 * const space = new AddressSpace();
 * const ram = space.addRam(0x4000_0000, 64 * 1024);
 * const dirty = ram.startTracking();
 * space.writel(0x4000_1ffc, 1);
 * space.native.writeb(0x4000_3000, 1);
 * const pages = dirty.drain(); // Uint32Array [1, 3]
 * ```
 */
export class DirtyBitmap {
  /** Bytes of RAM that the bits stand for. */
  readonly size: bigint;
  /** The number of pages. The last page may be shorter than 4096 bytes. */
  readonly pages: number;

  // TypeScript's private instead of #private, as in GuestMemory, for the speed of every tracked
  // write.
  private readonly words: Uint32Array;
  private shared: boolean;
  /** The numbers of drains that all threads have begun and have ended. */
  readonly #counters: Uint32Array;
  /** The number of drains through this object, modulo 2^32. */
  #ownDrains = 0;
  /** The number of those drains that other cursors caused, which kept the marks of `#own`. */
  #othersDrains = 0;
  readonly #cursors: DirtyCursor[] = [];
  readonly #own: DirtyCursor;

  /**
   * @param size - Bytes of RAM, from 0 to 2^44.
   * @param buffer - The {@link DirtyBitmap.buffer} of another bitmap, to share its bits. By default
   * the bitmap has its own bits, all clear.
   * @throws TypeError, RangeError for an invalid size; TypeError if `buffer` is not a
   * SharedArrayBuffer; RangeError if it is too small; Error `ERR_OUT_OF_MEMORY`.
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

  /** The size of the RAM in bytes, for `JSON.stringify`, which would otherwise write every bit. */
  toJSON(): { type: "DirtyBitmap"; size: number } {
    return { type: "DirtyBitmap", size: Number(this.size) };
  }

  /**
   * The bits: page `n` is bit `n % 32` of the 32-bit word `n / 32`, in host byte order. Two more
   * words follow, which count drains. To share the bits, send the buffer to a worker and pass it to
   * the constructor there. After the first read of this property, marks are atomic, which is
   * slower.
   */
  get buffer(): SharedArrayBuffer {
    this.shared = true;
    return this.words.buffer as SharedArrayBuffer;
  }

  /**
   * Marks the pages of a range as written. Call it after the write.
   *
   * @param offset - Bytes from the start of the RAM.
   * @param length - Bytes; 1 by default.
   * @throws TypeError; RangeError if the range does not lie in the RAM.
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
   * A counter, modulo 2^32, that increases with every {@link DirtyBitmap.drain} on any thread and
   * whenever writes may be unmarked. While it does not change, no mark is lost.
   */
  get drains(): number {
    return (Atomics.load(this.#counters, 0) - this.#othersDrains) >>> 0;
  }

  /** Records that writes before or after this call may be unmarked. @internal */
  interrupt(): void {
    Atomics.add(this.#counters, 0, 1);
    Atomics.add(this.#counters, 1, 1);
  }

  /** Marks one page. The caller has checked the number. @internal */
  markPage(page: number): void {
    const word = page >>> 5;
    const bit = 1 << (page & 31);
    if (this.shared) {
      Atomics.or(this.words, word, bit);
    } else if ((this.words[word]! & bit) === 0) {
      this.words[word] = this.words[word]! | bit;
    }
  }

  /** Whether another thread may mark and drain pages. @internal */
  get isShared(): boolean {
    return this.shared;
  }

  /**
   * Whether the page of a byte is marked.
   *
   * @param offset - Bytes from the start of the RAM.
   * @throws TypeError; RangeError if the byte lies outside the RAM.
   */
  isDirty(offset: Gpa): boolean {
    const start = toAddress(offset, "offset");
    if (start >= Number(this.size)) {
      throw rangeError("offset must lie in the RAM of the bitmap");
    }
    const page = Math.floor(start / PAGE_SIZE);
    return (this.#wordOf(this.#own, Math.floor(page / 32)) & (1 << (page & 31))) !== 0;
  }

  /** The number of marked pages. */
  get count(): number {
    let count = 0;
    for (let word = 0; word < this.words.length; word++) {
      count += bitsIn(this.#wordOf(this.#own, word));
    }
    return count;
  }

  /**
   * The numbers of the marked pages, in ascending order. They stay marked.
   *
   * @throws RangeError if there are more page numbers than an array can hold.
   */
  peek(): Uint32Array {
    const words = newWords(this.words.length);
    for (let word = 0; word < words.length; word++) {
      words[word] = this.#wordOf(this.#own, word);
    }
    return takePages(words);
  }

  /**
   * Clears all marks and returns the numbers of the pages that were marked, in ascending order. It
   * clears 32 marks in one atomic operation: a page that is written during the call is in this
   * result or in the next one. Read the bytes of the pages only after the call.
   *
   * @throws RangeError if there are more page numbers than an array can hold. The pages stay marked
   * then.
   */
  drain(): Uint32Array {
    return this.#own.drain();
  }

  /** Adds a consumer of the marks that are made from now on. @internal */
  dirtyCursor(): DirtyCursor {
    const cursor = new DirtyCursor(this.words.length, (of) => this.#collect(of));
    if (this.#cursors.length > 0) {
      // The new cursor does not get the marks that exist now.
      this.#handOut();
      this.#othersDrains = (this.#othersDrains + 1) >>> 0;
    }
    this.#cursors.push(cursor);
    return cursor;
  }

  /**
   * Moves all marks from the shared bits to every cursor of this object.
   *
   * @param cursor - The cursor that takes its marks next.
   * @returns Whether no other thread has drained since the last call for this cursor.
   */
  #collect(cursor: DirtyCursor): boolean {
    // Read before the marks are moved: if another thread is draining now, it may take some of the
    // marks that are made from now on.
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

  /** Clears the shared bits and adds them to the pending marks of every cursor of this object. */
  #handOut(): void {
    const pending = this.#cursors.map((cursor) => cursor.pending);
    this.#ownDrains = (this.#ownDrains + 1) >>> 0;
    Atomics.add(this.#counters, 0, 1);
    const { words } = this;
    for (let word = 0; word < words.length; word++) {
      // Most words are zero, and a load keeps their cache lines shared between processors.
      if (Atomics.load(words, word) !== 0) {
        const bits = Atomics.exchange(words, word, 0);
        for (const marks of pending) {
          marks[word]! |= bits;
        }
      }
    }
    Atomics.add(this.#counters, 1, 1);
  }

  /** The marks of 32 pages for a cursor. */
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

/**
 * A consumer of the marks of a {@link DirtyBitmap}. Other consumers keep the marks that it takes.
 */
export class DirtyCursor {
  /**
   * The number of drains that other threads had begun when this cursor last took marks. Undefined
   * if such a drain was in progress, or if this cursor has not taken marks yet.
   */
  begun: number | undefined;
  readonly #length: number;
  readonly #collect: (cursor: DirtyCursor) => boolean;
  /** Marks that were cleared in the bitmap and that this cursor has not taken yet. */
  #pending: Uint32Array | null = null;

  /** Only {@link DirtyBitmap.dirtyCursor} calls it. @internal */
  constructor(length: number, collect: (cursor: DirtyCursor) => boolean) {
    this.#length = length;
    this.#collect = collect;
  }

  /** The marks that this cursor has not taken. @throws Error `ERR_OUT_OF_MEMORY`. @internal */
  get pending(): Uint32Array {
    return (this.#pending ??= newWords(this.#length));
  }

  /** @internal */
  pendingAt(word: number): number {
    return this.#pending === null ? 0 : this.#pending[word]!;
  }

  /** As {@link DirtyBitmap.drain}. */
  drain(): Uint32Array {
    return this.take().pages;
  }

  /**
   * As {@link DirtyCursor.drain}.
   *
   * @returns `whole` is true if the marks include every write since the last call. It is false for
   * the first call, after a drain by another thread, and if tracking stopped in between.
   */
  take(): { readonly pages: Uint32Array; readonly whole: boolean } {
    const whole = this.#collect(this);
    return { whole, pages: takePages(this.pending) };
  }

  /** Discards the current marks. */
  skip(): void {
    this.#collect(this);
    this.pending.fill(0);
  }
}

/** The pages whose bits are set in `words`, in ascending order. Clears the words. */
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

/** The number of set bits in a 32-bit word. */
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
