import { Arena } from "../memory/arena.js";
import { GuestMemory } from "../memory/guest-memory.js";

/** The alignment in bytes of memories in the arena: that of the pages of dirty bitmaps. */
const ALIGNMENT = 4096;

/** The arena of an address space: one buffer, from which its memories are allocated. */
export class SpaceArena {
  /** All bytes of the arena. */
  readonly home: GuestMemory;
  readonly #arena: Arena;
  readonly #block: Uint8Array;
  /** The offset of the block in the arena. */
  readonly #start: number;
  #used = 0;

  /** @throws Error `ERR_OUT_OF_MEMORY`. */
  constructor(size: number) {
    this.#arena = Arena.create(size + ALIGNMENT);
    this.#block = this.#arena.allocate(size, ALIGNMENT);
    this.#start = Number(this.#arena.used) - size;
    this.home = GuestMemory.part(this.#arena, this.#start, this.#block);
  }

  /** Allocates zeroed RAM; null if too few bytes are left. */
  allocate(size: number): GuestMemory | null {
    const offset = this.#used;
    if (size === 0 || size > this.#block.length - offset) {
      return null;
    }
    const bytes = this.#block.subarray(offset, offset + size);
    const memory = GuestMemory.part(this.#arena, this.#start + offset, bytes);
    this.#used = Math.min(this.#block.length, Math.ceil((offset + size) / ALIGNMENT) * ALIGNMENT);
    return memory;
  }
}
