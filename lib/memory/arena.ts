import { type Bytes, bytesIn } from "../base/bytes.js";
import { INSPECT } from "../base/inspect.js";
import { isAnyArrayBuffer, isArrayBuffer } from "../base/type-checks.js";
import { destroyedError, outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { checkBooleans, checkObject, toByteCount } from "../base/arguments.js";
import { reserveStack } from "../native/stack.js";
import { native, type Handle } from "../native/addon.js";
import { extentOf } from "../base/view.js";
import { uncloneable } from "../base/uncloneable.js";
import type { Mapped } from "./process-sharing.js";
import { fileLostError, watchForLoss } from "./file-loss.js";

/** Memory of the caller that {@link Arena.over} and `GuestMemory.over` accept. */
export type CallerMemory = ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

/** Options of {@link Arena.create} and `GuestMemory.allocate`. */
export interface ArenaOptions {
  /**
   * Whether to ask the system for huge pages. They make access at random addresses faster in large
   * RAM, and the first touch of an address takes more memory: 2 MiB instead of 4 KiB on x86-64.
   *
   * On Linux, the memory is advised (`madvise(MADV_HUGEPAGE)`), which has no effect if
   * `/sys/kernel/mm/transparent_hugepage/enabled` is `never`. On Windows, the memory is of large
   * pages if the user has the right "Lock pages in memory"; then all of it is resident at once. On
   * other systems, where the system refuses, and in Electron, the pages are ordinary ones. The
   * default is false.
   */
  readonly hugePages?: boolean | undefined;
  /**
   * Whether the operating system shall be able to track the writes to the memory:
   * `trackDirty: "os"`. Windows tracks only memory that was allocated with this option
   * (`MEM_WRITE_WATCH`). There, the first write to each page takes longer, and `hugePages` has no
   * effect. On other systems, this option makes no difference. The default is false.
   */
  readonly writeWatch?: boolean | undefined;
  /**
   * Whether the first `GuestMemory.fork` needs no copy of the memory, and may run while other
   * threads write to it. The memory then is a file without a name (memfd), which takes a file
   * descriptor and about a fifth more time for the first touch of each page, and which has no huge
   * pages. Without effect on systems other than Linux and in Electron, where a fork is a copy.
   *
   * The default is false: the first fork copies the pages that are resident.
   */
  readonly forkable?: boolean | undefined;
}

/** Called once, just before the arena is reset or destroyed. */
export type ArenaEnding = () => void;

/** The parts of an {@link Arena} that guest memory is built on; not public. */
export interface ArenaInternals {
  handle(): Handle;
  /** Allocated bytes at an offset from the arena's start, for use inside this package only. */
  bytesAt(offset: number, length: number): Uint8Array;
  /** The buffer of the caller or of the runtime; null if the arena has pages of the system. */
  owner(): DataView | null;
  /** Registers a listener for the end of the allocations. Returns a function that removes it. */
  onEnding(listener: ArenaEnding): () => void;
  /**
   * Makes an arena with the same bytes and allocations.
   *
   * @throws Error `ERR_DESTROYED`, `ERR_OUT_OF_MEMORY`, `ERR_BUSY`.
   */
  fork(): Arena;
  /** As `fork`, without a clone: the memories are reset to the present bytes from now on. */
  rebase(): void;
  /** Calls a listener instead of a warning when the mapped file has lost bytes. */
  onLoss(listener: (error: Error) => void): void;
  /** A number that changes whenever the bytes to which the memories are reset may change. */
  forks(): number;
  /** The memory that other processes share; null for other memory and after the end. */
  mapped(): Mapped | null;
}

const internals = new WeakMap<Arena, ArenaInternals>();

/**
 * The internals of an arena.
 *
 * @throws TypeError if `arena` was not made by {@link Arena}.
 */
export function arenaInternals(arena: Arena): ArenaInternals {
  const found = internals.get(arena);
  if (found === undefined) {
    throw typeError("arena must be an Arena");
  }
  return found;
}

/**
 * A linear allocator over one block of host memory: `arena_t` of Pound's header.
 *
 * An arena owns its pages, or uses memory of the caller. {@link Arena.reset} and
 * {@link Arena.destroy} end every allocation: buffers over pages of the arena are detached, and the
 * result of accesses to guest memory on it is `ERROR_INTERNAL`.
 *
 * @example
 *
 * ```ts
 * using arena = Arena.create(1024 * 1024);
 * const table = arena.allocate(4096, 4096);
 * table.writeUInt32LE(0x1234, 0);
 * // The RAM gets the remaining bytes of the arena, less the descriptor.
 * const memory = GuestMemory.create(arena);
 * ```
 */
export class Arena implements Disposable {
  /** @internal */
  readonly uncloneable = uncloneable;

  #handle: Handle;
  #owner: DataView | null;
  /** Whether {@link Arena.create} made the owner, in place of pages of the arena. */
  readonly #ownerIsOurs: boolean;
  readonly #endings = new Set<ArenaEnding>();
  #destroyed = false;
  /** Receives the error when the mapped file has lost bytes. */
  #onLoss: (error: Error) => void = (error) => {
    process.emitWarning(error);
  };
  #mapsFile = false;
  #forks = 0;
  /** The memory that other processes share, until the arena is destroyed. */
  #mapped: Mapped | null = null;

  private constructor(handle: Handle, owner: DataView | null, ownerIsOurs = false) {
    this.#handle = handle;
    this.#owner = owner;
    this.#ownerIsOurs = ownerIsOurs;
    internals.set(this, {
      handle: () => this.#handle,
      owner: () => this.#owner,
      bytesAt: (offset, length) => this.#bytesAt(offset, length, false),
      onEnding: (listener) => this.#onEnding(listener),
      fork: () => this.#fork(),
      rebase: () => {
        native.arenaRebase(this.#handle);
        this.#forks++;
      },
      forks: () => this.#forks,
      onLoss: (listener) => void (this.#onLoss = listener),
      mapped: () => this.#mapped,
    });
  }

  /**
   * Reserves zeroed memory (`arena_init`). A page becomes resident when it is first touched, so a
   * large arena costs no more than a small one.
   *
   * If the runtime forbids buffers over native memory (Electron), the memory is an ArrayBuffer of
   * the runtime instead. Its views stay attached until {@link Arena.destroy}.
   *
   * @param capacity - Bytes, from 1 to 2^53 - 1.
   * @throws TypeError, RangeError for an invalid capacity; TypeError for invalid options; Error
   * `ERR_OUT_OF_MEMORY`.
   */
  static create(capacity: Gpa, options: ArenaOptions = {}): Arena {
    const bytes = toByteCount(capacity, "capacity");
    const {
      hugePages = false,
      forkable = false,
      writeWatch = false,
    } = checkObject(options, "options");
    checkBooleans({ hugePages, forkable, writeWatch });
    if (hugePages && forkable) {
      throw rangeError("memory has huge pages or is forkable, not both");
    }
    return native.externalBuffers
      ? new Arena(native.arenaCreate(bytes, hugePages, forkable, writeWatch), null)
      : Arena.#inRuntime(bytes);
  }

  /** Makes an arena in an ArrayBuffer of the runtime. */
  static #inRuntime(bytes: number): Arena {
    const owner = new DataView(runtimeBuffer(bytes));
    return new Arena(native.arenaOver(owner, true), owner, true);
  }

  /**
   * Makes an arena over memory of the caller, which keeps its bytes (`arena_init_over`). The arena
   * holds a reference, so the memory is not collected before the arena.
   *
   * @param memory - At least 1 byte. A resizable ArrayBuffer is refused: its pages can be unmapped.
   * @throws TypeError for another type; RangeError if `memory` is empty, resizable or detached.
   */
  static over(memory: CallerMemory): Arena {
    const owner = callerBytes(memory);
    return new Arena(native.arenaOver(owner), owner);
  }

  /**
   * Makes an arena over memory that other processes share. {@link Arena.reset} keeps its bytes.
   *
   * @internal
   */
  static shared(mapped: Mapped): Arena {
    const arena = new Arena(mapped.arena, null);
    arena.#mapped = mapped;
    return arena;
  }

  /**
   * Makes an arena over a private mapping of a part of a file, which must not change.
   *
   * @returns Null if the system cannot map it.
   * @internal
   */
  static map(descriptor: number, offset: number, size: number): Arena | null {
    const handle = native.arenaMap(descriptor, offset, size);
    return handle === null ? null : new Arena(handle, null).#watchForLoss();
  }

  /** Size of the block in bytes; 0 after {@link Arena.destroy}. */
  get capacity(): bigint {
    return BigInt(native.arenaCapacity(this.#handle));
  }

  /** Bytes allocated, including alignment padding; 0 after {@link Arena.destroy}. */
  get used(): bigint {
    return BigInt(native.arenaUsed(this.#handle));
  }

  /** Bytes not yet allocated; 0 after {@link Arena.destroy}. */
  get remaining(): bigint {
    return this.capacity - this.used;
  }

  /** Whether {@link Arena.destroy} has been called. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /**
   * Allocates a block (`arena_allocate`) and returns a zero-copy view of it.
   *
   * @param size - Bytes, from 1 to 2^32, which is the maximum of a Buffer.
   * @param alignment - Bytes, a power of two. The host address of the block is a multiple of it.
   * @throws TypeError, RangeError for invalid arguments; RangeError `ERR_ARENA_EXHAUSTED` if too
   * few bytes are left; Error `ERR_DESTROYED`. The arena is unchanged after an error.
   */
  allocate(size: Gpa, alignment: Gpa = 16): Bytes {
    const length = toByteCount(size, "size");
    if (length > 2 ** 32) {
      throw rangeError("size must be at most 2^32: no Buffer spans more");
    }
    const aligned = toByteCount(alignment, "alignment");
    const offset = native.arenaAllocate(this.#handle, length, aligned);
    const bytes = this.#bytesAt(offset, length, true);
    if (this.#owner === null) {
      // A weak reference, so that an unused block can be collected before the arena ends.
      const exposed = new WeakRef(bytes.buffer as ArrayBuffer);
      this.#onEnding(() => detach(exposed.deref()));
    }
    return bytesIn(bytes.buffer, bytes.byteOffset, length);
  }

  /**
   * Ends every allocation (`arena_reset`). Pages that the arena owns read as zero afterwards;
   * memory of the caller, and memory that other processes share, keeps its bytes.
   *
   * Without the addon, the arena continues with a fresh buffer of the runtime.
   *
   * If a buffer over the pages was transferred, for instance to another thread, its new owner keeps
   * the bytes, and the arena continues with fresh pages.
   *
   * @throws Error `ERR_DESTROYED`; Error `ERR_OUT_OF_MEMORY` if the system refuses fresh pages. In
   * the latter case the allocations have ended, but {@link Arena.used} is unchanged, so that no new
   * block overlaps the transferred bytes. A later reset can succeed.
   */
  reset(): void {
    if (this.#destroyed) {
      throw destroyedError("the arena is destroyed");
    }
    reserveStack();
    this.#endAllocations();
    if (this.#ownerIsOurs) {
      this.#moveToFreshBuffer();
    } else {
      native.arenaReset(this.#handle);
    }
  }

  /** Replaces a buffer of the runtime by another one of zeros, and detaches it. */
  #moveToFreshBuffer(): void {
    const fresh = new DataView(runtimeBuffer(native.arenaCapacity(this.#handle)));
    native.arenaDestroy(this.#handle);
    this.#owner = fresh;
    this.#handle = native.arenaOver(fresh, true);
  }

  /**
   * Ends every allocation and releases the memory (`arena_free`). A second call has no effect.
   *
   * If a buffer over the pages was transferred, its new owner keeps the pages.
   */
  destroy(): void {
    reserveStack();
    this.#destroyed = true;
    this.#endAllocations();
    this.#mapped?.unlink();
    this.#mapped = null;
    native.arenaDestroy(this.#handle);
  }

  /** As {@link Arena.destroy}, for `using` declarations. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** The text that `console.log` prints. */
  [INSPECT](): string {
    const { capacity, used, destroyed } = this.toJSON();
    return `Arena { capacity: ${capacity}, used: ${used}, destroyed: ${destroyed} }`;
  }

  /** The value that `JSON.stringify` writes. Sizes are in bytes. */
  toJSON(): { type: "Arena"; capacity: number; used: number; destroyed: boolean } {
    return {
      type: "Arena",
      capacity: native.arenaCapacity(this.#handle),
      used: native.arenaUsed(this.#handle),
      destroyed: this.#destroyed,
    };
  }

  #fork(): Arena {
    this.#forks++;
    if (native.externalBuffers) {
      const clone = new Arena(native.arenaFork(this.#handle), null);
      return this.#mapsFile ? clone.#watchForLoss() : clone;
    }
    const clone = Arena.#inRuntime(native.arenaCapacity(this.#handle));
    native.arenaFork(this.#handle, clone.#handle);
    return clone;
  }

  /** Ends the arena soon after an access has found that bytes of its file are gone. */
  #watchForLoss(): this {
    this.#mapsFile = true;
    watchForLoss(this);
    return this;
  }

  /** Whether an access has found that bytes of the mapped file are gone. @internal */
  hasLost(): boolean {
    return native.arenaHasLost(this.#handle);
  }

  /** Ends the arena, because bytes of the mapped file are gone. @internal */
  lose(): void {
    this.destroy();
    this.#onLoss(fileLostError());
  }

  #bytesAt(offset: number, length: number, handedOut: boolean): Uint8Array {
    if (this.#owner !== null) {
      return new Uint8Array(this.#owner.buffer, this.#owner.byteOffset + offset, length);
    }
    return new Uint8Array(native.arenaExpose(this.#handle, offset, length, handedOut));
  }

  #onEnding(listener: ArenaEnding): () => void {
    this.#endings.add(listener);
    return () => this.#endings.delete(listener);
  }

  #endAllocations(): void {
    for (const listener of this.#endings) {
      listener();
    }
    this.#endings.clear();
  }
}

/** Detaches a buffer over pages of an arena, unless the buffer was collected. */
export function detach(buffer: ArrayBuffer | undefined): void {
  if (buffer !== undefined) {
    native.detach(buffer);
  }
}

function runtimeBuffer(bytes: number): ArrayBuffer {
  if (bytes === 0) {
    throw rangeError("capacity must be at least 1");
  }
  try {
    return new ArrayBuffer(bytes);
  } catch {
    throw outOfMemoryError("the runtime has no room for an arena of this capacity");
  }
}

// The original getter, because the buffer can have an own property with the same name.
const isResizable = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "resizable")?.get;

function callerBytes(memory: CallerMemory): DataView {
  if (!isAnyArrayBuffer(memory) && !ArrayBuffer.isView(memory)) {
    throw typeError("memory must be an ArrayBuffer, a SharedArrayBuffer or a view of one");
  }
  const extent = extentOf(memory);
  if (extent !== null) {
    refuseResizable(extent.buffer);
  }
  if (extent === null || extent.byteLength === 0) {
    throw rangeError("memory must have at least 1 byte and must not be detached");
  }
  return new DataView(extent.buffer, extent.byteOffset, extent.byteLength);
}

function refuseResizable(buffer: ArrayBufferLike): void {
  if (isArrayBuffer(buffer) && isResizable?.call(buffer) === true) {
    throw rangeError("memory must not be a resizable ArrayBuffer: its pages can vanish");
  }
}
