import { inspect } from "node:util";
import type { GuestMemoryAccess } from "./access.js";
import { Arena, arenaInternals, detach } from "./arena.js";
import * as bulk from "./bulk.js";
import { GuestMemoryFault, type Operation, typeError } from "./errors.js";
import { MAX_U64, toAddress, toByteCount, type Gpa } from "./gpa.js";
import { native, type Handle } from "./native.js";
import { NativeAccess } from "./native-access.js";
import { GuestMemAccessResult } from "./result.js";
import { BYTE, checkOut, LONG, QUAD, WORD, type Out, type Value, type Width } from "./widths.js";
import { cutWindows, EMPTY_WINDOW, WINDOW_SIZE, type Window } from "./windows.js";

const { OK, FAULT_UNALIGNED, FAULT_BOUNDARY, ERROR_INTERNAL } = GuestMemAccessResult;

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
  /** The same RAM through N-API: each call runs the compiled C++ accessor. */
  readonly native: NativeAccess;

  // The fields below are private to TypeScript only: V8 folds a #private field of a memory that is
  // a constant of the caller less well, at a third more time per access. Writing to one from
  // outside cannot reach other memory, since every index is checked against its typed array.

  /** The first window, flat for the hot path; empty once destroyed. */
  private u8 = EMPTY_WINDOW.u8;
  private u16 = EMPTY_WINDOW.u16;
  private u32 = EMPTY_WINDOW.u32;
  private u64 = EMPTY_WINDOW.u64;

  readonly #arena: Arena;
  readonly #ownsArena: boolean;
  readonly #handle: Handle;
  readonly #size: number;
  /** The caller's buffer under the arena, or null. */
  readonly #owner: ArrayBufferLike | null;
  readonly #forgetEnding: () => void;
  readonly #endings = new Set<() => void>();
  #windows: readonly Window[] = [];
  #exposed = false;
  #destroyed = false;

  // Where locate() found the bytes; fields, so that finding them allocates nothing.
  #foundView = EMPTY_WINDOW.data;
  #foundOffset = 0;

  private constructor(arena: Arena, ownsArena: boolean) {
    const { handle, owner, bytesAt, onEnding } = arenaInternals(arena);
    this.#handle = native.guestMemoryCreate(handle);
    this.#arena = arena;
    this.#ownsArena = ownsArena;
    this.#owner = owner?.buffer ?? null;
    this.#size = native.guestMemorySize(this.#handle);
    const base = native.guestMemoryOffset(this.#handle);
    this.#setWindows(cutWindows(this.#size, (start, length) => bytesAt(base + start, length)));
    this.#forgetEnding = onEnding(() => this.#end());
    this.native = new NativeAccess(this.#handle, this.size, this.u8, (address) =>
      this.#lost(address),
    );
    internals.set(this, {
      windows: () => this.#windows,
      checkRange: (address, length) => this.#checkRange(address, length),
      onEnding: (listener) => {
        this.#endings.add(listener);
        return () => this.#endings.delete(listener);
      },
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

  get size(): bigint {
    return BigInt(this.#size);
  }

  /** The arena that the RAM belongs to. */
  get arena(): Arena {
    return this.#arena;
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
    this.#exposed = true;
    return this.#windows.map(({ u8 }) => bulk.asBuffer(u8));
  }

  /**
   * Ends the use of the RAM, and destroys the arena if {@link GuestMemory.allocate} made it.
   * Harmless the second time.
   */
  destroy(): void {
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

  // The view path, written out per width: closures of one factory would share the type feedback
  // of all four typed arrays, and V8 would inline none of them. One round trip through `>>> 0`
  // refuses fractions, NaN, negatives and all of 4 GiB and above; what it refuses, and whatever
  // does not fit the array, the slow path sorts out.

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    if (!(out instanceof Uint8Array) || out.length === 0) {
      checkOut(BYTE, out);
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && address < this.u8.length) {
        out[0] = this.u8[address]!;
        return OK;
      }
    }
    return this.#tryRead(BYTE, gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    if (!(out instanceof Uint16Array) || out.length === 0) {
      checkOut(WORD, out);
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const index = address >>> 1;
      if (address === gpa && (address & 1) === 0 && index < this.u16.length) {
        out[0] = this.u16[index]!;
        return OK;
      }
    }
    return this.#tryRead(WORD, gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    if (!(out instanceof Uint32Array) || out.length === 0) {
      checkOut(LONG, out);
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const index = address >>> 2;
      if (address === gpa && (address & 3) === 0 && index < this.u32.length) {
        out[0] = this.u32[index]!;
        return OK;
      }
    }
    return this.#tryRead(LONG, gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    if (!(out instanceof BigUint64Array) || out.length === 0) {
      checkOut(QUAD, out);
    }
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const index = address >>> 3;
      if (address === gpa && (address & 7) === 0 && index < this.u64.length) {
        out[0] = this.u64[index]!;
        return OK;
      }
    }
    return this.#tryRead(QUAD, gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value === (value & 0xff)) {
      const address = gpa >>> 0;
      if (address === gpa && address < this.u8.length) {
        this.u8[address] = value;
        return OK;
      }
    }
    return this.#tryWrite(BYTE, gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value === (value & 0xffff)) {
      const address = gpa >>> 0;
      const index = address >>> 1;
      if (address === gpa && (address & 1) === 0 && index < this.u16.length) {
        this.u16[index] = value;
        return OK;
      }
    }
    return this.#tryWrite(WORD, gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    if (typeof gpa === "number" && typeof value === "number" && value === value >>> 0) {
      const address = gpa >>> 0;
      const index = address >>> 2;
      if (address === gpa && (address & 3) === 0 && index < this.u32.length) {
        this.u32[index] = value;
        return OK;
      }
    }
    return this.#tryWrite(LONG, gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    if (
      typeof gpa === "number" &&
      typeof value === "bigint" &&
      !(value < 0n) &&
      !(value > MAX_U64)
    ) {
      const address = gpa >>> 0;
      const index = address >>> 3;
      if (address === gpa && (address & 7) === 0 && index < this.u64.length) {
        this.u64[index] = value;
        return OK;
      }
    }
    return this.#tryWrite(QUAD, gpa, value);
  }

  readb(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      if (address === gpa && address < this.u8.length) {
        return this.u8[address]!;
      }
    }
    return this.#read(BYTE, gpa);
  }

  readw(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const index = address >>> 1;
      if (address === gpa && (address & 1) === 0 && index < this.u16.length) {
        return this.u16[index]!;
      }
    }
    return this.#read(WORD, gpa);
  }

  readl(gpa: Gpa): number {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const index = address >>> 2;
      if (address === gpa && (address & 3) === 0 && index < this.u32.length) {
        return this.u32[index]!;
      }
    }
    return this.#read(LONG, gpa);
  }

  readq(gpa: Gpa): bigint {
    if (typeof gpa === "number") {
      const address = gpa >>> 0;
      const index = address >>> 3;
      if (address === gpa && (address & 7) === 0 && index < this.u64.length) {
        return this.u64[index]!;
      }
    }
    return this.#read(QUAD, gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    const result = this.tryWriteb(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 1, "write");
    }
  }

  writew(gpa: Gpa, value: number): void {
    const result = this.tryWritew(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 2, "write");
    }
  }

  writel(gpa: Gpa, value: number): void {
    const result = this.tryWritel(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 4, "write");
    }
  }

  writeq(gpa: Gpa, value: bigint): void {
    const result = this.tryWriteq(gpa, value);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write");
    }
  }

  // Bulk access: any alignment. One that does not fit in RAM faults as a whole and changes nothing.

  /**
   * Copies bytes out of RAM.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault} where a byte lies outside RAM; TypeError, RangeError.
   */
  read(gpa: Gpa, length: Gpa): Buffer {
    const count = toByteCount(length, "length");
    const start = this.#locateRange(gpa, count, "read");
    const target = bulk.newBuffer(count);
    bulk.readInto(this.#windows, start, target);
    return target;
  }

  /**
   * Copies bytes out of RAM into `target`, all of which is filled.
   *
   * @throws {@link GuestMemoryFault}, leaving `target` alone; TypeError.
   */
  readInto(gpa: Gpa, target: ArrayBufferView): void {
    const bytes = bulk.bytesOf(target, "target");
    bulk.readInto(this.#windows, this.#locateRange(gpa, bytes.length, "read"), bytes);
  }

  /**
   * Copies `source` into RAM. It may be a view of this RAM.
   *
   * @throws {@link GuestMemoryFault}; TypeError.
   */
  write(gpa: Gpa, source: ArrayBufferView): void {
    const bytes = bulk.bytesOf(source, "source");
    bulk.write(this.#windows, this.#locateRange(gpa, bytes.length, "write"), bytes);
  }

  /**
   * Sets every byte of a range to `value`, from 0 to 255.
   *
   * @throws {@link GuestMemoryFault}; TypeError, RangeError.
   */
  fill(gpa: Gpa, length: Gpa, value: number): void {
    const count = toByteCount(length, "length");
    const byte = BYTE.checkValue(value);
    bulk.fill(this.#windows, this.#locateRange(gpa, count, "write"), count, byte);
  }

  /**
   * Copies a range of RAM over another; the two may overlap.
   *
   * @throws {@link GuestMemoryFault} of the range that does not fit, the source first.
   */
  copy(target: Gpa, source: Gpa, length: Gpa): void {
    const count = toByteCount(length, "length");
    const from = this.#locateRange(source, count, "read");
    bulk.copy(this.#windows, this.#locateRange(target, count, "write"), from, count);
  }

  /**
   * Compares a range of RAM with `bytes`, as `Buffer.compare` does: -1, 0 or 1 as RAM sorts
   * before, equal to or after them.
   *
   * @throws {@link GuestMemoryFault}; TypeError.
   */
  compare(gpa: Gpa, bytes: ArrayBufferView): -1 | 0 | 1 {
    const other = bulk.bytesOf(bytes, "bytes");
    return bulk.compare(this.#windows, this.#locateRange(gpa, other.length, "read"), other);
  }

  /**
   * Finds the first occurrence of `needle` that lies whole within `[from, to)`.
   *
   * @param from - Where the search starts; 0 by default.
   * @param to - Where it ends; the end of RAM by default.
   * @returns The guest physical address, or null where there is none. An empty needle is found at
   * `from`.
   * @throws {@link GuestMemoryFault} where the range does not fit in RAM; TypeError; RangeError
   * where it ends before it starts.
   */
  indexOf(needle: ArrayBufferView | number, from: Gpa = 0, to: Gpa = this.#size): number | null {
    const bytes =
      typeof needle === "number"
        ? Uint8Array.of(BYTE.checkValue(needle))
        : bulk.bytesOf(needle, "needle");
    const length = bulk.rangeLength(from, to);
    const start = this.#locateRange(from, length, "read");
    return bulk.indexOf(this.#windows, start, length, bytes);
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
    const view = bulk.slice(this.#windows, this.#locateRange(gpa, count, "read"), count);
    this.#exposed = true;
    return view;
  }

  #tryRead<T extends Value, A extends Out>(
    width: Width<T, A>,
    gpa: Gpa,
    out: A,
  ): GuestMemAccessResult {
    const result = this.#locate(gpa, width.bytes);
    if (result === OK) {
      width.store(out, width.get(this.#foundView, this.#foundOffset));
    }
    return result;
  }

  #tryWrite<T extends Value, A extends Out>(
    width: Width<T, A>,
    gpa: Gpa,
    value: T,
  ): GuestMemAccessResult {
    const checked = width.checkValue(value);
    const result = this.#locate(gpa, width.bytes);
    if (result === OK) {
      width.set(this.#foundView, this.#foundOffset, checked);
    }
    return result;
  }

  #read<T extends Value, A extends Out>(width: Width<T, A>, gpa: Gpa): T {
    const result = this.#locate(gpa, width.bytes);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, width.bytes, "read");
    }
    return width.get(this.#foundView, this.#foundOffset);
  }

  /** The checks of an access, and on `OK` the bytes in `#foundView` at `#foundOffset`. */
  #locate(gpa: Gpa, bytes: number): GuestMemAccessResult {
    if (typeof gpa === "number" && this.#locateQuickly(gpa, bytes)) {
      return OK;
    }
    const address = toAddress(gpa);
    const result = this.#checkRange(address, bytes);
    if (result !== OK) {
      return result;
    }
    // Bitwise operators see the low 32 bits, exactly, and cost a fifth of what `%` does.
    if ((address & (bytes - 1)) !== 0) {
      return FAULT_UNALIGNED;
    }
    // An aligned access never crosses a window, whose size is a multiple of every width.
    this.#foundView = this.#windowAt(address).data;
    this.#foundOffset = address >>> 0;
    return OK;
  }

  /**
   * As `#locate`, for an access that is `OK`, which most above 4 GiB are. What is no address gives
   * a window number that no window has.
   */
  #locateQuickly(gpa: number, bytes: number): boolean {
    const low = gpa >>> 0;
    const window = this.#windows[(gpa - low) / WINDOW_SIZE];
    if (window === undefined || (low & (bytes - 1)) !== 0 || low + bytes > window.u8.length) {
      return false;
    }
    this.#foundView = window.data;
    this.#foundOffset = low;
    return true;
  }

  /** The address of a bulk access that fits. */
  #locateRange(gpa: Gpa, length: number, operation: Operation): number {
    const address = toAddress(gpa);
    const result = this.#checkRange(address, length);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, length, operation);
    }
    return address;
  }

  #checkRange(address: number, length: number): GuestMemAccessResult {
    if (this.#lost(address)) {
      return ERROR_INTERNAL;
    }
    if (this.#size < length || address > this.#size - length) {
      return FAULT_BOUNDARY;
    }
    // Every window is of one arena, but each has a buffer, which a caller may have transferred.
    for (let end = address + length; end > address; end -= WINDOW_SIZE) {
      if (this.#lost(end - 1)) {
        return ERROR_INTERNAL;
      }
    }
    return OK;
  }

  /** Whether the bytes that should be at `address` are gone. */
  #lost(address: number): boolean {
    if (this.#destroyed || this.#owner?.byteLength === 0) {
      return true;
    }
    return address < this.#size && this.#windowAt(address).u8.length === 0;
  }

  #windowAt(address: number): Window {
    return this.#windows[Math.floor(address / WINDOW_SIZE)] ?? EMPTY_WINDOW;
  }

  #setWindows(windows: readonly Window[]): void {
    this.#windows = windows;
    const { u8, u16, u32, u64 } = windows[0] ?? EMPTY_WINDOW;
    this.u8 = u8;
    this.u16 = u16;
    this.u32 = u32;
    this.u64 = u64;
  }

  /** Makes every access answer `ERROR_INTERNAL` from here on. */
  #end(): void {
    native.guestMemoryDestroy(this.#handle);
    this.#destroyed = true;
    // Detaching slows every typed array access of the process a little, for good, so it is done
    // only where someone outside may hold a view. The pages outlive the views either way.
    if (this.#exposed && this.#owner === null) {
      for (const { u8 } of this.#windows) {
        detach(u8.buffer as ArrayBuffer);
      }
    }
    this.#setWindows([]);
    this.#foundView = EMPTY_WINDOW.data;
    for (const listener of this.#endings) {
      listener();
    }
    this.#endings.clear();
  }
}

/** The parts of a {@link GuestMemory} that an address space is built on; not public. */
export interface GuestMemoryInternals {
  /** The RAM cut into windows; none once it has ended. */
  windows(): readonly Window[];
  /** What an access to a range comes to, but for its alignment. */
  checkRange(address: number, length: number): GuestMemAccessResult;
  /** Registers what to do once the RAM has ended; gives the way to undo that. */
  onEnding(listener: () => void): () => void;
}

const internals = new WeakMap<GuestMemory, GuestMemoryInternals>();

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
