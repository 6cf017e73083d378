import { bytesOf, fastLength } from "../base/view.js";
import { inspect } from "node:util";
import type { GuestMemoryAccess } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import { Arena, arenaInternals, detach } from "./arena.js";
import * as bulk from "./bulk.js";
import { rangeError, typeError } from "../base/errors.js";
import type { DirtyBitmap, DirtyCursor } from "./dirty-bitmap.js";
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
import { TrackedWrites } from "./tracked-writes.js";
import { uncloneable } from "../base/uncloneable.js";
import { ViewAtomics } from "./atomics.js";
import { BYTE, checkSlots } from "../base/widths.js";
import { PAGE_SIZE } from "../base/page.js";
import { cutWindows, EMPTY_WINDOW, WINDOW_SIZE, type Window } from "./windows.js";

const NO_MARKS = new Uint8Array(0);
/** Where the accessors of TrackedWrites set marks while the memory is not tracked. */
const UNREAD_MARKS = new Uint8Array(WINDOW_SIZE / PAGE_SIZE);

/**
 * Guest physical RAM: `guest_memory_t` of Pound's header.
 *
 * The accessors of this class are the *view path*: TypeScript over the zero-copy buffer, which V8
 * inlines into the caller. {@link GuestMemory.native} has the *native path*: the compiled C++
 * accessors over the same bytes. Both paths agree on every value, result code and byte.
 *
 * The memory belongs to an {@link Arena}. After the arena is reset or destroyed, or the memory is
 * destroyed, the result of every access is `ERROR_INTERNAL`, and {@link GuestMemory.buffer} is
 * detached.
 *
 * @example
 *
 * ```ts
 * using memory = GuestMemory.allocate(16 * 1024 * 1024);
 * memory.writel(0x1000, 0xdeadbeef);
 * const low = memory.readw(0x1000); // 0xbeef
 * const out = new Uint32Array(1);
 * const result = memory.tryReadl(0x1002, out); // GuestMemAccessResult.FAULT_UNALIGNED
 * ```
 */
export class GuestMemory implements GuestMemoryAccess, Disposable {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The native path to the same RAM: each call runs the compiled C++ accessor through N-API. */
  readonly native: NativeAccess;

  // The fields below use TypeScript's private. V8 constant-folds #private fields less well: an
  // access to a memory that is a constant of the caller would take a third more time. Code outside
  // the class that writes to a field cannot reach other memory, because the engine checks every
  // index against the typed array.

  // The fields of the first window, copied here for the hot path; empty after the RAM has ended.
  // Until then they are assigned only once, so that V8 can treat the arrays as constants.
  private u8: Uint8Array;
  private u16: Uint16Array;
  private u32: Uint32Array;
  private u64: BigUint64Array;
  private quads: number;
  /** As `quads`, for writes. 0 while writes are tracked, so that they take the slow path. */
  private writeQuads: number;
  /** The marks of the pages of the first window, which TrackedWrites sets. @internal */
  protected marks: Uint8Array = NO_MARKS;
  /** Makes the accesses that the hot path does not make. */
  private readonly general: GeneralAccess;
  // A property of the prototype, which V8 treats as a constant.
  declare private checkSlots: typeof checkSlots;
  static {
    this.prototype.checkSlots = checkSlots;
  }

  readonly #arena: Arena;
  readonly #ownsArena: boolean;
  readonly #handle: Handle;
  readonly #size: number;
  /** Whether the RAM lies in a buffer of the caller. */
  readonly #borrowed: boolean;
  readonly #forgetEnding: () => void;
  readonly #marks: MemoryMarks;
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
    this.#marks = new MemoryMarks(this.#size, () => this.#marksChanged());
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
   * Turns an arena into guest RAM (`guest_memory_create`): allocates the descriptor from it, then
   * all remaining bytes as RAM.
   *
   * @throws TypeError if `arena` is not an {@link Arena}; RangeError `ERR_ARENA_EXHAUSTED` if the
   * descriptor does not fit, for instance because the arena has guest RAM already; Error
   * `ERR_DESTROYED`.
   */
  static create(arena: Arena): GuestMemory {
    return new GuestMemory(arena, false);
  }

