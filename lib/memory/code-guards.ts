import { PAGE_SIZE, pageAt } from "../base/page.js";
import { PageIndex } from "../base/page-index.js";

/** Bytes of one memory that a guard of translated code protects. */
export interface GuardedBytes {
  /** Offset of the first byte from the start of the memory. */
  readonly offset: number;
  /** The offset after the last byte. */
  readonly end: number;
  /** Whether the guard still waits for its first write. */
  readonly armed: boolean;
  /** Disarms the guard and calls its listener. The range is that of the write. */
  call(offset: number, end: number): void;
  /** Disarms the guard without a call. */
  disarm(): void;
}

/** The pages on each side of an offset that `gapAt` searches for guarded bytes. */
const SEARCHED = 16;

/** The guarded bytes of one memory. */
export class CodeGuards {
  readonly #index = new PageIndex<GuardedBytes>();

  get isEmpty(): boolean {
    return this.#index.isEmpty;
  }

  add(bytes: GuardedBytes): void {
    this.#index.add(bytes, pageAt(bytes.offset), pageAt(bytes.end - 1));
  }

  delete(bytes: GuardedBytes): void {
    this.#index.delete(bytes, pageAt(bytes.offset), pageAt(bytes.end - 1));
  }

  /** Disarms all guards without a call. */
  disarm(): void {
    for (const bytes of this.#index.values()) {
      bytes.disarm();
    }
  }

  /**
   * Calls the guards of the bytes of a write that will not fault. Call it before the write.
   *
   * @param length - Bytes, at least 1.
   * @returns Whether a guard was called. Its listener may have destroyed the memory.
   * @throws What a listener throws. The guards that were not called yet stay armed.
   */
  call(offset: number, length: number): boolean {
    const end = offset + length;
    const touching = this.#index.touching(pageAt(offset), pageAt(end - 1));
    let called = false;
    for (let i = 0; i < touching.length; i++) {
      const bytes = touching[i]!;
      // An earlier listener may have removed the guard.
      if (bytes.armed && bytes.offset < end && bytes.end > offset) {
        bytes.call(offset, end);
        called = true;
      }
    }
    return called;
  }

  /**
   * A range of bytes without a guard around an offset: at most 33 pages. Null if the byte at
   * `offset` is guarded.
   */
  gapAt(offset: number): { low: number; high: number } | null {
    const page = pageAt(offset);
    let low = (page - SEARCHED) * PAGE_SIZE;
    let high = (page + SEARCHED + 1) * PAGE_SIZE;
    for (const { offset: start, end } of this.#index.at(page)) {
      if (start > offset) {
        high = Math.min(high, start);
      } else if (end <= offset) {
        low = Math.max(low, end);
      } else {
        return null;
      }
    }
    for (let at = page - 1; at * PAGE_SIZE >= low; at--) {
      for (const { end } of this.#index.at(at)) {
        low = Math.max(low, end);
      }
    }
    for (let at = page + 1; at * PAGE_SIZE < high; at++) {
      for (const { offset: start } of this.#index.at(at)) {
        high = Math.min(high, start);
      }
    }
    return { low, high };
  }
}
