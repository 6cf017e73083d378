import { DirtyBitmap, type MarkWriter, type MarkWriterReference } from "./dirty-bitmap.js";
import { isInstance } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { reserveStack } from "../base/stack.js";

/** An object that maps a memory and caches its state, such as an address space. */
export interface MemoryUser {
  /**
   * Called before the memory ends, before its dirty bitmap changes, and after plain stores have
   * ceased to suffice as marks. It must drop the cache.
   *
   * @param marks - The marks of the memory.
   */
  memoryChanging(marks: MemoryMarks): void;
}

/** A weak reference to a user: a `WeakRef`, which the `lib` of a consumer need not declare. */
interface UserReference {
  deref(): MemoryUser | undefined;
}

/**
 * The dirty bitmap of one memory, and the users to notify when the bitmap changes or the memory
 * ends.
 *
 * The memory's own methods on both paths and every address space that maps it mark their writes
 * here. References to users are weak, because a memory can outlive the address spaces that map it.
 */
export class MemoryMarks implements MarkWriter {
  /** The bitmap to mark, or null while writes are not tracked. Read it after the write. */
  dirty: DirtyBitmap | null = null;
  readonly #size: number;
  readonly #users = new Set<UserReference>();
  readonly #onChange: () => void;
  /** Made when the tracking starts: a new WeakRef keeps its object until the turn has ended. */
  #self: MarkWriterReference | null = null;

  /**
   * @param size - Bytes of the memory.
   * @param onChange - Called after `dirty` or `plain` has changed. It must not throw.
   */
  constructor(size: number, onChange: () => void) {
    this.#size = size;
    this.#onChange = onChange;
  }

  /**
   * The marks, byte `n` for page `n` of the memory, for fast paths that store 1 after the write to a
   * page. Null while writes are not tracked, and if a plain store does not suffice, so that only
   * `dirty.markPage` can mark. A user has to read it again after `memoryChanging`.
   */
  get plain(): Uint8Array | null {
    return this.dirty?.plainMarks ?? null;
  }

  /** Marks the pages of a range, after the write. */
  mark(offset: number, length: number): void {
    this.dirty?.mark(offset, length);
  }

  /**
   * The bitmap to track the memory with: `bitmap` if it suits, by default the present or a new one.
   *
   * @throws TypeError; RangeError if the bitmap is for RAM of another size; Error
   * `ERR_OUT_OF_MEMORY`.
   */
  choose(bitmap: DirtyBitmap = this.dirty ?? new DirtyBitmap(this.#size)): DirtyBitmap {
    if (!isInstance(bitmap, DirtyBitmap)) {
      throw typeError("bitmap must be a DirtyBitmap");
    }
    if (bitmap.size !== BigInt(this.#size)) {
      throw rangeError("bitmap must be for RAM of the memory's size");
    }
    return bitmap;
  }

  /** Replaces the bitmap; null ends the tracking. */
  set(bitmap: DirtyBitmap | null): void {
    const before = this.dirty;
    if (bitmap === before) {
      return;
    }
    reserveStack();
    this.notifyUsers();
    const self = (this.#self ??= new WeakRef(this));
    before?.detach(self);
    bitmap?.attach(self);
    this.dirty = bitmap;
    this.#onChange();
  }

  marksChanged(): void {
    this.notifyUsers();
    this.#onChange();
  }

  /** Notifies the users before a change. */
  notifyUsers(): void {
    for (const user of this.#users) {
      user.deref()?.memoryChanging(this);
    }
  }

  /** Adds a user. Only {@link MemoryLinks} calls it. */
  join(user: UserReference): void {
    this.#users.add(user);
  }

  /** Removes a user. Only {@link MemoryLinks} calls it. */
  leave(user: UserReference): void {
    this.#users.delete(user);
  }
}

/** Cuts the links of users that were collected. */
const collected = new FinalizationRegistry<MemoryLinks>((links) => links.cut());

/** The memories that one user maps. It registers the user with each of them. */
export class MemoryLinks {
  readonly #user: UserReference;
  /** The number of mapped regions over each memory. */
  readonly #counts = new Map<MemoryMarks, number>();

  constructor(user: MemoryUser) {
    this.#user = new WeakRef(user);
    collected.register(user, this);
  }

  /** Call it before the user maps a region over the memory. */
  add(marks: MemoryMarks): void {
    this.#counts.set(marks, (this.#counts.get(marks) ?? 0) + 1);
    marks.join(this.#user);
  }

  /** Call it after the user has unmapped a region over the memory. */
  remove(marks: MemoryMarks): void {
    const count = this.#counts.get(marks) ?? 0;
    if (count > 1) {
      this.#counts.set(marks, count - 1);
      return;
    }
    marks.leave(this.#user);
    this.#counts.delete(marks);
  }

  /** Unregisters the user from all memories. */
  cut(): void {
    for (const marks of this.#counts.keys()) {
      marks.leave(this.#user);
    }
  }
}