  /**
   * Allocates `size` bytes of zeroed RAM, in an arena that is destroyed together with the RAM.
   *
   * Call {@link GuestMemory.destroy} when the RAM is no longer needed, or declare it with `using`.
   * Without that, the memory is released in a turn of the event loop after the garbage collection:
   * 300 memories of 16 MiB that one loop fills and drops take 4.8 GB at the peak, and 0.06 GB with
   * `destroy()`.
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
   * Opens RAM that another thread shares. Both objects access the same bytes, but each ends on its
   * own: after {@link GuestMemory.destroy} here, the other threads can still use the RAM.
   *
   * @param shared - The {@link GuestMemory.shareable} of the memory in the other thread.
   * @throws TypeError if `shared` is not such a value; RangeError if the RAM does not lie in the
   * buffer.
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
   * The value to post to another thread, where {@link GuestMemory.attach} opens the same RAM. Null
   * if the RAM does not lie in a SharedArrayBuffer or has ended.
   */
  get shareable(): SharedRam | null {
    return this.#destroyed ? null : this.#shareable;
  }

  /**
   * Atomic accessors, for RAM that several threads use at the same time: JavaScript's `Atomics`
   * with the checks and results of the accessors. {@link NativeAccess.atomics} has the C++
   * versions.
   */
  get atomics(): GuestAtomicAccess {
    return this.#viewAtomics();
  }

  /** Whether the RAM has ended: it is destroyed, or its arena is reset or destroyed. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /**
   * The dirty bitmap of the memory: the pages that were written since the last drain. Null if the
   * memory is not tracked. All address spaces that map the memory mark their writes in it.
   */
  get dirty(): DirtyBitmap | null {
    return this.#marks.dirty;
  }

  /**
   * Starts dirty tracking. From now on, every write to the memory sets a mark: through its methods
   * on both paths, and through any region of any space that maps it. Writes to buffers of the memory
   * set none.
   *
   * @param bitmap - The bitmap to use, for instance one shared with other threads. By default the
   * bitmap that the memory already has, or a new one.
   * @returns The bitmap in use.
   * @throws TypeError; RangeError if the bitmap is for RAM of another size; Error
   * `ERR_OUT_OF_MEMORY`.
   */
  startTracking(bitmap?: DirtyBitmap): DirtyBitmap {
    const chosen = this.#marks.choose(bitmap);
    this.#marks.set(chosen);
    return chosen;
  }

  /** Stops dirty tracking. The cursors of the memory get no more marks. */
  stopTracking(): void {
    this.#marks.set(null);
  }

  /**
   * Adds a consumer of the dirty marks, which gets every page that is written from now on. Starts
   * dirty tracking if needed. Other cursors, snapshots and {@link DirtyBitmap.drain} do not take
   * its marks, nor it theirs.
   *
   * @throws Error `ERR_OUT_OF_MEMORY`.
   */
  dirtyCursor(): DirtyCursor {
    return this.startTracking().dirtyCursor();
  }

  /**
   * A view of the RAM, not a copy: byte `i` is guest physical address `i`. It covers the first 4
   * GiB; {@link GuestMemory.buffers} covers all of the RAM. When the RAM ends, it is detached,
   * unless the RAM lies in memory of the caller. Afterwards this property is an empty Buffer.
   */
  get buffer(): Buffer {
    return this.buffers[0] ?? Buffer.alloc(0);
  }

  /** Views of the RAM, one per 4 GiB: byte `i` of buffer `n` is address `n * 2^32 + i`. */
  get buffers(): Buffer[] {
    this.#expose();
    return this.general.windows.map(({ u8 }) => bulk.asBuffer(u8));
  }

