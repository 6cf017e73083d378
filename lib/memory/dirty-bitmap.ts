import { newShared, requireShared } from "../base/bytes.js";
import { ARCHITECTURE } from "../base/host.js";
import { isSharedArrayBuffer } from "../base/type-checks.js";
import { PAGE_SIZE } from "../base/page.js";
import { destroyedError, outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { toAddress, toByteCount } from "../base/arguments.js";
import { reserveStack } from "../native/stack.js";

/** Page numbers must fit in a Uint32Array. */
const MAX_SIZE = PAGE_SIZE * 2 ** 32;

/** Pages whose marks lie in one 32-bit word. */
const PAGES_PER_WORD = 4;

/** Words that one call of a loop handles. */
const BLOCK = 1024;

/** A word whose pages are all marked. */
const ALL = 0x0101_0101;

/** Words after the marks: the numbers of drains that all threads have begun and have ended. */
const COUNTERS = 2;

/** Whether the processor makes the stores of a thread visible to others in program order. */
const KEEPS_STORE_ORDER = ["x64", "ia32"].includes(ARCHITECTURE);

/** A byte for each page, and the same bytes as 32-bit words. 1 is a mark. */
interface Marks {
  /**
   * Empty if the bytes do not start at a multiple of 4. Otherwise, less than 4 bytes may be left.
   */
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
}

/** What sets the marks of a bitmap. */
export interface MarkWriter {
  /** Called after `plainMarks` has become null. The caller has reserved the stack. */
  marksChanged(): void;
  /**
   * Sets the marks of the pages, among those from `first` to before `end`, whose writes the
   * operating system has seen since the last call.
   */
  collect(marks: Uint8Array, first: number, end: number): void;
  /** Called before other threads get the marks. It may throw, to refuse that. */
  sharing(): void;
}

/** A weak reference to a writer: a `WeakRef`, which the `lib` of a consumer need not declare. */
export interface MarkWriterReference {
  deref(): MarkWriter | undefined;
}

/**
 * Tracks which pages of a block of RAM were written, with one byte for each page of 4096 bytes: 1
 * is a mark.
 *
 * A page is marked after its bytes were written, even if it is marked already, and
 * {@link DirtyBitmap.drain} clears the marks before its caller reads the bytes. Therefore a write
 * that one drain misses is in the next drain, on whichever threads the write and the drains run.
 *
 * That needs the two stores of a writer to become visible in their order, first the bytes and then
 * the mark. If a drain then finds the mark, its caller also finds the bytes. If it does not, the
 * mark becomes visible later and remains for the next drain. Within a thread, the order always
 * holds. Between threads, two parts keep it:
 *
 * - The processor: x86 makes stores visible in program order (TSO), so a plain store of a byte is
 *   enough. On other processors, marks are `Atomics.store` once {@link DirtyBitmap.buffer} was
 *   read, that is, once another thread can have the marks.
 * - The compiler: JavaScript permits engines to reorder plain stores, but V8 does not. Its
 *   compilers keep the stores of a function in one chain of effects, and emit them in this order.
 *   They remove a store only if a later one overwrites it, so the last mark always follows the last
 *   bytes.
 *
 * A mark that was found set must be stored again: another thread may be about to clear it, and may
 * read the page before the write of this processor becomes visible.
 *
 * Each consumer has a {@link DirtyCursor}. Marks that one cursor takes stay for the others, among
 * them those of snapshots and that of {@link DirtyBitmap.drain}.
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
  /** Bytes of RAM that the marks stand for. */
  readonly size: bigint;
  /** The number of pages. The last page may be shorter than 4096 bytes. */
  readonly pages: number;

  // TypeScript's private instead of #private, as in GuestMemory, for the speed of every mark.
  private readonly bytes: Uint8Array;
  /** Whether marks have to be atomic. */
  private atomic: boolean;
  readonly #marks: Marks;
  #shared: boolean;
  /** The memories that set marks here, and their marks in the array of an arena; null for none. */
  readonly #writers = new Map<MarkWriterReference, Marks | null>();
  /** Whether a memory has stopped to set marks here. */
  #stopped = false;
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
   * @param buffer - The {@link DirtyBitmap.buffer} of another bitmap, to share its marks. By
   * default the bitmap has its own, all clear. They reserve a byte for each page, so 2^32 bytes for
   * the largest size; the system provides their memory when pages are first marked.
   * @throws TypeError, RangeError for an invalid size; TypeError if `buffer` is not a
   * SharedArrayBuffer; RangeError if it is too small; Error `ERR_OUT_OF_MEMORY` if the system or
   * the runtime refuses so many bytes.
   */
  constructor(size: Gpa, buffer?: SharedArrayBuffer) {
    const bytes = toByteCount(size, "size");
    if (bytes > MAX_SIZE) {
      throw rangeError("size must be at most 2^44");
    }
    this.size = BigInt(bytes);
    this.pages = Math.ceil(bytes / PAGE_SIZE);
    const words = Math.ceil(this.pages / PAGES_PER_WORD);
    this.#shared = buffer !== undefined;
    this.atomic = this.#shared && !KEEPS_STORE_ORDER;
    const shared = sharedMarks(buffer, (words + COUNTERS) * 4);
    this.#marks = marksIn(shared, words);
    this.bytes = this.#marks.bytes;
    this.#counters = new Uint32Array(shared, words * 4, COUNTERS);
    this.#own = this.dirtyCursor();
  }

  /** The size of the RAM in bytes, for `JSON.stringify`, which would otherwise write every mark. */
  toJSON(): { type: "DirtyBitmap"; size: number } {
    return { type: "DirtyBitmap", size: Number(this.size) };
  }

  /**
   * The marks: byte `n` is 1 if page `n` is marked, otherwise 0. From the next multiple of 4 on,
   * two 32-bit words follow, which count drains. To share the marks, send the buffer to a worker
   * and pass it to the constructor there. After the first read of this property, marks are atomic
   * on processors other than x86, which is slower.
   *
   * Other threads cannot collect the writes that the operating system has seen. Therefore the first
   * read changes the tracking of a memory from `"os"` to `"software"` if `"auto"` has chosen it.
   *
   * @throws Error `ERR_TRACKING_UNAVAILABLE` if the tracking of the memory is `"os"` by demand;
   * Error `ERR_OUT_OF_MEMORY` in a runtime without SharedArrayBuffer.
   */
  get buffer(): SharedArrayBuffer {
    const buffer = requireShared(this.bytes.buffer);
    if (!this.#shared) {
      for (const writer of this.#writers.keys()) {
        writer.deref()?.sharing();
      }
      this.#share();
    }
    return buffer;
  }

  #share(): void {
    reserveStack();
    this.atomic = !KEEPS_STORE_ORDER;
    for (const [writer, arenaMarks] of this.#writers) {
      if (this.atomic || arenaMarks !== null) {
        writer.deref()?.marksChanged();
      }
    }
    this.#takeArenaMarks();
    this.#shared = true;
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

  /**
   * Call it before a memory sets marks here.
   *
   * @param arenaMarks - Where accesses set marks of the memory too, a byte for each page, until the
   * bitmap is shared; null for nowhere else. The marks that are there now are cleared.
   * @internal
   */
  attach(writer: MarkWriterReference, arenaMarks: Uint8Array | null): void {
    arenaMarks?.fill(0);
    this.#writers.set(writer, arenaMarks && wordsOf(arenaMarks));
    this.#interrupt(false);
  }

  /** Call it before a memory stops to set marks here. @internal */
  detach(writer: MarkWriterReference): void {
    this.#takeArenaMarks();
    this.#writers.delete(writer);
    this.#interrupt(true);
  }

  /**
   * Sets the marks of the pages whose writes the operating system has seen.
   *
   * @param first - The first page to look at.
   * @param end - The page after the last one to look at.
   * @internal
   */
  collect(first = 0, end = this.pages): void {
    for (const writer of this.#writers.keys()) {
      writer.deref()?.collect(this.bytes, first, end);
    }
  }

  /** Records that writes before this call, and after it if `stopped`, may be unmarked. */
  #interrupt(stopped: boolean): void {
    this.#stopped = stopped;
    Atomics.add(this.#counters, 0, 1);
    Atomics.add(this.#counters, 1, 1);
  }

  /**
   * The marks, byte `n` for page `n`, for fast paths that store 1 after the write to a page. Null
   * if a plain store does not suffice, so that only `markPage` can mark.
   *
   * @internal
   */
  get plainMarks(): Uint8Array | null {
    return this.atomic ? null : this.bytes;
  }

  /** Marks one page, after the write. The caller has checked the number. @internal */
  markPage(page: number): void {
    if (this.atomic) {
      Atomics.store(this.bytes, page, 1);
    } else {
      this.bytes[page] = 1;
    }
  }

  /** Whether another thread may mark and drain pages. @internal */
  get isShared(): boolean {
    return this.#shared;
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
    this.collect(page, page + 1);
    return this.#own.has(page) || this.#isMarkedInArena(page);
  }

  /** The number of marked pages. */
  get count(): number {
    return this.#own.count;
  }

  /**
   * The numbers of the marked pages, in ascending order. They stay marked.
   *
   * @throws RangeError if there are more page numbers than an array can hold.
   */
  peek(): Uint32Array {
    return this.#own.peek();
  }

  /**
   * Clears all marks and returns the numbers of the pages that were marked, in ascending order. A
   * page that is written during the call is in this result or in the next one. Read the bytes of
   * the pages only after the call.
   *
   * @throws RangeError if there are more page numbers than an array can hold. The pages stay marked
   * then.
   */
  drain(): Uint32Array {
    return this.#own.drain();
  }

  /**
   * Adds a consumer that gets the marks that are made from now on. Each consumer has an array of
   * its own, of a byte for each page, for the marks that others have taken and it has not.
   */
  dirtyCursor(): DirtyCursor {
    const cursor = new DirtyCursor(this.#marks, {
      refresh: () => this.#refresh(),
      collect: (of) => this.#collect(of),
      remove: (of) => void this.#cursors.splice(this.#cursors.indexOf(of), 1),
    });
    // The new cursor does not get the marks that exist now. For the first one there are none, or
    // they are those of other threads.
    if (this.#cursors.length > 0) {
      this.#collect(cursor);
    } else {
      cursor.begun = this.#begun();
    }
    this.#cursors.push(cursor);
    return cursor;
  }

  /**
   * Moves all marks from the shared bytes to every cursor of this object.
   *
   * @param cursor - The cursor that takes its marks next.
   * @returns Whether the marks of the cursor include every write since the last call for it.
   */
  #collect(cursor: DirtyCursor): boolean {
    // Read before the marks are moved: if another thread is draining now, it may take some of the
    // marks that are made from now on.
    const begun = this.#begun();
    this.#moveMarks();
    if (cursor !== this.#own) {
      this.#othersDrains = (this.#othersDrains + 1) >>> 0;
    }
    const whole = cursor.begun === this.#foreignDrains(0);
    cursor.begun = begun;
    return whole;
  }

  /**
   * The number of drains that other threads have begun. Undefined if marks may get lost from now
   * on: such a drain is in progress, or no memory sets marks.
   */
  #begun(): number | undefined {
    const begun = this.#foreignDrains(0);
    return begun === this.#foreignDrains(1) && !this.#stopped ? begun : undefined;
  }

  #foreignDrains(counter: 0 | 1): number {
    return (Atomics.load(this.#counters, counter) - this.#ownDrains) >>> 0;
  }

  /** Clears the shared marks and adds them to the pending marks of every cursor of this object. */
  #moveMarks(): void {
    this.#refresh();
    const pending = this.#cursors.map((cursor) => cursor.pending.words);
    this.#ownDrains = (this.#ownDrains + 1) >>> 0;
    Atomics.add(this.#counters, 0, 1);
    const { words } = this.#marks;
    let moved = false;
    for (let from = 0; from < words.length; from += BLOCK) {
      const to = Math.min(from + BLOCK, words.length);
      moved = moveBlock(words, { from, to }, pending, this.#shared) || moved;
    }
    if (moved) {
      for (const cursor of this.#cursors) {
        cursor.isPending = true;
      }
    }
    Atomics.add(this.#counters, 1, 1);
  }

  /** Moves the marks to `bytes` that the system and arenas have. */
  #refresh(): void {
    this.collect();
    this.#takeArenaMarks();
  }

  /** Moves marks from the arrays of arenas to `bytes`. */
  #takeArenaMarks(): void {
    if (this.#shared) {
      return;
    }
    for (const from of this.#writers.values()) {
      if (from !== null) {
        takeMarks(from, this.#marks);
      }
    }
  }

  #isMarkedInArena(page: number): boolean {
    return !this.#shared && [...this.#writers.values()].some((marks) => marks?.bytes[page] === 1);
  }

  #markPages(first: number, last: number): void {
    if (!this.atomic) {
      this.bytes.fill(1, first, last + 1);
      return;
    }
    for (let page = first; page <= last; page++) {
      Atomics.store(this.bytes, page, 1);
    }
  }
}

