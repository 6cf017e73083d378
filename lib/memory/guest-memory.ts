import { bytesOf, fastLength } from "../base/view.js";
import { inspect } from "node:util";
import type { GuestMemoryAccess } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import { Arena, arenaInternals, detach } from "./arena.js";
import * as bulk from "./bulk.js";
import { rangeError, typeError } from "../base/errors.js";
import type { AtomicLanes } from "../atomics/lane.js";
import { GeneralAccess } from "./general-access.js";
import type { Gpa } from "../base/gpa.js";
import { toByteCount } from "../base/arguments.js";
import { MemoryMarks } from "./marks.js";
import { native, type Handle } from "../native/addon.js";
import { NativeAccess } from "../native/access.js";
import { GuestMemAccessResult } from "../base/result.js";
import { reserveStack } from "../base/stack.js";
import { newSharedBuffer, type SharedRam, sharedRamOf, viewOf } from "./shared-ram.js";
import { uncloneable } from "../base/uncloneable.js";
import { ViewAtomics } from "./atomics.js";
import { BYTE } from "../base/widths.js";
import { branchFromNowOn, selectUntilRefusal } from "./accessor-forms.js";
import { cutWindows, EMPTY_WINDOW, type Window } from "./windows.js";

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
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see the interface
export class GuestMemory implements Disposable {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The native path to the same RAM: each call runs the compiled C++ accessor through N-API. */
  readonly native: NativeAccess;

  // The fields below are not #private, because the accessors of accessor-forms.ts use them, and
  // because V8 constant-folds #private fields less well: an access to a memory that is a constant of
  // the caller would take a third more time. Code outside the class that writes to a field cannot
  // reach other memory, because the engine checks every index against the typed array.

  // The fields of the first window, copied here for the hot path; empty after the RAM has ended.
  // Until then they are assigned only once, so that V8 can treat the arrays as constants.
  /** @internal */
  protected u8: Uint8Array;
  /** @internal */
  protected u16: Uint16Array;
  /** @internal */
  protected u32: Uint32Array;
  /** @internal */
  protected u64: BigUint64Array;
  // The same arrays, for writes. Empty while writes are tracked, so that they take the slow path.
  /** @internal */
  protected w8: Uint8Array;
  /** @internal */
  protected w16: Uint16Array;
  /** @internal */
  protected w32: Uint32Array;
  /** @internal */
  protected w64: BigUint64Array;
  /** The elements of `u64`, which bound the accesses of all widths. @internal */
  protected quads: number;
  /** As `quads`, for writes. 0 while writes are tracked. @internal */
  protected writeQuads: number;
  /** Makes the accesses that the hot path does not make. */
  private readonly general: GeneralAccess;
  // The accessors. See accessor-forms.ts.
  static {
    selectUntilRefusal(this.prototype);
  }

  readonly #arena: Arena;
  readonly #ownsArena: boolean;
  readonly #handle: Handle;
  readonly #size: number;
  /** Whether the RAM lies in a buffer of the caller. */
  readonly #borrowed: boolean;
  readonly #forgetEnding: () => void;
  readonly #marks = new MemoryMarks(() => {
    const writable = this.#marks.dirty === null ? this.general.windows[0] : undefined;
    this.#writeTo(writable ?? EMPTY_WINDOW);
    if (writable === undefined) {
      branchFromNowOn();
    }
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
    this.w8 = u8;
    this.w16 = u16;
    this.w32 = u32;
    this.w64 = u64;
    this.quads = quads;
    this.writeQuads = quads;
    if (this.#size > 2 ** 31) {
      // The first form refuses bytes from 2 GiB on.
      branchFromNowOn();
    }
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
    this.#writeTo(EMPTY_WINDOW);
    this.general.end();
    this.#atomics?.end();
  }

  /** Uses arrays for writes. */
  #writeTo({ u8, u16, u32, u64, quads }: Window): void {
    this.w8 = u8;
    this.w16 = u16;
    this.w32 = u32;
    this.w64 = u64;
    this.writeQuads = quads;
  }
}

// The accessors, which the class inherits from a prototype that changes: see accessor-forms.ts.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type, @typescript-eslint/no-unsafe-declaration-merging
export interface GuestMemory extends GuestMemoryAccess {}

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
