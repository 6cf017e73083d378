import type { DirtyBitmap } from "./dirty-bitmap.js";
import { reserveStack } from "../base/stack.js";

/** An object that maps a memory and caches its state, such as an address space. */
export interface MemoryUser {
  /**
   * Called before the memory ends and before its dirty bitmap changes. It must drop the cache.
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
export class MemoryMarks {
  /** The bitmap to mark, or null while writes are not tracked. Read it after the write. */
  dirty: DirtyBitmap | null = null;
  readonly #users = new Set<UserReference>();
  readonly #onChange: () => void;

  /** @param onChange - Called after `dirty` has changed. It must not throw. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Marks the pages of a range, after the write. */
  mark(offset: number, length: number): void {
    this.dirty?.mark(offset, length);
  }

  /** Replaces the bitmap; null ends the tracking. */
  set(bitmap: DirtyBitmap | null): void {
    const before = this.dirty;
    if (bitmap === before) {
      return;
    }
    reserveStack();
    this.notifyUsers();
    before?.interrupt();
    bitmap?.interrupt();
    this.dirty = bitmap;
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
