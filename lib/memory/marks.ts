import { CodeGuards, type GuardedBytes } from "./code-guards.js";
import { DirtyBitmap, type MarkWriter, type MarkWriterReference } from "./dirty-bitmap.js";
import { isInstance } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { PAGE_SIZE } from "../base/page.js";
import { reserveStack } from "../native/stack.js";
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

  /** Adds a user. Only {@link MemoryWindows} calls it. */
  join(user: UserReference): void {
    this.#users.add(user);
  }

  /** Removes a user. Only {@link MemoryWindows} calls it. */
  leave(user: UserReference): void {
    this.#users.delete(user);
  }
}

/** The memories that a user maps. It must not lead to the user, which could never be collected. */
interface Links {
  readonly user: UserReference;
  readonly memories: Set<MemoryMarks>;
}

/** Unregisters users that were collected from their memories. */
const collected = new FinalizationRegistry<Links>(({ user, memories }) => {
  for (const marks of memories) {
    marks.leave(user);
  }
});

/**
 * The windows of one user onto each memory. It registers the user with the memories that it maps.
 *
 * @typeParam W - A window.
 */
export class MemoryWindows<W> {
  readonly #links: Links;
  readonly #windows = new Map<MemoryMarks, Set<W>>();

  constructor(user: MemoryUser) {
    this.#links = { user: new WeakRef(user), memories: new Set() };
    collected.register(user, this.#links);
  }

  /** The windows onto a memory, which the user maps. */
  of(marks: MemoryMarks): ReadonlySet<W> {
    return this.#windows.get(marks)!;
  }

  /** Call it before the user maps a window. */
  add(marks: MemoryMarks, window: W): void {
    const windows = this.#windows.get(marks);
    if (windows !== undefined) {
      windows.add(window);
      return;
    }
    this.#windows.set(marks, new Set<W>().add(window));
    const { user, memories } = this.#links;
    memories.add(marks);
    marks.join(user);
  }

  /** Call it after the user has unmapped a window. */
  remove(marks: MemoryMarks, window: W): void {
    const windows = this.#windows.get(marks)!;
    windows.delete(window);
    if (windows.size === 0) {
      this.#windows.delete(marks);
      const { user, memories } = this.#links;
      memories.delete(marks);
      marks.leave(user);
    }
  }
}
