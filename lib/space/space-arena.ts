import { newShared } from "../base/bytes.js";
import { Arena, arenaInternals, type ArenaOptions } from "../memory/arena.js";
import { GuestMemory, guestMemoryInternals } from "../memory/guest-memory.js";
import { PAGE_SIZE } from "../base/page.js";

/** The alignment in bytes of memories in the arena, so that no page belongs to two of them. */
const ALIGNMENT = PAGE_SIZE;

/** The arena of an address space: one buffer, from which its memories are allocated. */
export class SpaceArena {
  /** All bytes of the arena. */
  readonly home: GuestMemory;
  readonly #arena: Arena;
  /** Marks of the pages of the block: see MemoryMarks. */
  readonly #marks: Uint8Array;
  /** The offset of the block in the arena. */
  readonly #start: number;
  /** Bytes of the block. */
  readonly #size: number;
  /** The block; null until it is first accessed. */
  #block: Uint8Array | null;
  #used = 0;
  /** The offset in the block of each memory. */
  readonly #offsets = new WeakMap<GuestMemory, number>();
  /** The memories that have no window because there is no block. */
  readonly #waiting: GuestMemory[] = [];

  private constructor(arena: Arena, start: number, size: number, block: Uint8Array | null) {
    this.#arena = arena;
    this.#start = start;
    this.#size = size;
    this.#block = block;
    this.#marks = new Uint8Array(newShared(pagesOf(size)));
    this.home = this.#memoryAt(0, size);
  }

  /** @throws Error `ERR_OUT_OF_MEMORY`. */
  static create(size: number, options: ArenaOptions): SpaceArena {
    const arena = Arena.create(size + ALIGNMENT, options);
    const block = arena.allocate(size, ALIGNMENT);
    return new SpaceArena(arena, Number(arena.used) - size, size, block);
  }

  /** Allocates zeroed RAM; null if too few bytes are left. */
  allocate(size: number): GuestMemory | null {
    const offset = this.#used;
    if (size === 0 || size > this.#size - offset) {
      return null;
    }
    const memory = this.#memoryAt(offset, size);
    this.#used = Math.min(this.#size, Math.ceil((offset + size) / ALIGNMENT) * ALIGNMENT);
    return memory;
  }

  /**
   * Makes an arena with the same bytes. The block is not made yet, because an ArrayBuffer of
   * gigabytes takes milliseconds.
   *
   * @throws as `GuestMemory.fork`.
   */
  fork(): SpaceArena {
    const clone = new SpaceArena(arenaInternals(this.#arena).fork(), this.#start, this.#size, null);
    clone.#used = this.#used;
    return clone;
  }

  /**
   * The RAM of this arena at the place of RAM in the arena that it was forked from, if it is there.
   */
  cloneOf(memory: GuestMemory, origin: SpaceArena): GuestMemory | null {
    const offset = origin.#offsets.get(memory);
    return offset === undefined ? null : this.#memoryAt(offset, Number(memory.size));
  }

  #memoryAt(offset: number, size: number): GuestMemory {
    const memory = GuestMemory.part(this.#arena, {
      offset: this.#start + offset,
      length: size,
      block: () => this.#bytes().subarray(offset, offset + size),
      marks: this.#marks.subarray(offset / PAGE_SIZE, pagesOf(offset + size)),
    });
    this.#offsets.set(memory, offset);
    if (this.#block === null) {
      this.#waiting.push(memory);
    } else {
      guestMemoryInternals(memory).windowAt(0);
    }
    return memory;
  }

  /** The block. All memories get their windows before anybody can detach it. */
  #bytes(): Uint8Array {
    if (this.#block === null) {
      this.#block = arenaInternals(this.#arena).bytesAt(this.#start, this.#size);
      for (const memory of this.#waiting.splice(0)) {
        guestMemoryInternals(memory).windowAt(0);
      }
    }
    return this.#block;
  }

  /** Ends all RAM of the arena. */
  destroy(): void {
    this.#arena.destroy();
  }
}

function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}
