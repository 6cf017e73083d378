import { Arena } from "../memory/arena.js";
import { GuestMemory } from "../memory/guest-memory.js";
import { makeWindow, type Window } from "../memory/windows.js";

/** The alignment in bytes of memories in the arena: that of the pages of dirty bitmaps. */
const ALIGNMENT = 4096;

/** The arena of an address space: one buffer, from which its memories are allocated. */
export class SpaceArena {
  /** All bytes of the arena. */
  readonly window: Window;
  readonly #bytes: Uint8Array;
  #used = 0;

  /** @throws Error `ERR_OUT_OF_MEMORY`. */
  constructor(size: number) {
    this.#bytes = Arena.create(size + ALIGNMENT).allocate(size, ALIGNMENT);
    this.window = makeWindow(this.#bytes);
  }

  /** Allocates zeroed RAM; null if too few bytes are left. */
  allocate(size: number): GuestMemory | null {
    if (size === 0 || size > this.#bytes.length - this.#used) {
      return null;
    }
    const memory = GuestMemory.over(this.#bytes.subarray(this.#used, this.#used + size));
    this.#used = Math.min(
      this.#bytes.length,
      Math.ceil((this.#used + size) / ALIGNMENT) * ALIGNMENT,
    );
    return memory;
  }
}