  /**
   * Ends the use of the RAM. Destroys the arena too, unless the caller passed it to
   * {@link GuestMemory.create}. A second call has no effect.
   */
  destroy(): void {
    reserveStack();
    this.#forgetEnding();
    this.#end();
    if (this.#ownsArena) {
      this.#arena.destroy();
    }
  }

  /** As {@link GuestMemory.destroy}, for `using` declarations. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** The text that `console.log` prints, without the bytes of RAM. */
  [inspect.custom](): string {
    return `GuestMemory { size: ${this.#size}, destroyed: ${this.#destroyed} }`;
  }

  /** The value that `JSON.stringify` writes, without the bytes of RAM. The size is in bytes. */
  toJSON(): { type: "GuestMemory"; size: number; destroyed: boolean } {
    return { type: "GuestMemory", size: this.#size, destroyed: this.#destroyed };
  }

  // The accessors of the view path. The code is generated for each width: closures of one factory
  // would share the type feedback of all four typed arrays, and V8 would inline none of them. The
  // bytecode must be short, because V8 inlines at most 920 bytes of bytecode into one function.
  // Therefore these accessors only make number-addressed accesses to the first window. `general`
  // makes all others, and repeats all checks.
  //
  // - The comparison of the address with its shifted index refuses fractions, NaN, negative
  //   numbers, unaligned addresses and addresses of 4 GiB and above at once.
  // - In optimized code, the comparison of an element with undefined costs nothing: V8 must check
  //   the index and the buffer, which may be detached, in any case. Therefore stores read the
  //   element first, and no accessor reads a length.
  // - The result is the literal 0 instead of `OK`, which would take more bytes of bytecode.
  // - `instanceof` costs nothing after an access to an element of `out`, because V8 knows the type
  //   then. Before it, V8 would walk the prototype chain. `checkSlots` costs nothing after
  //   `instanceof`. The accessor catches what `checkSlots` or `out[0]` throws, and `general` throws
  //   the error with a code.

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
      // Not a typed array. The slow path throws an error with a code.
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
      // Not a typed array. The slow path throws an error with a code.
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
      // Not a typed array. The slow path throws an error with a code.
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
      // Not a typed array. The slow path throws an error with a code.
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
      // Not a typed array. The slow path throws an error with a code.
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

  // Bulk access, at any alignment. If the range does not lie in RAM, the access throws and changes
  // no byte.

  /**
   * Copies bytes out of RAM.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; TypeError, RangeError for an
   * invalid argument.
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
   * Fills all of `target` with bytes of RAM.
   *
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; TypeError, RangeError for an
   * invalid address; TypeError if `target` is not a view; RangeError if it is detached or lies
   * outside its buffer. `target` is unchanged after an error.
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
   * Copies `source`, which may be a view of this RAM, into RAM.
   *
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; TypeError, RangeError for an
   * invalid address; TypeError if `source` is not a view; RangeError if it is detached or lies
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
   * Sets every byte of a range to `value`.
   *
   * @param length - Bytes, from 0 to 2^53 - 1.
   * @param value - From 0 to 255.
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; TypeError, RangeError for an
   * invalid argument.
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
   * Copies a range of RAM to another address. The ranges may overlap.
   *
   * @param length - Bytes, from 0 to 2^53 - 1.
   * @throws {@link GuestMemoryFault} for a read if the source does not lie in RAM, or for a write
   * if the target does not; TypeError, RangeError for an invalid argument.
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
   * Compares a range of RAM with `bytes`, as `Buffer.compare`.
   *
   * @returns -1 if RAM sorts before `bytes`, 1 if it sorts after them, 0 if they are equal.
   * @throws {@link GuestMemoryFault} if the range does not lie in RAM; TypeError, RangeError for an
   * invalid address; TypeError if `bytes` is not a view; RangeError if it is detached or lies
   * outside its buffer.
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
   * Finds the first occurrence of `needle` that lies entirely in `[from, to)`.
   *
   * @param needle - Bytes, or a number from 0 to 255 for one byte.
   * @param from - The first address of the search; 0 by default.
   * @param to - The address after the last one; the end of RAM by default.
   * @returns The guest physical address, or null if there is no occurrence. An empty needle is
   * found at `from`.
   * @throws {@link GuestMemoryFault} if the range does not lie in RAM; TypeError; RangeError if
   * `to` is below `from`, or if `needle` is detached or lies outside its buffer.
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
   * A view of a range of RAM, not a copy: writes to it change the RAM. When the RAM ends, the view
   * is detached, unless the RAM lies in memory of the caller.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault} if the range does not lie in RAM; TypeError, RangeError for an
   * invalid argument; RangeError if the range crosses a multiple of 4 GiB, which no Buffer can
   * span.
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

  #marksChanged(): void {
    const { dirty, plain } = this.#marks;
    this.writeQuads = dirty === null ? this.quads : 0;
    this.general.marksChanged();
    this.marks =
      dirty === null ? UNREAD_MARKS : (plain?.subarray(0, UNREAD_MARKS.length) ?? NO_MARKS);
    // The prototype stays after tracking has ended: V8 up to Node 22 would make a new hidden class
    // for each change, and the call sites of the accessors would become megamorphic.
    if (Object.getPrototypeOf(this) === GuestMemory.prototype) {
      Reflect.setPrototypeOf(this, TrackedWrites.prototype);
    }
  }

  /** Call it before code outside this package receives a buffer over the RAM. */
  #expose(): void {
    if (!this.#exposed && !this.#borrowed) {
      for (const { u8 } of this.general.windows) {
        native.handOut(u8.buffer as ArrayBuffer);
      }
    }
    this.#exposed = true;
  }

