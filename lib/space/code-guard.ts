import { INSPECT } from "../base/inspect.js";
import { checkFunction, gpaAt, toAddress, toByteCount } from "../base/arguments.js";
import { rangeError } from "../base/errors.js";
import { MAX_U64, toBigInt, type Gpa } from "../base/gpa.js";
import { pageAt } from "../base/page.js";
import { hex } from "../base/printable.js";
import type { PageIndex } from "../base/page-index.js";
import type { GuardedBytes } from "../memory/code-guards.js";
import type { MemoryMarks } from "../memory/marks.js";

/** A change of guarded bytes. */
export interface CodeWrite {
  /** The first guest physical address of the guarded pages that changes. */
  readonly gpa: bigint;
  /** Bytes from `gpa` on, in the guarded pages, that change. */
  readonly length: number;
  /** `"write"`, or `"map"` if the addresses will show other memory, or none. */
  readonly cause: "write" | "map";
  /** The guard, which is disarmed. */
  readonly guard: CodeGuard;
}

/**
 * Called before guarded bytes change. If the listener throws, the write or the change of the map
 * throws the same error and does not happen. The guard is disarmed in any case.
 */
export type CodeWriteListener = (write: CodeWrite) => void;

/**
 * A guard of pages that hold translated code. Made by {@link AddressSpace.guardCode}.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 *
 * const space = new AddressSpace();
 * space.addRam(0, 65536);
 * const guard = space.guardCode(0x1000, 4, ({ gpa, length }) => {
 *   console.log("discard the code near", gpa, length);
 * });
 * console.log(guard.gpa, guard.length); // 4096n 4096n
 * space.writel(0x1ff0, 1); // discard the code near 8176n 4
 * space.writel(0x1ff0, 2);
 * console.log(guard.armed); // false
 * ```
 */
export class CodeGuard {
  readonly #listener: CodeWriteListener;
  readonly #table: PageIndex<CodeGuard>;
  /** The first guarded address: a number, if that is exact. @internal */
  readonly start: Gpa;
  /** Bytes. @internal */
  readonly bytes: number;
  /** The pages of 4096 bytes that the range touches. @internal */
  readonly firstPage: number;
  /** @internal */
  readonly lastPage: number;
  /** The parts of the range that were RAM or ROM when the guard was made. @internal */
  readonly parts: GuardPart[] = [];
  #armed = false;

  /**
   * @param pageSize - A power of two, to which the range is rounded.
   * @param table - The armed guards of the space, by guest physical page of 4096 bytes.
   * @internal
   */
  constructor(
    gpa: Gpa,
    length: Gpa,
    pageSize: number,
    listener: CodeWriteListener,
    table: PageIndex<CodeGuard>,
  ) {
    const address = toAddress(gpa);
    const count = toByteCount(length, "length");
    checkFunction(listener, "onWrite");
    if (count === 0) {
      throw rangeError("a guarded range must have at least 1 byte");
    }
    const end = address + count;
    if (Number.isSafeInteger(end + pageSize)) {
      const start = address - (address % pageSize);
      this.start = start;
      this.bytes = Math.ceil(end / pageSize) * pageSize - start;
    } else {
      const size = BigInt(pageSize);
      const start = BigInt(gpa) - (BigInt(gpa) % size);
      const last = BigInt(gpa) + BigInt(count) - 1n;
      if (last > MAX_U64) {
        throw rangeError("a guarded range must end at 2^64 or below");
      }
      this.start = start;
      this.bytes = Number(last - (last % size) + size - start);
    }
    this.firstPage = pageAt(this.start);
    this.lastPage = pageAt(gpaAt(this.start, this.bytes - 1));
    this.#listener = listener;
    this.#table = table;
  }

  /** First guest physical address of the guarded pages. */
  get gpa(): bigint {
    return BigInt(this.start);
  }

  /** Size of the guarded pages in bytes. */
  get length(): bigint {
    return BigInt(this.bytes);
  }

  /** Whether the guard waits for the first write. */
  get armed(): boolean {
    return this.#armed;
  }

  /** Disarms the guard without a call of its listener. A second call has no effect. */
  remove(): void {
    if (this.#armed) {
      this.#armed = false;
      this.#table.delete(this, this.firstPage, this.lastPage);
      for (const part of this.parts) {
        part.marks.unguard(part);
      }
    }
  }

  /** Keeps `console.log(guard)` short. */
  [INSPECT](): string {
    const { gpa, bytes: length, armed } = this;
    return `CodeGuard { gpa: ${hex(gpa)}, length: ${length}, armed: ${armed} }`;
  }

  /** Arms the guard, after all caches of its parts were dropped. @internal */
  arm(): void {
    this.#table.add(this, this.firstPage, this.lastPage);
    for (const part of this.parts) {
      part.marks.guard(part);
    }
    this.#armed = true;
  }

  /** Disarms the guard and calls its listener. @internal */
  call(gpa: Gpa, length: number, cause: "write" | "map"): void {
    this.remove();
    const listener = this.#listener;
    listener({ gpa: toBigInt(gpa), length, cause, guard: this });
  }
}

/** The bytes of one memory that a part of a guard's range shows. */
export class GuardPart implements GuardedBytes {
  constructor(
    private readonly guard: CodeGuard,
    private readonly gpa: Gpa,
    readonly marks: MemoryMarks,
    readonly offset: number,
    readonly end: number,
  ) {}

  get armed(): boolean {
    return this.guard.armed;
  }

  call(offset: number, end: number): void {
    const from = Math.max(offset, this.offset);
    const to = Math.min(end, this.end);
    this.guard.call(gpaAt(this.gpa, from - this.offset), to - from, "write");
  }

  disarm(): void {
    this.guard.remove();
  }
}
