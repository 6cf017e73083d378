import { bytesOf, fastLength } from "../base/view.js";
import { inspect } from "node:util";
import type { GuestMemoryAccess } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import { Arena, arenaInternals, detach } from "./arena.js";
import * as bulk from "./bulk.js";
import { rangeError, typeError } from "../base/errors.js";
import type { AtomicLanes } from "../atomics/lane.js";
import { GeneralAccess } from "./general-access.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { toByteCount } from "../base/arguments.js";
import { MemoryMarks } from "./marks.js";
import { native, type Handle } from "../native/addon.js";
import { NativeAccess } from "../native/access.js";
import { GuestMemAccessResult } from "../base/result.js";
import { reserveStack } from "../base/stack.js";
import { newSharedBuffer, type SharedRam, sharedRamOf, viewOf } from "./shared-ram.js";
import { uncloneable } from "../base/uncloneable.js";
import { ViewAtomics } from "./atomics.js";
import { BYTE, checkSlots } from "../base/widths.js";
import { cutWindows, EMPTY_WINDOW, type Window } from "./windows.js";

/**
 * Guest physical RAM: `guest_memory_t` of Pound's header.
 *
 * The accessors of this class are the *view path*: TypeScript over the zero-copy buffer, which V8
 * inlines into the caller. Those of {@link GuestMemory.native} are the compiled C++ accessors over
 * the same bytes. The two agree on every value, result code and byte.
 *
 * The memory belongs to an {@link Arena}. Once the arena is reset or destroyed, or the memory is
 * destroyed, every access answers `ERROR_INTERNAL` and {@link GuestMemory.buffer} is detached.
 */
export class GuestMemory implements GuestMemoryAccess, Disposable {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The same RAM through N-API: each call runs the compiled C++ accessor. */
  readonly native: NativeAccess;

  // The fields below are private to TypeScript only: V8 folds a #private field of a memory that is
  // a constant of the caller less well, at a third more time per access. Writing to one from
  // outside cannot reach other memory, since every index is checked against its typed array.

  // The first window, flat for the hot path; empty once destroyed. Set once until then, so that V8
  // can take the arrays of a memory that it knows for constants.
  private u8: Uint8Array;
  private u16: Uint16Array;
  private u32: Uint32Array;
  private u64: BigUint64Array;
  private quads: number;
  /** As `quads`, for writes: 0 while they are to be marked. */
  private writeQuads: number;
  /** All that the hot path does not do. */
  private readonly general: GeneralAccess;
  // A property of the prototype, and so a constant to V8.
  declare private checkSlots: typeof checkSlots;
  static {
    this.prototype.checkSlots = checkSlots;
  }

