import { inspect } from "node:util";
import { isAnyArrayBuffer, isArrayBuffer } from "node:util/types";
import { destroyedError, outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { toByteCount } from "../base/arguments.js";
import { reserveStack } from "../base/stack.js";
import { native, type Handle } from "../native/addon.js";
import { uncloneable } from "../base/uncloneable.js";
import { WINDOW_SIZE } from "./windows.js";

/** Memory that a caller owns and an arena can be laid over. */
export type CallerMemory = ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

/** Called once, just before the arena is reset or destroyed. */
export type ArenaEnding = () => void;

/** The parts of an {@link Arena} that guest memory is built on; not public. */
export interface ArenaInternals {
  readonly handle: Handle;
  /** Bytes at an offset from the arena's start, allocated before, for use inside this package. */
  bytesAt(offset: number, length: number): Uint8Array;
  /** The caller's memory, or null for pages of the arena's own. */
  readonly owner: DataView | null;
  /** Registers what to do before the allocations stop being valid; gives the way to undo that. */
  onEnding(listener: ArenaEnding): () => void;
}

const internals = new WeakMap<Arena, ArenaInternals>();

/**
 * The internals of an arena.
 *
 * @throws TypeError where `arena` was not made by {@link Arena}.
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
 * An arena owns its pages, or borrows memory of the caller's. All that was allocated from it ends
 * with {@link Arena.reset} or {@link Arena.destroy}: buffers are detached, accesses answer
 * `ERROR_INTERNAL`.
 */
export class Arena implements Disposable {
  /** @internal */
  readonly uncloneable = uncloneable;

  readonly #handle: Handle;
  readonly #owner: DataView | null;
  /** Whether that memory is a stand-in for pages, made by {@link Arena.create}. */
  readonly #ownerIsOurs: boolean;
  readonly #endings = new Set<ArenaEnding>();
  #destroyed = false;

  private constructor(handle: Handle, owner: DataView | null, ownerIsOurs = false) {
    this.#handle = handle;
    this.#owner = owner;
    this.#ownerIsOurs = ownerIsOurs;
    internals.set(this, {
      handle,
      owner,
      bytesAt: (offset, length) => this.#bytesAt(offset, length, false),
      onEnding: (listener) => this.#onEnding(listener),
    });
  }

  /**
   * Reserves zeroed memory (`arena_init`). Nothing is resident until touched, so a large arena
   * costs no more than a small one.
   *
   * Where the runtime forbids buffers over native memory (Electron), the memory is an ArrayBuffer
   * of the runtime's instead: views of it stay attached until {@link Arena.destroy}.
   *
   * @param capacity - Bytes, from 1 to 2^53 - 1.
   * @throws TypeError, RangeError for an invalid capacity; Error `ERR_OUT_OF_MEMORY`.
   */
  static create(capacity: Gpa): Arena {
    const bytes = toByteCount(capacity, "capacity");
    if (native.externalBuffers) {
      return new Arena(native.arenaCreate(bytes), null);
    }
    const owner = new DataView(runtimeBuffer(bytes));
    return new Arena(native.arenaOver(owner, true), owner, true);
  }

  /**
   * Lays an arena over memory of the caller's, which is never freed and keeps its bytes
   * (`arena_init_over`). The arena keeps the memory from being collected.
   *
   * @param memory - At least 1 byte. Not a resizable ArrayBuffer, whose pages can vanish.
   * @throws TypeError for anything else; RangeError where it is empty, resizable or detached.
   */
  static over(memory: CallerMemory): Arena {
    const owner = callerBytes(memory);
    return new Arena(native.arenaOver(owner), owner);
  }

  /** Size of the block in bytes; 0 once destroyed. */
  get capacity(): bigint {
    return BigInt(native.arenaCapacity(this.#handle));
  }

  /** Bytes handed out, alignment padding included; 0 once destroyed. */
  get used(): bigint {
    return BigInt(native.arenaUsed(this.#handle));
  }

  /** Bytes not yet handed out; 0 once destroyed. */
  get remaining(): bigint {
    return this.capacity - this.used;
  }

  /** Whether {@link Arena.destroy} has been called. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /**
   * Takes a block off the arena (`arena_allocate`) and gives a zero-copy view of it.
   *
   * @param size - Bytes, from 1 to 2^32, the most that a Buffer can span.
   * @param alignment - A power of two that the block's host address is to be a multiple of.
   * @throws TypeError, RangeError for invalid arguments; RangeError `ERR_ARENA_EXHAUSTED`; Error
   * `ERR_DESTROYED`. The arena is unchanged then.
   */
  allocate(size: Gpa, alignment: Gpa = 16): Buffer {
    const length = toByteCount(size, "size");
    if (length > 2 ** 32) {
      throw rangeError("size must be at most 2^32: no Buffer spans more");
    }
    const aligned = toByteCount(alignment, "alignment");
    const offset = native.arenaAllocate(this.#handle, length, aligned);
    const bytes = this.#bytesAt(offset, length, true);
    if (this.#owner === null) {
      // Held weakly: a block that is no longer used should not wait for the arena's end.
      const exposed = new WeakRef(bytes.buffer as ArrayBuffer);
      this.#onEnding(() => detach(exposed.deref()));
    }
    return Buffer.from(bytes.buffer, bytes.byteOffset, length);
  }

  /**
   * Forgets every allocation (`arena_reset`). Pages of the arena's own read as zero again; a
   * caller's memory keeps its bytes.
   *
   * Where a buffer over the pages was transferred, to another thread for instance, its owner keeps
   * the bytes and the arena goes on with fresh pages.
   *
   * @throws Error `ERR_DESTROYED`; Error `ERR_OUT_OF_MEMORY` where the system has no fresh pages
   * for that: the allocations have ended then, and {@link Arena.used} is what it was, so that
   * nothing new is allocated over the transferred bytes. A later reset can succeed.
   */
  reset(): void {
    if (this.#destroyed) {
      throw destroyedError("the arena is destroyed");
    }
    const used = native.arenaUsed(this.#handle);
    reserveStack();
    this.#endAllocations();
    native.arenaReset(this.#handle);
    if (this.#ownerIsOurs) {
      for (let start = 0; start < used; start += WINDOW_SIZE) {
        this.#bytesAt(start, Math.min(WINDOW_SIZE, used - start), false).fill(0);
      }
    }
  }

  /**
   * Ends every allocation and gives the memory back (`arena_free`). Harmless the second time.
   *
   * Where a buffer over the pages was transferred, the pages stay with its owner.
   */
  destroy(): void {
    reserveStack();
    this.#destroyed = true;
    this.#endAllocations();
    native.arenaDestroy(this.#handle);
  }

  /** {@link Arena.destroy}, for `using`. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** Keeps `console.log(arena)` to what is known of it. */
  [inspect.custom](): string {
    const { capacity, used, destroyed } = this.toJSON();
    return `Arena { capacity: ${capacity}, used: ${used}, destroyed: ${destroyed} }`;
  }

  /** What `JSON.stringify` writes: sizes in bytes, and whether the arena was destroyed. */
  toJSON(): { type: "Arena"; capacity: number; used: number; destroyed: boolean } {
    return {
      type: "Arena",
      capacity: native.arenaCapacity(this.#handle),
      used: native.arenaUsed(this.#handle),
      destroyed: this.#destroyed,
    };
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

/** Detaches a buffer over pages of an arena's, if it is still there. */
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

// The original getter: a property of the same name on the buffer itself would be believed.
const isResizable = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, "resizable")?.get;

function callerBytes(memory: CallerMemory): DataView {
  if (!isAnyArrayBuffer(memory) && !ArrayBuffer.isView(memory)) {
    throw typeError("memory must be an ArrayBuffer, a SharedArrayBuffer or a view of one");
  }
  const buffer = isAnyArrayBuffer(memory) ? memory : memory.buffer;
  refuseResizable(buffer);
  // Told before the view is made or asked: a detached one throws errors of its own.
  if (buffer.byteLength === 0 || memory.byteLength === 0) {
    throw rangeError("memory must have at least 1 byte and must not be detached");
  }
  return new DataView(buffer, isAnyArrayBuffer(memory) ? 0 : memory.byteOffset, memory.byteLength);
}

function refuseResizable(buffer: ArrayBufferLike): void {
  if (isArrayBuffer(buffer) && isResizable?.call(buffer) === true) {
    throw rangeError("memory must not be a resizable ArrayBuffer: its pages can vanish");
  }
}