/** What a cursor asks of its bitmap. */
interface CursorSource {
  /** Moves marks to the array of the bitmap that the system or arenas have. */
  refresh(): void;
  /**
   * Moves all marks of the bitmap to its cursors. Returns whether those of this one are complete.
   */
  collect(cursor: DirtyCursor): boolean;
  /** Ends the use of the cursor. */
  remove(cursor: DirtyCursor): void;
}

/**
 * A consumer of the marks of a {@link DirtyBitmap}, such as a snapshotter, a display or a
 * migration. Each cursor gets every mark: other consumers keep the marks that it takes.
 *
 * @example
 *
 * ```ts
 * const memory = GuestMemory.allocate(64 * 1024);
 * const display = memory.dirtyCursor();
 * const migration = memory.dirtyCursor();
 * memory.writel(0x2000, 1);
 * const redraw = display.drain(); // Uint32Array [2]
 * const send = migration.drain(); // Uint32Array [2]
 * ```
 */
export class DirtyCursor implements Disposable {
  /**
   * The number of drains that other threads had begun when this cursor last took marks. Undefined
   * if marks may have got lost since.
   *
   * @internal
   */
  begun: number | undefined;
  /** Whether a mark is pending. @internal */
  isPending = false;
  readonly #marks: Marks;
  readonly #source: CursorSource;
  /**
   * Marks that were cleared in the bitmap and that this cursor has not taken yet, laid out as in
   * the bitmap.
   */
  #pending: Marks | null = null;
  #isComplete = true;
  #isClosed = false;