  readonly #arena: Arena;
  readonly #ownsArena: boolean;
  readonly #handle: Handle;
  readonly #size: number;
  /** Whether the RAM is over a buffer of the caller's. */
  readonly #borrowed: boolean;
  readonly #forgetEnding: () => void;
  readonly #marks = new MemoryMarks(() => {
    this.writeQuads = this.#marks.dirty === null ? this.quads : 0;
    this.general.marksChanged();
  });
  readonly #shareable: SharedRam | null;
  #atomics: ViewAtomics | undefined;
  #exposed = false;
  #destroyed = false;

  private constructor(arena: Arena, ownsArena: boolean) {
    const { handle, owner, bytesAt, onEnding } = arenaInternals(arena);
    this.#handle = native.guestMemoryCreate(handle);
    this.#arena = arena;
    this.#ownsArena = ownsArena;
    this.#borrowed = owner !== null;
    this.#size = native.guestMemorySize(this.#handle);
    const base = native.guestMemoryOffset(this.#handle);
    const windows = cutWindows(this.#size, (start, length) => bytesAt(base + start, length));
    const { u8, u16, u32, u64, quads } = windows[0] ?? EMPTY_WINDOW;
    this.u8 = u8;
    this.u16 = u16;
    this.u32 = u32;
    this.u64 = u64;
    this.quads = quads;
    this.writeQuads = quads;
    this.general = new GeneralAccess(this.#size, windows, owner?.buffer ?? null, this.#marks);
    this.#shareable = sharedRamOf(owner, base, this.#size);
    this.#forgetEnding = onEnding(() => this.#end());
    this.native = new NativeAccess(
      this.#handle,
      this.size,
      u8,
      (address) => this.general.lost(address),
      this.#marks,
    );
    internals.set(this, {
      windows: () => this.general.windows,
      checkRange: (address, length) => this.general.checkRange(address, length),
      marks: this.#marks,
      atomicLanes: () => this.#viewAtomics().lanes,
    });
  }

  /**
   * Turns an arena into guest RAM (`guest_memory_create`): the descriptor is allocated from it, and
   * the RAM gets the entire remaining capacity.
   *
   * @throws TypeError where `arena` is no {@link Arena}; RangeError `ERR_ARENA_EXHAUSTED` where the
   * descriptor does not fit, for instance on an arena that guest RAM has consumed; Error
   * `ERR_DESTROYED`.
   */
  static create(arena: Arena): GuestMemory {
    return new GuestMemory(arena, false);
  }

  /**
   * Makes RAM of exactly `size` bytes, zeroed, on an arena of its own that is destroyed with it.
   *
   * Destroy it, or declare it with `using`, when it is no longer needed. RAM that is only dropped is
   * given back in a turn of the event loop after its collection: 300 memories of 16 MiB that are
   * filled and dropped in one loop take 4.8 GB at the peak, and 0.06 GB with `destroy()`.
   *
   * @param size - Bytes, from 0 to 2^53 - 1 less the descriptor.
   * @throws TypeError, RangeError for an invalid size; Error `ERR_OUT_OF_MEMORY`.
   */
  static allocate(size: Gpa): GuestMemory {
    const capacity = toByteCount(size, "size") + native.descriptorSize;
    const arena = Arena.create(capacity);
    try {
      return new GuestMemory(arena, true);
    } catch (error) {
      arena.destroy();
      throw error;
    }
  }

  /**
   * As {@link GuestMemory.allocate}, on a SharedArrayBuffer, so that other threads can
   * {@link GuestMemory.attach} to the RAM.
   *
   * @throws as {@link GuestMemory.allocate}.
   */
  static allocateShared(size: Gpa): GuestMemory {
    const bytes = toByteCount(size, "size");
    return new GuestMemory(Arena.over(newSharedBuffer(bytes + native.descriptorSize)), true);
  }

  /**
   * Opens RAM that another thread shares. The bytes are the same; the handle is this thread's own,
   * and so is its end: {@link GuestMemory.destroy} here leaves the RAM to the other threads.
   *
   * @param shared - What {@link GuestMemory.shareable} gave there.
   * @throws TypeError where it is something else; RangeError where it does not lie in its buffer.
   */
  static attach(shared: SharedRam): GuestMemory {
    const memory = new GuestMemory(Arena.over(viewOf(shared)), true);
    if (memory.#shareable?.offset !== shared.offset) {
      memory.destroy();
      throw rangeError("shared.offset is not where RAM starts");
    }
    return memory;
  }

  get size(): bigint {
    return BigInt(this.#size);
  }

  /** The arena that the RAM belongs to. */
  get arena(): Arena {
    return this.#arena;
  }

  /**
   * What {@link GuestMemory.attach} opens the same RAM by in another thread; it can be posted to
   * one. Null where the RAM does not lie in a SharedArrayBuffer, and once it has ended.
   */
  get shareable(): SharedRam | null {
    return this.#destroyed ? null : this.#shareable;
  }

  /**
   * Atomic access, for RAM that several threads use at once: JavaScript's `Atomics`, with the
   * checks and results of the accessors. {@link NativeAccess.atomics} is the same in C++.
   */
  get atomics(): GuestAtomicAccess {
    return this.#viewAtomics();
  }

  /** Whether the RAM is gone: destroyed, or its arena reset or destroyed. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /**
   * The RAM itself, not a copy: byte `i` is guest physical address `i`. Covers the first 4 GiB;
   * {@link GuestMemory.buffers} has the rest. Detached when the RAM ends, unless it is over memory
   * of the caller's. Empty once the RAM has ended.
   */
  get buffer(): Buffer {
    return this.buffers[0] ?? Buffer.alloc(0);
  }

  /** The RAM as one Buffer per 4 GiB: byte `i` of the nth is address `n * 2^32 + i`. */
  get buffers(): Buffer[] {
    this.#expose();
    return this.general.windows.map(({ u8 }) => bulk.asBuffer(u8));
  }

  /**
   * Ends the use of the RAM, and destroys the arena if {@link GuestMemory.allocate} made it.
   * Harmless the second time.
   */
  destroy(): void {
    reserveStack();
    this.#forgetEnding();
    this.#end();
    if (this.#ownsArena) {
      this.#arena.destroy();
    }
  }

  /** {@link GuestMemory.destroy}, for `using`. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Keeps `console.log(memory)` from printing gigabytes. */
  [inspect.custom](): string {
    return `GuestMemory { size: ${this.#size}, destroyed: ${this.#destroyed} }`;
  }

  /** Keeps `JSON.stringify` from writing out gigabytes: the size in bytes, and whether it ended. */
  toJSON(): { type: "GuestMemory"; size: number; destroyed: boolean } {
    return { type: "GuestMemory", size: this.#size, destroyed: this.#destroyed };
  }

  // The view path, written out per width: closures of one factory would share the type feedback
  // of all four typed arrays, and V8 would inline none of them. Every byte of bytecode counts, since
  // V8 stops inlining into a function that has been given 920 of them, so what is not a plain access
  // to the first window is left to `general`, which checks everything anew:
  //
  // - The round trip through the index refuses fractions, NaN, negatives, misaligned addresses and
  //   all of 4 GiB and above in one comparison.
  // - Once optimized, comparing an element with undefined costs nothing: it is the check that V8 makes
  //   of the index and of the buffer, which may have been detached behind our back. That is why stores
  //   look at the element first, and why nothing else asks for a length.
  // - `OK` is written as 0, which takes fewer bytes than a variable of the module.
  // - `instanceof` after an access to `out` is free too: V8 knows the type from there, where before it
  //   would walk the prototypes. So is `checkSlots` after that; what it throws is caught here, as what
  //   `out[0]` of null throws is, and `general` finds the error again, with its code.

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);
        const index = gpa >>> 0;
        if (index === gpa && index >>> 3 < this.quads) {
          const value = this.u8[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // No typed array: an error with a code follows.
    }
    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);
        const index = gpa >>> 1;
        if ((index << 1) >>> 0 === gpa && index >>> 2 < this.quads) {
          const value = this.u16[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // No typed array: an error with a code follows.
    }
    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);
        const index = gpa >>> 2;
        if ((index << 2) >>> 0 === gpa && index >>> 1 < this.quads) {
          const value = this.u32[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // No typed array: an error with a code follows.
    }
    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);
        const index = gpa >>> 3;
        if ((index << 3) >>> 0 === gpa && index < this.quads) {
          const value = this.u64[index];
          if (value !== undefined) {
            out[0] = value;
            return 0;
          }
        }
      }
    } catch {
      // No typed array: an error with a code follows.
    }
    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && (value & 0xff) === value) {
      const index = gpa >>> 0;
      const cells = this.u8;
      if (index === gpa && index >>> 3 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        return 0;
      }
    }
    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && (value << 16) >>> 16 === value) {
      const index = gpa >>> 1;
      const cells = this.u16;
      if (
        (index << 1) >>> 0 === gpa &&
        index >>> 2 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        return 0;
      }
    }
    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value >>> 0 === value) {
      const index = gpa >>> 2;
      const cells = this.u32;
      if (
        (index << 2) >>> 0 === gpa &&
        index >>> 1 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        return 0;
      }
    }
    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      !(value < 0n) &&
      !(value > MAX_U64)
    ) {
      const index = gpa >>> 3;
      const cells = this.u64;
      if ((index << 3) >>> 0 === gpa && index < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        return 0;
      }
    }
    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);
          const index = gpa >>> 3;
          const cells = this.u64;
          if ((index << 3) >>> 0 === gpa && index < this.writeQuads && cells[index] !== undefined) {
            cells[index] = value;
            return 0;
          }
        }
      }
    } catch {
      // No typed array: an error with a code follows.
    }
    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 0;
      if (index === gpa && index >>> 3 < this.quads) {
        const value = this.u8[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 1;
      if ((index << 1) >>> 0 === gpa && index >>> 2 < this.quads) {
        const value = this.u16[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const index = gpa >>> 2;
      if ((index << 2) >>> 0 === gpa && index >>> 1 < this.quads) {
        const value = this.u32[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readl(gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const index = gpa >>> 3;
      if ((index << 3) >>> 0 === gpa && index < this.quads) {
        const value = this.u64[index];
        if (value !== undefined) {
          return value;
        }
      }
    }
    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    if (typeof gpa === "number" && typeof value === "number" && (value & 0xff) === value) {
      const index = gpa >>> 0;
      const cells = this.u8;
      if (index === gpa && index >>> 3 < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        return;
      }
    }
    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    if (typeof gpa === "number" && typeof value === "number" && (value << 16) >>> 16 === value) {
      const index = gpa >>> 1;
      const cells = this.u16;
      if (
        (index << 1) >>> 0 === gpa &&
        index >>> 2 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        return;
      }
    }
    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    if (typeof gpa === "number" && typeof value === "number" && value >>> 0 === value) {
      const index = gpa >>> 2;
      const cells = this.u32;
      if (
        (index << 2) >>> 0 === gpa &&
        index >>> 1 < this.writeQuads &&
        cells[index] !== undefined
      ) {
        cells[index] = value;
        return;
      }
    }
    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      !(value < 0n) &&
      !(value > MAX_U64)
    ) {
      const index = gpa >>> 3;
      const cells = this.u64;
      if ((index << 3) >>> 0 === gpa && index < this.writeQuads && cells[index] !== undefined) {
        cells[index] = value;
        return;
      }
    }
    this.general.writeq(gpa, value);
  }

  // #endregion

  // Bulk access: any alignment. One that does not fit in RAM faults as a whole and changes nothing.

  /**
   * Copies bytes out of RAM.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault} where a byte lies outside RAM; TypeError, RangeError.
   */
  read(gpa: Gpa, length: Gpa): Buffer {
    const count = toByteCount(length, "length");
    if (this.#inFirstWindow(gpa, count)) {
      const target = bulk.newBuffer(count);
      bulk.copyOut(this.u8, gpa, count, target);
      return target;
    }
    const start = this.general.locateRange(gpa, count, "read");
    const target = bulk.newBuffer(count);
    bulk.readInto(this.general.windows, start, target);
    return target;
  }

  /**
   * Copies bytes out of RAM into `target`, all of which is filled.
   *
   * @throws {@link GuestMemoryFault}, leaving `target` alone; TypeError; RangeError where `target` is
   * detached, or lies outside its buffer.
   */
  readInto(gpa: Gpa, target: ArrayBufferView): void {
    const length = fastLength(target);
    if (this.#inFirstWindow(gpa, length)) {
      bulk.copyOut(this.u8, gpa, length, target as Uint8Array);
      return;
    }
    const bytes = bytesOf(target, "target");
    bulk.readInto(this.general.windows, this.general.locateRange(gpa, bytes.length, "read"), bytes);
  }

  /**
   * Copies `source` into RAM. It may be a view of this RAM.
   *
   * @throws {@link GuestMemoryFault}; TypeError; RangeError where `source` is detached, or lies
   * outside its buffer.
   */
  write(gpa: Gpa, source: ArrayBufferView): void {
    const length = fastLength(source);
    if (this.#inFirstWindow(gpa, length)) {
      this.u8.set(source as Uint8Array, gpa);
      this.#marks.mark(gpa, length);
      return;
    }
    const bytes = bytesOf(source, "source");
    const start = this.general.locateRange(gpa, bytes.length, "write");
    bulk.write(this.general.windows, start, bytes);
    this.#marks.mark(start, bytes.length);
  }

  /**
   * Sets every byte of a range to `value`, from 0 to 255.
   *
   * @throws {@link GuestMemoryFault}; TypeError, RangeError.
   */
  fill(gpa: Gpa, length: Gpa, value: number): void {
    const count = toByteCount(length, "length");
    const byte = BYTE.checkValue(value);
    if (this.#inFirstWindow(gpa, count)) {
      this.u8.fill(byte, gpa, gpa + count);
      this.#marks.mark(gpa, count);
      return;
    }
    const start = this.general.locateRange(gpa, count, "write");
    bulk.fill(this.general.windows, start, count, byte);
    this.#marks.mark(start, count);
  }

  /**
   * Copies a range of RAM over another; the two may overlap.
   *
   * @throws {@link GuestMemoryFault} of the range that does not fit, the source first.
   */
  copy(target: Gpa, source: Gpa, length: Gpa): void {
    const count = toByteCount(length, "length");
    if (this.#inFirstWindow(source, count) && this.#inFirstWindow(target, count)) {
      this.u8.copyWithin(target, source, source + count);
      this.#marks.mark(target, count);
      return;
    }
    const from = this.general.locateRange(source, count, "read");
    const to = this.general.locateRange(target, count, "write");
    bulk.copy(this.general.windows, to, from, count);
    this.#marks.mark(to, count);
  }

  /**
   * Compares a range of RAM with `bytes`, as `Buffer.compare` does: -1, 0 or 1 as RAM sorts
   * before, equal to or after them.
   *
   * @throws {@link GuestMemoryFault}; TypeError; RangeError where `bytes` is detached, or lies outside
   * its buffer.
   */
  compare(gpa: Gpa, bytes: ArrayBufferView): -1 | 0 | 1 {
    const other = bytesOf(bytes, "bytes");
    return bulk.compare(
      this.general.windows,
      this.general.locateRange(gpa, other.length, "read"),
      other,
    );
  }

  /**
   * Finds the first occurrence of `needle` that lies whole within `[from, to)`.
   *
   * @param from - Where the search starts; 0 by default.
   * @param to - Where it ends; the end of RAM by default.
   * @returns The guest physical address, or null where there is none. An empty needle is found at
   * `from`.
   * @throws {@link GuestMemoryFault} where the range does not fit in RAM; TypeError; RangeError
   * where it ends before it starts, or where `needle` is detached, or lies outside its buffer.
   */
  indexOf(needle: ArrayBufferView | number, from: Gpa = 0, to: Gpa = this.#size): number | null {
    const bytes =
      typeof needle === "number"
        ? Uint8Array.of(BYTE.checkValue(needle))
        : bytesOf(needle, "needle");
    const length = bulk.rangeLength(from, to);
    const start = this.general.locateRange(from, length, "read");
    return bulk.indexOf(this.general.windows, start, length, bytes);
  }

  /**
   * A view of a range of RAM: no copy, and writes go through. It is detached when the RAM ends,
   * unless it is over memory of the caller's.
   *
   * @throws {@link GuestMemoryFault}; RangeError also where the range crosses a multiple of 4 GiB,
   * which no Buffer can span.
   */
  slice(gpa: Gpa, length: Gpa): Buffer {
    const count = toByteCount(length, "length");
    const view = bulk.slice(
      this.general.windows,
      this.general.locateRange(gpa, count, "read"),
      count,
    );
    this.#expose();
    return view;
  }

  /** Code outside this package is about to get a buffer over the RAM. */
  #expose(): void {
    if (!this.#exposed && !this.#borrowed) {
      for (const { u8 } of this.general.windows) {
        native.handOut(u8.buffer as ArrayBuffer);
      }
    }
    this.#exposed = true;
  }

  /** Whether a bulk access is a plain one: not empty, and all of it in the first window. */
  #inFirstWindow(gpa: Gpa, length: number): gpa is number {
    return (
      typeof gpa === "number" && gpa >>> 0 === gpa && length !== 0 && gpa + length <= this.u8.length
    );
  }

  #viewAtomics(): ViewAtomics {
    const { native, general } = this;
    return (this.#atomics ??= new ViewAtomics(native.atomicLanes, general.windows, this.#marks));
  }

  /** Makes every access answer `ERROR_INTERNAL` from here on. The caller has reserved the stack. */
  #end(): void {
    this.#marks.changing();
    native.guestMemoryDestroy(this.#handle);
    this.#destroyed = true;
    // Detaching slows every typed array access of the process a little, for good, so it is done
    // only where someone outside may hold a view. The pages outlive the views either way.
    if (this.#exposed && !this.#borrowed) {
      for (const { u8 } of this.general.windows) {
        detach(u8.buffer as ArrayBuffer);
      }
    }
    const { u8, u16, u32, u64, quads } = EMPTY_WINDOW;
    this.u8 = u8;
    this.u16 = u16;
    this.u32 = u32;
    this.u64 = u64;
    this.quads = quads;
    this.writeQuads = quads;
    this.general.end();
    this.#atomics?.end();
  }
}

/** The parts of a {@link GuestMemory} that an address space is built on; not public. */
export interface GuestMemoryInternals {
  /** The RAM cut into windows; none once it has ended. */
  windows(): readonly Window[];
  /** What an access to a range comes to, but for its alignment. */
  checkRange(address: number, length: number): GuestMemAccessResult;
  /** Where writes are marked; tells those who map the RAM before it ends. */
  readonly marks: MemoryMarks;
  /** The lanes of the view path's atomics. */
  atomicLanes(): AtomicLanes;
}

const internals = new WeakMap<GuestMemory, GuestMemoryInternals>();

/** Whether a value was made by {@link GuestMemory}. */
export function isGuestMemory(value: unknown): value is GuestMemory {
  return internals.has(value as GuestMemory);
}

/**
 * The internals of guest RAM.
 *
 * @throws TypeError where `memory` was not made by {@link GuestMemory}.
 */
export function guestMemoryInternals(memory: GuestMemory): GuestMemoryInternals {
  const found = internals.get(memory);
  if (found === undefined) {
    throw typeError("memory must be a GuestMemory");
  }
  return found;
}
