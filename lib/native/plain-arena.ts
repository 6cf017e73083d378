import { busyError, outOfMemoryError } from "../base/errors.js";
import { PAGE_SIZE } from "../base/page.js";
import { extentOf } from "../base/view.js";

/** The most bytes of one array over an arena: every runtime permits that many. */
const CHUNK = 2 ** 30;

/** How often a fork copies the pages again that other threads write. */
const ATTEMPTS = 100;

/** The position of guest RAM in its arena, in bytes. */
export class PlainMemory {
  constructor(
    readonly offset: number,
    readonly size: number,
  ) {}
}

/** A linear allocator over a buffer of the runtime: `SharedArena` of the addon. */
export class PlainArena {
  /** Bytes allocated, including padding. */
  used = 0;
  #view: DataView | null;
  readonly #detachInTheEnd: boolean;
  /** The bytes at the last fork. Clones share it, and nothing writes it after that fork. */
  #base: ArrayBuffer | null = null;

  constructor(view: DataView, detachInTheEnd: boolean) {
    this.#view = view;
    this.#detachInTheEnd = detachInTheEnd;
    this.#capacity = view.byteLength;
  }

  #capacity: number;

  /** Bytes of the buffer; 0 after `destroy`. */
  get capacity(): number {
    return this.#capacity;
  }

  /** Whether the arena has its bytes: it is not destroyed, and the buffer is not detached. */
  get isUsable(): boolean {
    return this.#view !== null && extentOf(this.#view) !== null;
  }

  /**
   * Allocates a block. Its alignment is that of the offset in the buffer, because JavaScript does
   * not see the address of the buffer.
   *
   * @returns The offset in the arena; null if too few bytes are left.
   */
  allocate(size: number, alignment: number): number | null {
    const next = this.#view!.byteOffset + this.used;
    const padding = (alignment - (next % alignment)) % alignment;
    const room = this.#capacity - this.used;
    if (padding > room || size > room - padding) {
      return null;
    }
    const offset = this.used + padding;
    this.used = offset + size;
    return offset;
  }

  reset(): void {
    this.used = 0;
    this.#base = null;
  }

  destroy(): void {
    if (this.#detachInTheEnd && this.isUsable) {
      detachBuffer(this.#view!.buffer as ArrayBuffer);
    }
    this.#view = null;
    this.#base = null;
    this.#capacity = 0;
    this.used = 0;
  }

  /** Makes the present bytes those that `revert` restores. @throws Error `ERR_BUSY`. */
  rebase(): void {
    if (this.#base !== null && this.#differing(this.#base).next().done === true) {
      return;
    }
    const base = newBuffer(this.#capacity);
    for (let start = 0; start < this.#capacity; start += CHUNK) {
      const length = Math.min(CHUNK, this.#capacity - start);
      new Uint8Array(base, start, length).set(this.#bytes(start, length));
    }
    // Other threads may write to shared memory. After a look that finds no difference, the copy has
    // the bytes of one moment.
    if (!(this.#view!.buffer instanceof ArrayBuffer)) {
      this.#settle(base);
    }
    this.#base = base;
  }

  /**
   * Copies the bytes and allocations to an arena of the same size.
   *
   * @throws Error `ERR_OUT_OF_MEMORY`, `ERR_BUSY`.
   */
  forkInto(clone: PlainArena): void {
    this.rebase();
    const base = this.#base!;
    for (let start = 0; start < this.#capacity; start += CHUNK) {
      const length = Math.min(CHUNK, this.#capacity - start);
      clone.#bytes(start, length).set(new Uint8Array(base, start, length));
    }
    clone.used = this.used;
    clone.#base = base;
  }

  /**
   * The offset and the length of the bytes, from the first to the last one that differs, of each
   * page of a range that has other bytes than at the last fork. Null if there was no fork.
   */
  changes(offset: number, length: number): Float64Array | null {
    return this.#base === null
      ? null
      : Float64Array.from(this.#differing(this.#base, offset, offset + length));
  }

  /** As `changes`, and gives the bytes the values that they had at the last fork. */
  revert(offset: number, length: number): Float64Array | null {
    const parts = this.changes(offset, length);
    for (let i = 0; parts !== null && i < parts.length; i += 2) {
      const [start, bytes] = [parts[i]!, parts[i + 1]!];
      this.#bytes(start, bytes).set(new Uint8Array(this.#base!, start, bytes));
    }
    return parts;
  }

  /** Copies the pages that differ until none does. */
  #settle(copy: ArrayBuffer): void {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const parts = [...this.#differing(copy)];
      if (parts.length === 0) {
        return;
      }
      for (let i = 0; i < parts.length; i += 2) {
        const [start, bytes] = [parts[i]!, parts[i + 1]!];
        new Uint8Array(copy, start, bytes).set(this.#bytes(start, bytes));
      }
    }
    throw busyError("other threads write to the memory all the time");
  }

  /** The offset and the length of the part of each page that differs from a copy of the arena. */
  *#differing(copy: ArrayBuffer, from = 0, to = this.#capacity): Generator<number> {
    for (let start = from; start < to;) {
      const end = Math.min(start - (start % PAGE_SIZE) + PAGE_SIZE, to);
      const here = this.#bytes(start, end - start);
      const there = new Uint8Array(copy, start, end - start);
      let first = 0;
      let last = here.length;
      while (first < last && here[first] === there[first]) {
        first++;
      }
      if (first < last) {
        while (here[last - 1] === there[last - 1] && last > first + 1) {
          last--;
        }
        yield start + first;
        yield last - first;
      }
      start = end;
    }
  }

  #bytes(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#view!.buffer, this.#view!.byteOffset + offset, length);
  }
}

function detachBuffer(buffer: ArrayBuffer & { transfer?: (length: number) => ArrayBuffer }): void {
  // Chromium clones no buffer of more than 2 GiB, and Node 20 lacks `transfer`.
  if (buffer.transfer === undefined) {
    structuredClone(buffer, { transfer: [buffer] });
  } else {
    buffer.transfer(0);
  }
}

function newBuffer(bytes: number): ArrayBuffer {
  try {
    return new ArrayBuffer(bytes);
  } catch {
    throw outOfMemoryError("the runtime has no memory for a fork");
  }
}