  /** @param marks - The marks of the bitmap. @internal */
  constructor(marks: Marks, source: CursorSource) {
    this.#marks = marks;
    this.#source = source;
  }

  /** @throws Error `ERR_OUT_OF_MEMORY`. @internal */
  get pending(): Marks {
    return (this.#pending ??= newMarks(this.#marks.words.length));
  }

  /**
   * The pages that were written since the last call, or since the cursor was made, in ascending
   * order. Pages are numbered from the start of the memory. Read their bytes only after the call: a
   * page that is written during the call is in this result or in the next one.
   *
   * @throws RangeError if there are more page numbers than an array can hold, which the cursor
   * keeps then; Error `ERR_DESTROYED` if the cursor is closed; Error `ERR_OUT_OF_MEMORY`.
   */
  drain(): Uint32Array {
    this.#collect();
    const pages = this.isPending ? pagesOf(this.pending, this.pending) : new Uint32Array(0);
    this.#clear();
    return pages;
  }

  /**
   * The pages that {@link DirtyCursor.drain} would return. They stay marked.
   *
   * @throws as {@link DirtyCursor.drain}.
   */
  peek(): Uint32Array {
    this.#refresh();
    return pagesOf(this.#marks, this.#pending ?? this.#marks);
  }

  /**
   * The number of pages that {@link DirtyCursor.drain} would return.
   *
   * @throws Error `ERR_DESTROYED` if the cursor is closed.
   */
  get count(): number {
    this.#refresh();
    return countOf(this.#marks, this.#pending ?? this.#marks);
  }

  /**
   * Whether the last {@link DirtyCursor.drain} returned all pages that had been written since the
   * one before it. It is false if a thread with the same {@link DirtyBitmap.buffer} has drained in
   * between, or if tracking of the memory has stopped. Then treat all pages as written.
   */
  get complete(): boolean {
    return this.#isComplete;
  }

  /**
   * Discards the current marks.
   *
   * @throws Error `ERR_DESTROYED` if the cursor is closed; Error `ERR_OUT_OF_MEMORY`.
   */
  skip(): void {
    this.#collect();
    this.#clear();
  }

  /** Ends the use of the cursor and frees its marks. A second call has no effect. */
  close(): void {
    if (!this.#isClosed) {
      this.#source.remove(this);
      this.#isClosed = true;
      this.#pending = null;
    }
  }

  /** As {@link DirtyCursor.close}, for `using` declarations. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** Whether a page is marked in the bitmap or pending. @internal */
  has(page: number): boolean {
    return this.#marks.bytes[page] !== 0 || (this.#pending?.bytes[page] ?? 0) !== 0;
  }

  #refresh(): void {
    this.#checkOpen();
    this.#source.refresh();
  }

  #collect(): void {
    this.#checkOpen();
    this.#isComplete = this.#source.collect(this);
  }

  #clear(): void {
    if (this.isPending) {
      this.pending.words.fill(0);
      this.isPending = false;
    }
  }

