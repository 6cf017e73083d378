import type { DirtyBitmap } from "./dirty-bitmap.js";
import { reserveStack } from "../base/stack.js";

/** What maps memory, and keeps what it knows of it at hand. */
export interface MemoryUser {
  /** To be called before the memory ends, and before the tracking of its pages changes. */
  memoryChanging(): void;
}

/** A weak reference to a user: a `WeakRef`, which the `lib` of a consumer need not declare. */
interface UserReference {
  deref(): MemoryUser | undefined;
}

/**
 * Where the writes to one memory are marked, whichever way they come: its own methods on both paths,
 * and every address space that maps it. And who has to hear when that changes.
 *
 * Users are held weakly: memory may outlive every space that it is mapped in.
 */
export class MemoryMarks {
  /** Where to mark what is written; null while that is not tracked. To be looked at after a write. */
  dirty: DirtyBitmap | null = null;
  readonly #users = new Set<UserReference>();
  readonly #onChange: () => void;

  /** @param onChange - Called when `dirty` has changed. Must not throw. */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Marks the pages of a range that has been written. */
  mark(offset: number, length: number): void {
    this.dirty?.mark(offset, length);
  }

  /** Tracks by another bitmap, or by none. */
  set(bitmap: DirtyBitmap | null): void {
    const before = this.dirty;
    if (bitmap === before) {
      return;
    }
    reserveStack();
    this.changing();
    before?.interrupt();
    bitmap?.interrupt();
    this.dirty = bitmap;
    this.#onChange();
  }

  /** Tells the users. */
  changing(): void {
    for (const user of this.#users) {
      user.deref()?.memoryChanging();
    }
  }

  /** Use {@link MemoryLinks}. */
  join(user: UserReference): void {
    this.#users.add(user);
  }

  /** Use {@link MemoryLinks}. */
  leave(user: UserReference): void {
    this.#users.delete(user);
  }
}

/** The links of a user that was collected are what is left of it. */
const collected = new FinalizationRegistry<MemoryLinks>((links) => links.cut());

/** The memories that one user has mapped. */
export class MemoryLinks {
  readonly #user: UserReference;
  /** How many regions are over each. */
  readonly #counts = new Map<MemoryMarks, number>();

  constructor(user: MemoryUser) {
    this.#user = new WeakRef(user);
    collected.register(user, this);
  }

  /** To be called before a region over the memory is mapped. */
  add(marks: MemoryMarks): void {
    this.#counts.set(marks, (this.#counts.get(marks) ?? 0) + 1);
    marks.join(this.#user);
  }

  /** To be called after one was unmapped. */
  remove(marks: MemoryMarks): void {
    const count = this.#counts.get(marks) ?? 0;
    if (count > 1) {
      this.#counts.set(marks, count - 1);
      return;
    }
    marks.leave(this.#user);
    this.#counts.delete(marks);
  }

  /** Ends all links. */
  cut(): void {
    for (const marks of this.#counts.keys()) {
      marks.leave(this.#user);
    }
  }
}
