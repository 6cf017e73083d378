import { newShared } from "../base/bytes.js";
import { rangeError, typeError } from "../base/errors.js";
import { native, type Handle } from "../native/addon.js";

/** Addresses from here on take the slow path. */
export const MAX_END = 2 ** 32;

/** The most pages on each side of an address that one access opens. */
const MAX_OPENED = 2 ** 15;

/**
 * The entries of a table without pages. They cover 4 GiB of pages of 4096 bytes, because V8 makes
 * an accessor slower for the whole process once its index into the table was out of bounds. They
 * take no memory, because nothing writes them.
 */
export const NO_ENTRIES: Int32Array = new Int32Array(newShared(2 ** 22));

/** Bytes of a page of the table, if the options name no other size. */
export const DEFAULT_PAGE_SIZE = 4096;

/**
 * The page table of an address space: for each page of guest physical addresses below 4 GiB, the
 * place of its bytes in the home buffer. The home buffer is the one buffer that the fast paths
 * access.
 *
 * There is one table for reads and one for writes. An entry is 0 if accesses to the page take the
 * slow path: a hole, a device, a watched page, memory outside the home buffer, a page that belongs
 * to several regions, or, for writes, a page that the guest cannot write. Any other entry is the
 * distance in bytes from a guest physical address of the page to its place in the home buffer,
 * modulo 2^32, with all bits inverted. All pages of a window have the same entry. A distance is a
 * multiple of 8, so that the lowest three bits of an inverted entry are 0, or 1 for the slow path.
 *
 * The entries lie in SharedArrayBuffers, which JavaScript can neither detach nor resize, so that
 * C++ can keep pointers to them.
 */
export class PageTable {
  /** log2 of the bytes of a page. */
  readonly shift: number;
  readonly reads: Int32Array;
  readonly writes: Int32Array;
  /** The first address that the table does not cover. */
  readonly end: number;
  /** The number of the table in the call block of the addon. */
  readonly number: number;
  readonly handle: Handle;
  readonly #pageSize: number;
  #fetches: Int32Array | null = null;

  /**
   * @param end - The table covers the addresses below it, as far as they lie below 4 GiB.
   * @param policy - The number of the access policy, for the native path.
   */
  constructor(pageSize: number, end: number, policy: number) {
    this.#pageSize = pageSize;
    this.shift = Math.log2(pageSize);
    const entries = Math.ceil(Math.min(end, MAX_END) / pageSize);
    this.end = entries * pageSize;
    this.reads = new Int32Array(newShared(4 * entries));
    this.writes = new Int32Array(newShared(4 * entries));
    this.handle = native.pageTableCreate(this.reads, this.writes, this.shift, policy);
    this.number = native.pageTableNumber(this.handle);
  }

  /** Sets the memory that the entries lead to on the native path. The table must be clear. */
  setHome(memory: Handle): void {
    native.pageTableSetHome(this.handle, memory);
  }

  /**
   * Sets the array in which the native path marks the pages that it writes, a byte for each page of
   * the home buffer. It lies in a SharedArrayBuffer.
   */
  setMarks(marks: Uint8Array): void {
    native.pageTableSetMarks(this.handle, marks);
  }

  /**
   * The entries for instruction fetches, which only native cores use. They are made at the first
   * call.
   */
  get fetches(): Int32Array {
    if (this.#fetches === null) {
      this.#fetches = new Int32Array(newShared(4 * this.reads.length));
      native.pageTableSetFetches(this.handle, this.#fetches);
    }
    return this.#fetches;
  }

  /** Sets the entries of the pages that touch a range of addresses to the slow path. */
  clear(start: number, end: number): void {
    this.clearOf(this.reads, start, end);
    this.clearOf(this.writes, start, end);
  }

  /** As `clear`, for one of the two tables. With reads, this clears fetches too. */
  clearOf(entries: Int32Array, start: number, end: number): void {
    const first = Math.floor(start / this.#pageSize);
    const last = Math.ceil(Math.min(end, this.end) / this.#pageSize);
    fill(entries, 0, first, last);
    if (this.#fetches !== null && entries === this.reads) {
      fill(this.#fetches, 0, first, last);
    }
  }

  /**
   * Opens the pages around an address that have no entry, as far as they lie entirely in a range.
   *
   * @param distance - Bytes from the addresses to the bytes in the home buffer: a multiple of 8.
   */
  open(entries: Int32Array, address: number, start: number, end: number, distance: number): void {
    const page = Math.floor(address / this.#pageSize);
    const low = Math.max(Math.ceil(start / this.#pageSize), page - MAX_OPENED);
    const high = Math.min(Math.floor(Math.min(end, this.end) / this.#pageSize), page + MAX_OPENED);
    if (page < low || page >= high) {
      return;
    }
    let first = page;
    while (first > low && entries[first - 1] === 0) {
      first--;
    }
    let last = page + 1;
    while (last < high && entries[last] === 0) {
      last++;
    }
    fill(entries, ~distance, first, last);
  }
}

/** As `entries.fill`, which takes longer for a few elements than this loop. */
function fill(entries: Int32Array, value: number, first: number, last: number): void {
  if (last - first > 32) {
    entries.fill(value, first, last);
    return;
  }
  for (let page = first; page < last; page++) {
    entries[page] = value;
  }
}

/**
 * Checks the size of a page.
 *
 * @throws TypeError if it is not a number; RangeError if it is not a power of two from 256 to
 * 65536.
 */
export function checkPageSize(size: number): number {
  if (typeof size !== "number") {
    throw typeError("pageSize must be a number");
  }
  if (!(size >= 256 && size <= 65536 && Number.isInteger(Math.log2(size)))) {
    throw rangeError("pageSize must be a power of two from 256 to 65536");
  }
  return size;
}