  #checkOpen(): void {
    if (this.#isClosed) {
      throw destroyedError("the cursor is closed");
    }
  }
}

// The loops below run in functions of a block each, so that V8 compiles them after some calls. It
// would compile a long loop only while it runs, and again when it meets the first mark.

interface Block {
  /** The first word. */
  readonly from: number;
  /** The word after the last one. */
  readonly to: number;
}

/**
 * Clears marks and adds them to those of each consumer.
 *
 * @param shared - Whether other threads may set and clear the marks at the same time.
 * @returns Whether there were marks.
 */
function moveBlock(
  words: Uint32Array,
  { from, to }: Block,
  pending: readonly Uint32Array[],
  shared: boolean,
): boolean {
  let moved = false;
  for (let word = from; word < to; word++) {
    // Most words are 0. A plain load is enough to see that: a mark that it misses was not set
    // before this call, and stays.
    let marks = words[word]!;
    if (marks !== 0) {
      if (shared) {
        marks = Atomics.exchange(words, word, 0);
      } else {
        words[word] = 0;
      }
      for (let i = 0; i < pending.length; i++) {
        pending[i]![word]! |= marks;
      }
      moved = true;
    }
  }
  return moved;
}

/** Moves marks to an array that no other thread has. */
function takeMarks(from: Marks, to: Marks): void {
  const { words, bytes } = from;
  for (let word = 0; word < words.length; word += BLOCK) {
    takeBlock(words, to.words, { from: word, to: Math.min(word + BLOCK, words.length) });
  }
  const rest = words.length * PAGES_PER_WORD;
  for (let page = rest; page < bytes.length; page += BLOCK) {
    takeBlock(bytes, to.bytes, { from: page, to: Math.min(page + BLOCK, bytes.length) });
  }
}

