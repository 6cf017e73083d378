import type { DirtyBitmap } from "./dirty-bitmap.js";
import { CodeGuards, type GuardedBytes } from "./code-guards.js";
import { reserveStack } from "../base/stack.js";

/** An object that maps a memory and caches its state, such as an address space. */
export interface MemoryUser {
  /**
   * Called before the memory ends and before its dirty bitmap changes. It must drop the cache.
   *
   * @param marks - The marks of the memory.
   */
  memoryChanging(marks: MemoryMarks): void;
  /**
   * Called before bytes of the memory become guarded. It must drop its cache for writes to them.
   *
   * @param offset - Bytes from the start of the memory.
   * @param end - The offset after the last byte.
   */
  memoryGuarding(marks: MemoryMarks, offset: number, end: number): void;
}

/** A weak reference to a user: a `WeakRef`, which the `lib` of a consumer need not declare. */
interface UserReference {
  deref(): MemoryUser | undefined;
}

/**
 * The dirty bitmap and the code guards of one memory, and the users to notify when these change or
 * the memory ends.
 *
 * The memory's own methods on both paths and every address space that maps it mark their writes
 * here. References to users are weak, because a memory can outlive the address spaces that map it.
 */
export class MemoryMarks {
  /** The bitmap to mark, or null while writes are not tracked. Read it after the write. */
  dirty: DirtyBitmap | null = null;
  /** The armed code guards; null if there are none. Every writer calls them before its write. */
  guards: CodeGuards | null = null;
  /** The object that `guards` is while a guard is armed. */
  readonly #guards = new CodeGuards();
  readonly #users = new Set<UserReference>();
  readonly #onChange: () => void;

  /**
   * @param onChange - Called after `dirty` has changed, and when `guards` becomes null or an object.
   * It must not throw.
   */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Whether a write needs no mark and calls no guard. */
  get idle(): boolean {
    return this.dirty === null && this.guards === null;
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

  /**
   * Notifies the users before bytes become guarded.
   *
   * @param user - A user that needs no call.
   */
  notifyGuarding(user: MemoryUser, offset: number, end: number): void {
    if (this.#users.size > 1) {
      for (const reference of this.#users) {
        const other = reference.deref();
        if (other !== user) {
          other?.memoryGuarding(this, offset, end);
        }
      }
    }
  }

  /** Adds guarded bytes, after all users were notified. */
  guard(bytes: GuardedBytes): void {
    this.guards = this.#guards;
    this.#onChange();
    this.#guards.add(bytes);
  }

  /** Removes guarded bytes. */
  unguard(bytes: GuardedBytes): void {
    this.#guards.delete(bytes);
    if (this.#guards.isEmpty && this.guards !== null) {
      this.guards = null;
      this.#onChange();
    }
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

  /** The number of mapped regions over a memory. */
  count(marks: MemoryMarks): number {
    return this.#counts.get(marks) ?? 0;
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
