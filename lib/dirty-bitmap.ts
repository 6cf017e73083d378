import { isSharedArrayBuffer } from "node:util/types";
import { rangeError, typeError } from "./errors.js";
import { toAddress, toByteCount, type Gpa } from "./gpa.js";

/** Bytes per bit of a {@link DirtyBitmap}. */
export const PAGE_SIZE = 4096;

/** Page numbers are given out in a Uint32Array. */
const MAX_SIZE = PAGE_SIZE * 2 ** 32;

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
 */
export class DirtyBitmap {
  /** Bytes of RAM that the bits stand for. */
  readonly size: bigint;
  /** Number of pages, the last of which may be cut short. */
  readonly pages: number;

  // Private to TypeScript only, as in GuestMemory: marking is on the path of every tracked write.
  private readonly words: Uint32Array;
  private shared: boolean;
  /** How often marks were taken: in the word behind the bits, since every thread has to see it. */
  readonly #drains: Uint32Array;

  /**
   * @param size - Bytes of RAM, from 0 to 2^44.
   * @param buffer - Another bitmap's {@link DirtyBitmap.buffer}, to share its bits; fresh bits, none
   * of them set, where it is not given.
   * @throws TypeError, RangeError for an invalid size, or a buffer that is too small for it.
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
    const bits = sharedBits(buffer, (count + 1) * 4);
    this.words = new Uint32Array(bits, 0, count);
    this.#drains = new Uint32Array(bits, count * 4, 1);
  }

  /** Keeps `JSON.stringify` from writing out every bit: the RAM's size in bytes. */
  toJSON(): { type: "DirtyBitmap"; size: number } {
    return { type: "DirtyBitmap", size: Number(this.size) };
  }

  /**
   * The bits: bit `n % 32` of the little-endian 32-bit word `n / 32` is page `n`. One more
   * word follows, {@link DirtyBitmap.drains}. Give it to a worker, and there to the constructor.
   * Asking for it makes marks atomic from then on, which is slower.
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
   * How often the marks were taken by {@link DirtyBitmap.drain}, on whichever thread, modulo 2^32.
   * Whoever finds it at what it was left at knows that the marks are all that came since.
   */
  get drains(): number {
    return Atomics.load(this.#drains, 0);
  }

  /** Notes that writes may go unmarked from here on, or went so far. @internal */
  interrupt(): void {
    Atomics.add(this.#drains, 0, 1);
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
    return (Atomics.load(this.words, page >>> 5) & (1 << (page & 31))) !== 0;
  }

  /** How many pages are marked. */
  get count(): number {
    return this.#collect((word) => Atomics.load(this.words, word)).length;
  }

  /** The numbers of the marked pages, in order; they stay marked. */
  peek(): Uint32Array {
    return this.#collect((word) => Atomics.load(this.words, word));
  }

  /**
   * Takes all marks away and gives the numbers of the pages that had one, in order. Each 32 marks
   * are taken in one atomic step: a page that is written meanwhile is in this list or in the next.
   * Read the bytes of the pages only after the call.
   */
  drain(): Uint32Array {
    Atomics.add(this.#drains, 0, 1);
    return this.#collect((word) =>
      // Most words are zero, and only looking at one leaves it in every processor's cache.
      Atomics.load(this.words, word) === 0 ? 0 : Atomics.exchange(this.words, word, 0),
    );
  }

  #markPages(first: number, last: number): void {
    for (let page = first; page <= last;) {
      const bit = page % 32;
      const count = Math.min(32 - bit, last - page + 1);
      const bits = count === 32 ? 0xffff_ffff : ((1 << count) - 1) << bit;
      Atomics.or(this.words, Math.floor(page / 32), bits);
      page += count;
    }
  }

  /** The pages whose bits are set in the words that `take` gives. */
  #collect(take: (word: number) => number): Uint32Array {
    const pages: number[] = [];
    for (let word = 0; word < this.words.length; word++) {
      for (let bits = take(word); bits !== 0; bits &= bits - 1) {
        pages.push(word * 32 + (31 - Math.clz32(bits & -bits)));
      }
    }
    return Uint32Array.from(pages);
  }
}

function sharedBits(buffer: SharedArrayBuffer | undefined, bytes: number): SharedArrayBuffer {
  if (buffer === undefined) {
    return new SharedArrayBuffer(bytes);
  }
  if (!isSharedArrayBuffer(buffer)) {
    throw typeError("buffer must be a SharedArrayBuffer");
  }
  if (buffer.byteLength < bytes) {
    throw rangeError(`buffer must have at least ${bytes} bytes`);
  }
  return buffer;
}