function takeBlock<T extends Uint8Array | Uint32Array>(marks: T, target: T, block: Block): void {
  for (let i = block.from; i < block.to; i++) {
    const found = marks[i]!;
    if (found !== 0) {
      marks[i] = 0;
      target[i]! |= found;
    }
  }
}

/** The number of pages that are marked in one of two arrays, which may be the same. */
function countOf({ words }: Marks, others: Marks): number {
  let count = 0;
  for (let from = 0; from < words.length; from += BLOCK) {
    const to = Math.min(from + BLOCK, words.length);
    count += countBlock(words, others.words, { from, to });
  }
  return count;
}

function countBlock(marks: Uint32Array, others: Uint32Array, { from, to }: Block): number {
  let count = 0;
  for (let word = from; word < to; word++) {
    const cells = marks[word]! | others[word]!;
    if (cells === ALL) {
      count += PAGES_PER_WORD;
    } else if (cells !== 0) {
      count +=
        Number((cells & 0xff) !== 0) +
        Number((cells & 0xff00) !== 0) +
        Number((cells & 0xff_0000) !== 0) +
        Number((cells & 0xff00_0000) !== 0);
    }
  }
  return count;
}

/** The pages that are marked in one of two arrays, which may be the same, in ascending order. */
function pagesOf(marks: Marks, others: Marks): Uint32Array {
  const pages = newPages(countOf(marks, others));
  const { length } = marks.words;
  let count = 0;
  // Other threads may have set and cleared marks since they were counted.
  for (let from = 0; from < length && count < pages.length; from += BLOCK) {
    const to = Math.min(from + BLOCK, length);
    count = listBlock(marks, others, { from, to }, pages, count);
  }
  return count < pages.length ? pages.slice(0, count) : pages;
}