  /** Whether a bulk access is not empty and lies entirely in the first window. */
  #inFirstWindow(gpa: Gpa, length: number): gpa is number {
    return (
      typeof gpa === "number" && gpa >>> 0 === gpa && length !== 0 && gpa + length <= this.u8.length
    );
  }

  #viewAtomics(): ViewAtomics {
    const { native, general } = this;
    return (this.#atomics ??= new ViewAtomics(native.atomicLanes, general.windows, this.#marks));
  }

  /** Ends the RAM: every later access is `ERROR_INTERNAL`. The caller has reserved the stack. */
  #end(): void {
    this.#marks.notifyUsers();
    native.guestMemoryDestroy(this.#handle);
    this.#destroyed = true;
    // The first detached buffer makes all typed array accesses of the process slightly slower, for
    // the rest of its life. Therefore buffers are detached only if code outside this package may
    // have a view. The pages stay mapped as long as the views exist in any case.
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

// Memory that is or was tracked has the accessors of TrackedWrites for its writes, and those of
// GuestMemory for the rest.
Object.setPrototypeOf(TrackedWrites.prototype, GuestMemory.prototype);
Object.defineProperty(TrackedWrites.prototype, "constructor", { value: GuestMemory });

/** The parts of a {@link GuestMemory} that address spaces and snapshots use; not public. */
export interface GuestMemoryInternals {
  /** The windows of the RAM; empty after the RAM has ended. */
  windows(): readonly Window[];
  /** The result of an access to a range, without the check of its alignment. */
  checkRange(address: number, length: number): GuestMemAccessResult;
  /** The dirty bitmap of the RAM, and the users to notify before the RAM ends. */
  readonly marks: MemoryMarks;
  /** The lanes of the view path's atomics. */
  atomicLanes(): AtomicLanes;
}

const internals = new WeakMap<GuestMemory, GuestMemoryInternals>();

/** Whether a value is a {@link GuestMemory}. */
export function isGuestMemory(value: unknown): value is GuestMemory {
  return internals.has(value as GuestMemory);
}

/**
 * The internals of guest RAM.
 *
 * @throws TypeError if `memory` was not made by {@link GuestMemory}.
 */
export function guestMemoryInternals(memory: GuestMemory): GuestMemoryInternals {
  const found = internals.get(memory);
  if (found === undefined) {
    throw typeError("memory must be a GuestMemory");
  }
  return found;
}
