import { CodeGuards, type GuardedBytes } from "./code-guards.js";
import { DirtyBitmap, type MarkWriter, type MarkWriterReference } from "./dirty-bitmap.js";
import { isInstance } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { PAGE_SIZE } from "../base/page.js";
import { reserveStack } from "../base/stack.js";
import { WINDOW_SIZE } from "./windows.js";

/**
 * Where accessors that always set a mark set it for the pages of a window that is not tracked.
 * Nothing reads it.
 */
export const UNREAD_MARKS = new Uint8Array(new SharedArrayBuffer(WINDOW_SIZE / PAGE_SIZE));

/** An object that maps a memory and caches its state, such as an address space. */
export interface MemoryUser {
  /**
   * Called before the memory ends, before its dirty bitmap changes, and after plain stores have
   * ceased to suffice as marks. It must drop the cache.
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
export class MemoryMarks implements MarkWriter {
  /** The bitmap to mark, or null while writes are not tracked. Read it after the write. */
  dirty: DirtyBitmap | null = null;
  /** The armed code guards; null if there are none. Every writer calls them before its write. */
  guards: CodeGuards | null = null;
  /** The object that `guards` is while a guard is armed. */
  readonly #guards = new CodeGuards();
  /**
   * The marks of the pages of the memory in the array of its arena, where the fast paths of address
   * spaces may set them; null if its arena has none. The bitmap collects them, but not for other
   * threads.
   */
  readonly arenaMarks: Uint8Array | null;
  readonly #size: number;
  readonly #users = new Set<UserReference>();
  readonly #onChange: () => void;
  /** Made when the tracking starts: a new WeakRef keeps its object until the turn has ended. */
  #self: MarkWriterReference | null = null;

  /**
   * @param size - Bytes of the memory.
   * @param arenaMarks - See the field.
   * @param onChange - Called after `dirty` or `plain` has changed, and when `guards` becomes null or
   * an object. It must not throw.
   */
  constructor(size: number, arenaMarks: Uint8Array | null, onChange: () => void) {
    this.#size = size;
    this.arenaMarks = arenaMarks;
    this.#onChange = onChange;
  }

  /** Whether a write needs no mark and calls no guard. */
  get idle(): boolean {
    return this.dirty === null && this.guards === null;
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
    bitmap?.attach(self, this.arenaMarks);
    this.dirty = bitmap;
    this.#onChange();
  }

  marksChanged(): void {
    this.notifyUsers();
    this.#onChange();
  }

  /**
   * Calls the guards of a write that will not fault.
   *
   * @returns Whether a guard was called. Its listener may have ended the memory.
   */
  callGuards(offset: number, length: number): boolean {
    return this.guards?.call(offset, length) ?? false;
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
    this.#guards.add(bytes);
    if (this.guards === null) {
      this.guards = this.#guards;
      this.#onChange();
    }
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