/** Stores the marked pages in `pages` from the index `at` on, and returns the index after them. */
function listBlock(
  marks: Marks,
  others: Marks,
  { from, to }: Block,
  pages: Uint32Array,
  at: number,
): number {
  for (let word = from; word < to; word++) {
    const cells = marks.words[word]! | others.words[word]!;
    const page = word * PAGES_PER_WORD;
    if (cells === ALL) {
      pages[at] = page;
      pages[at + 1] = page + 1;
      pages[at + 2] = page + 2;
      pages[at + 3] = page + 3;
      at += PAGES_PER_WORD;
    } else if (cells !== 0) {
      for (let i = page; i < page + PAGES_PER_WORD; i++) {
        if ((marks.bytes[i]! | others.bytes[i]!) !== 0) {
          pages[at++] = i;
        }
      }
    }
  }
  return at;
}

function newPages(count: number): Uint32Array {
  try {
    return new Uint32Array(count);
  } catch {
    throw rangeError(`${count} page numbers are more than one array can hold here`);
  }
}

function newMarks(words: number): Marks {
  try {
    return marksIn(new ArrayBuffer(words * 4), words);
  } catch {
    throw outOfMemoryError("the runtime has no room for the marks of a bitmap of this size");
  }
}

function marksIn(buffer: ArrayBufferLike, words: number): Marks {
  return { words: new Uint32Array(buffer, 0, words), bytes: new Uint8Array(buffer, 0, words * 4) };
}

/** Marks that an array has already. */
function wordsOf(bytes: Uint8Array): Marks {
  const { buffer, byteOffset } = bytes;
  const count = byteOffset % 4 === 0 ? Math.floor(bytes.length / 4) : 0;
  return { words: new Uint32Array(buffer, count === 0 ? 0 : byteOffset, count), bytes };
}

function sharedMarks(buffer: SharedArrayBuffer | undefined, bytes: number): SharedArrayBuffer {
  if (buffer === undefined) {
    try {
      return newShared(bytes);
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
