import { Arena } from "../memory/arena.js";
import { GuestMemory } from "../memory/guest-memory.js";
import { PAGE_SIZE } from "../base/page.js";

/** The alignment in bytes of memories in the arena, so that no page belongs to two of them. */
const ALIGNMENT = PAGE_SIZE;

/** The arena of an address space: one buffer, from which its memories are allocated. */
export class SpaceArena {
  /** All bytes of the arena. */
  readonly home: GuestMemory;
  readonly #arena: Arena;
  readonly #block: Uint8Array;
  /** Marks of the pages of the block: see MemoryMarks. */
  readonly #marks: Uint8Array;
  /** The offset of the block in the arena. */
  readonly #start: number;
  #used = 0;

  /** @throws Error `ERR_OUT_OF_MEMORY`. */
  constructor(size: number) {
    this.#arena = Arena.create(size + ALIGNMENT);
    this.#block = this.#arena.allocate(size, ALIGNMENT);
    this.#start = Number(this.#arena.used) - size;
    this.#marks = new Uint8Array(new SharedArrayBuffer(pagesOf(size)));
    this.home = GuestMemory.part(this.#arena, this.#start, this.#block, this.#marks);
  }

  /** Allocates zeroed RAM; null if too few bytes are left. */
  allocate(size: number): GuestMemory | null {
    const offset = this.#used;
    if (size === 0 || size > this.#block.length - offset) {
      return null;
    }
    const bytes = this.#block.subarray(offset, offset + size);
    const marks = this.#marks.subarray(offset / PAGE_SIZE, pagesOf(offset + size));
    const memory = GuestMemory.part(this.#arena, this.#start + offset, bytes, marks);
    this.#used = Math.min(this.#block.length, Math.ceil((offset + size) / ALIGNMENT) * ALIGNMENT);
    return memory;
  }
}

function pagesOf(bytes: number): number {
  return Math.ceil(bytes / PAGE_SIZE);
}
