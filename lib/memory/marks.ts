import { newShared } from "../base/bytes.js";
import { CodeGuards, type GuardedBytes } from "./code-guards.js";
import { DirtyBitmap, type MarkWriter, type MarkWriterReference } from "./dirty-bitmap.js";
import { rangeError } from "../base/errors.js";
import { PAGE_SIZE } from "../base/page.js";
import { type Handle, native } from "../native/addon.js";
import { reserveStack } from "../native/stack.js";
import {
  checkTracking,
  type OsTracking,
  startWatch,
  type Tracking,
  type TrackingChoice,
  trackingError,
  type TrackingMode,
} from "./tracking.js";
import { WINDOW_SIZE } from "./windows.js";

/**
 * Where accessors that always set a mark set it for the pages of a window that is not tracked.
 * Nothing reads it.
 */
export const UNREAD_MARKS = new Uint8Array(newShared(WINDOW_SIZE / PAGE_SIZE));

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

/** What the marks need to know of their memory. */
interface TrackedMemory {
  /** Bytes. */
  readonly size: number;
  readonly handle: Handle;
  /** See the field of {@link MemoryMarks}. */
  readonly arenaMarks: Uint8Array | null;
}

/**
 * The dirty bitmap and the code guards of one memory, and the users to notify when these change or
 * the memory ends.
 *
 * The memory's own methods on both paths and every address space that maps it mark their writes
 * here. References to users are weak, because a memory can outlive the address spaces that map it.
 */
export class MemoryMarks implements MarkWriter {
  /**
   * The bitmap to mark, or null while writes are not tracked or the operating system tracks them.
   * Read it after the write.
   */
  dirty: DirtyBitmap | null = null;
  /** The bitmap that has the marks, or null while writes are not tracked. */
  bitmap: DirtyBitmap | null = null;
  /** Who demanded the tracking by the operating system; null if it does not track the writes. */
  #os: OsTracking | null = null;
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
  readonly #handle: Handle;
  readonly #users = new Set<UserReference>();
  readonly #onChange: () => void;
  /** Made when the tracking starts: a new WeakRef keeps its object until the turn has ended. */
  #self: MarkWriterReference | null = null;

  /**
   * @param onChange - Called after `dirty` or `plain` has changed, and when `guards` becomes null
   * or an object. It must not throw.
   */
  constructor({ size, handle, arenaMarks }: TrackedMemory, onChange: () => void) {
    this.#size = size;
    this.#handle = handle;
    this.arenaMarks = arenaMarks;
    this.#onChange = onChange;
  }

  /** Who tracks the writes; null if nobody does. */
  get tracking(): Tracking | null {
    return this.#os !== null ? "os" : this.dirty === null ? null : "software";
  }

  /** Whether a write needs no mark and calls no guard. */
  get idle(): boolean {
    return this.dirty === null && this.guards === null;
  }

  /**
   * The marks, byte `n` for page `n` of the memory, for fast paths that store 1 after the write to
   * a page. Null while `dirty` is null, and if a plain store does not suffice, so that only
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
   * Chooses how to track the memory. The caller passes the result to `set`, or calls `cancel`.
   *
   * @param how - A bitmap is for tracking by software. By default, the tracking that the memory
   * has, or else tracking by software.
   * @throws TypeError; RangeError if the bitmap is for RAM of another size; Error
   * `ERR_TRACKING_UNAVAILABLE` if the mode `"os"` is not available; Error `ERR_DESTROYED`; Error
   * `ERR_OUT_OF_MEMORY`.
   */
  choose(how?: TrackingMode | DirtyBitmap): TrackingChoice {
    const mode = how === undefined ? (this.bitmap === null ? "software" : "auto") : how;
    checkTracking(mode, "bitmap");
    if (typeof mode !== "string") {
      if (mode.size !== BigInt(this.#size)) {
        throw rangeError("bitmap must be for RAM of the memory's size");
      }
      return { bitmap: mode, os: null };
    }
    if (mode === "auto" && this.bitmap !== null) {
      return { bitmap: this.bitmap, os: this.#os };
    }
    if (mode === "os" && this.bitmap?.isShared === true) {
      throw trackingError("other threads have the marks, and cannot collect those of the system");
    }
    const bitmap = this.bitmap ?? new DirtyBitmap(this.#size);
    return { bitmap, os: mode !== "software" && startWatch(this.#handle, mode) ? mode : null };
  }

  /** Stops what `choose` has started, unless `set` followed. */
  cancel(): void {
    if (this.#os === null) {
      native.watchStop(this.#handle);
    }
  }

  /** Changes the tracking; null ends it. */
  set(choice: TrackingChoice | null): void {
    const before = this.bitmap;
    const { bitmap, os } = choice ?? { bitmap: null, os: null };
    if (bitmap === before && (os === null) === (this.#os === null)) {
      this.#os = os;
      return;
    }
    reserveStack();
    this.notifyUsers();
    if (this.#os !== null) {
      this.flush();
      native.watchStop(this.#handle);
    }
    if (bitmap !== before) {
      const self = (this.#self ??= new WeakRef(this));
      before?.detach(self);
      bitmap?.attach(self, this.arenaMarks);
    }
    this.#os = os;
    this.bitmap = bitmap;
    const dirty = os === null ? bitmap : null;
    if (dirty !== this.dirty) {
      this.dirty = dirty;
      this.#onChange();
    }
  }

  /** Marks the writes until now. Call it before the memory ends. */
  flush(): void {
    if (this.#os !== null) {
      this.bitmap!.collect();
    }
  }

  collect(marks: Uint8Array, first: number, end: number): void {
    if (this.#os !== null) {
      native.watchCollect(this.#handle, marks, first, end);
    }
  }

  sharing(): void {
    if (this.#os === "os") {
      throw trackingError("other threads cannot collect the marks of the system");
    }
    if (this.#os === "auto") {
      this.set({ bitmap: this.bitmap!, os: null });
    }
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
