import type { Bytes } from "../base/bytes.js";
import { bytesOf, fastLength } from "../base/view.js";
import { INSPECT } from "../base/inspect.js";
import type { GuestHalvesAccessors, GuestMemoryAccess } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import { Arena, arenaInternals, type ArenaOptions, type CallerMemory, detach } from "./arena.js";
import * as bulk from "./bulk.js";
import { destroyedError, type Operation, typeError, withCode } from "../base/errors.js";
import type { DirtyBitmap, DirtyCursor } from "./dirty-bitmap.js";
import type { AtomicLanes } from "../atomics/lane.js";
import { GeneralAccess } from "./general-access.js";
import type { Gpa } from "../base/gpa.js";
import { checkObject, toAddress, toByteCount } from "../base/arguments.js";
import { MemoryMarks, UNREAD_MARKS } from "./marks.js";
import {
  hasAddon,
  native,
  noAddon,
  type Handle,
  type NativeHandle,
  refuseNative,
} from "../native/addon.js";
import { importFirst, Part } from "../base/part.js";
import type { NativeAccess } from "../native/access.js";
import type { HalvesAccess } from "../base/halves-access.js";
import { halvesPart } from "../base/halves-part.js";
import { checkTotal, type GuestRange, type RangeList, toRanges } from "../base/ranges.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import { reserveStack } from "../native/stack.js";
import type { ProcessShared, ProcessSharedSource, SharedRamOptions } from "./process-sharing.js";
import { newSharedBuffer, type SharedRam, sharedRamOf, viewOf } from "./shared-ram.js";
import { type AccessPolicy, checkPolicy, policyNumber } from "../base/policy.js";
import type { PolicyAccess } from "./policy-access.js";
import { TrackedWrites } from "./tracked-writes.js";
import type { Tracking, TrackingMode } from "./tracking.js";
import { uncloneable } from "../base/uncloneable.js";
import type { ViewAtomics } from "./atomics.js";
import { BYTE } from "../base/widths.js";
import { branchFromNowOn, selectUntilRefusal } from "./accessor-forms.js";
import { EMPTY_WINDOW, WINDOW_SIZE, type Window, Windows } from "./windows.js";
import { HOST_IS_LITTLE_ENDIAN } from "../base/host.js";

/* eslint-disable @typescript-eslint/no-require-imports -- loaded when first used */

export const nativeAccess = new Part(
  () => require("../native/access.js") as typeof import("../native/access.js"),
  noAddon,
);

const processSharing = new Part(
  () => require("./process-sharing.js") as typeof import("./process-sharing.js"),
  noAddon,
);

export const memoryAtomics = new Part(
  () =>
    require("./atomics.js") as Pick<typeof import("./atomics.js"), "plainLanes" | "ViewAtomics">,
  importFirst("atomics"),
);

export const memoryPolicies = new Part(
  () => require("./policy-access.js") as Pick<typeof import("./policy-access.js"), "policyAccess">,
  importFirst("accessors"),
);

/* eslint-enable @typescript-eslint/no-require-imports */

const NO_MARKS = new Uint8Array(0);

/**
 * Guest physical RAM: `guest_memory_t` of Pound's header.
 *
 * The accessors of this class are the *view path*: TypeScript over the zero-copy buffer, which V8
 * inlines into the caller. {@link GuestMemory.native} has the *native path*: the compiled C++
 * accessors over the same bytes. Both paths agree on every value, result code and byte.
 *
 * The memory belongs to an {@link Arena}. After the arena is reset or destroyed, or the memory is
 * destroyed, the result of every access is `ERROR_INTERNAL`, and {@link GuestMemory.buffer} is
 * detached.
 *
 * @example
 *
 * ```ts
 * using memory = GuestMemory.allocate(16 * 1024 * 1024);
 * memory.writel(0x1000, 0xdeadbeef);
 * const low = memory.readw(0x1000); // 0xbeef
 * const out = new Uint32Array(1);
 * const result = memory.tryReadl(0x1002, out); // GuestMemAccessResult.FAULT_UNALIGNED
 * ```
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-declaration-merging -- see the interface
export class GuestMemory implements Disposable {
  /** @internal */
  readonly uncloneable = uncloneable;

  /**
   * The native path to the same RAM: each call runs the compiled C++ accessor through N-API.
   *
   * @throws Error `ERR_NO_ADDON` if the addon is not loaded: see {@link GuestMemory.hasNative}.
   */
  declare readonly native: NativeAccess;

  // The fields below are not #private, because the accessors of accessor-forms.ts use them, and
  // because V8 constant-folds #private fields less well: an access to a memory that is a constant
  // of the caller would take a third more time. Code outside the class that writes to a field
  // cannot reach other memory, because the engine checks every index against the typed array.

  // The fields of the first window, copied here for the hot path; empty after the RAM has ended.
  // Until then they are assigned only once, so that V8 can treat the arrays as constants. Therefore
  // RAM over 4 GiB has those of SelectingAccess, which are empty, until `#useFirst` adds its own.
  // They are the last fields of every memory, so that all memories get the same hidden class.
  /** @internal */
  declare protected u8: Uint8Array;
  /** @internal */
  declare protected u16: Uint16Array;
  /** @internal */
  declare protected u32: Uint32Array;
  /** @internal */
  declare protected u64: BigUint64Array;
  // The same arrays, for writes. Empty while writes are tracked (see TrackedWrites) or guarded.
  /** @internal */
  declare protected w8: Uint8Array;
  /** @internal */
  declare protected w16: Uint16Array;
  /** @internal */
  declare protected w32: Uint32Array;
  /** @internal */
  declare protected w64: BigUint64Array;
  /** The elements of `u64`, which bound the accesses of all widths. @internal */
  declare protected quads: number;
  /** As `quads`, for writes. 0 while writes are tracked or guarded. @internal */
  declare protected writeQuads: number;
  /**
   * The marks of the first window, which TrackedWrites sets. Empty while writes are guarded.
   * @internal
   */
  protected marks: Uint8Array = NO_MARKS;
  /** Makes the accesses that the hot path does not make. */
  private readonly general: GeneralAccess;
  static {
    // The accessors. See accessor-forms.ts.
    selectUntilRefusal(this.prototype);
    refuseNative(this.prototype);
  }

  readonly #arena: Arena;
  readonly #ownsArena: boolean;
  readonly #handle: Handle;
  readonly #size: number;
  /** Whether the RAM lies in a buffer of the caller. */
  readonly #borrowed: boolean;
  readonly #forgetEnding: () => void;
  readonly #marks: MemoryMarks;
  readonly #shareable: SharedRam | null;
  #atomics: ViewAtomics | undefined;
  #nativeHandle: NativeHandle | undefined;
  #halves: HalvesAccess | undefined;
  /** The policy objects of this memory, by the number of the policy. */
  readonly #policies: PolicyAccess[] = [];
  /** The windows that code outside this package may have a view of. */
  readonly #exposed = new Set<Window>();
  #destroyed = false;

  /**
   * @param adopted - The bytes of the arena that become RAM, without a descriptor. Undefined for
   * RAM that is allocated from the arena.
   */
  private constructor(arena: Arena, ownsArena: boolean, adopted?: Adopted) {
    const { handle, owner: ownerOf, bytesAt, onEnding, rebase, forks } = arenaInternals(arena);
    const owner = ownerOf();
    const block = adopted?.block;
    this.#handle = createMemory(handle(), adopted);
    this.#arena = arena;
    this.#ownsArena = ownsArena;
    this.#borrowed = owner !== null || block !== undefined;
    this.#size = native.guestMemorySize(this.#handle);
    this.#marks = new MemoryMarks(
      { size: this.#size, handle: this.#handle, arenaMarks: adopted?.marks ?? null },
      () => this.#marksChanged(),
    );
    const base = native.guestMemoryOffset(this.#handle);
    const windows = new Windows(
      this.#size,
      block === undefined
        ? (start, length) => bytesAt(base + start, length)
        : (start, length) => block().subarray(start, start + length),
      (first) => {
        this.#useFirst(first);
      },
    );
    if (this.#size > 2 ** 31) {
      // The first form refuses bytes from 2 GiB on.
      branchFromNowOn();
    }
    this.general = new GeneralAccess(this.#size, windows, owner?.buffer ?? null, this.#marks);
    this.#shareable = sharedRamOf(owner, base, this.#size);
    this.#forgetEnding = onEnding(() => this.#end());
    if (hasAddon) {
      this.native = new (nativeAccess.get().NativeAccess)(
        this.#handle,
        this.size,
        (address) => this.general.lost(address),
        this.#marks,
      );
    }
    internals.set(this, {
      handle: this.#handle,
      size: this.#size,
      windowAt: (address) => windows.at(address),
      checkRange: (address, length) => this.general.checkRange(address, length),
      prepareWrite: (address, length) => this.general.prepareWrite(address, length),
      marks: this.#marks,
      atomicLanes: () => this.#viewAtomics().lanes,
      mayAlias: (bytes) => bulk.mayAlias(this.general.windows, bytes),
      rebase,
      forks,
      resident: () => this.#resident(),
    });
    if (this.#size === 0) {
      this.#useFirst(EMPTY_WINDOW);
    } else if (owner !== null) {
      // Now, because no view can be made of a buffer that the caller has detached.
      windows.all();
    } else if (this.#size <= WINDOW_SIZE && adopted?.length === undefined) {
      windows.at(0);
    }
  }

  /**
   * Turns an arena into guest RAM (`guest_memory_create`): allocates the descriptor from it, then
   * all remaining bytes as RAM.
   *
   * @throws TypeError if `arena` is not an {@link Arena}; RangeError `ERR_ARENA_EXHAUSTED` if the
   * descriptor does not fit, for instance because the arena has guest RAM already; Error
   * `ERR_DESTROYED`.
   */
  static create(arena: Arena): GuestMemory {
    return new GuestMemory(arena, false);
  }

  /**
   * Allocates `size` bytes of zeroed RAM, in an arena that is destroyed together with the RAM. It
   * starts at a page of the system, and all bytes of the arena are used.
   *
   * Call {@link GuestMemory.destroy} when the RAM is no longer needed, or declare it with `using`.
   * Without that, the memory is released in a turn of the event loop after the garbage collection:
   * 300 memories of 16 MiB that one loop fills and drops take 4.8 GB at the peak, and 0.06 GB with
   * `destroy()`.
   *
   * The view path needs an ArrayBuffer for each 4 GiB. V8 collects garbage before it returns such a
   * buffer, which takes milliseconds. Therefore RAM over 4 GiB makes each buffer when its 4 GiB are
   * first accessed, and an access throws `ERR_OUT_OF_MEMORY` if the runtime refuses the buffer. To
   * make the first one early, read {@link GuestMemory.buffer} or write to RAM in bulk: objects that
   * store the memory afterwards access it faster.
   *
   * @param size - Bytes, from 0 to 2^53 - 1 less the descriptor.
   * @throws TypeError, RangeError for an invalid size; TypeError for invalid options; Error
   * `ERR_OUT_OF_MEMORY`.
   */
  static allocate(size: Gpa, options: ArenaOptions = {}): GuestMemory {
    const bytes = toByteCount(size, "size");
    const arena = Arena.create(bytes + native.descriptorSize, options);
    // No descriptor before the RAM, so that it starts at a page: the operating system tracks pages.
    return GuestMemory.#owning(arena, { offset: 0, size: bytes });
  }

  /**
   * As {@link GuestMemory.allocate}, on a SharedArrayBuffer, so that other threads can
   * {@link GuestMemory.attach} to the RAM.
   *
   * With a name or a file, other processes, and threads of this one, can map the same RAM: pass
   * {@link GuestMemory.processShared} to {@link GuestMemory.openShared} there. Such RAM is not over
   * a SharedArrayBuffer. docs/shared-memory.md has what is protected from the other processes.
   *
   * @param size - Bytes; at least 1 for RAM with a name or a file.
   * @throws as {@link GuestMemory.allocate}; for RAM with a name or a file, also Error
   * `ERR_SHARING_UNAVAILABLE` if the system or the runtime has no such memory; `EEXIST` if the name
   * or the file exists; other errors of the file system.
   */
  static allocateShared(size: Gpa, options: SharedRamOptions = {}): GuestMemory {
    const { name, file } = checkObject(options, "options");
    if (name !== undefined || file !== undefined) {
      const mapped = processSharing.get().createShared(size, options);
      return GuestMemory.#owning(Arena.shared(mapped), { offset: 0 });
    }
    const bytes = toByteCount(size, "size");
    return new GuestMemory(Arena.over(newSharedBuffer(bytes + native.descriptorSize)), true);
  }

  /**
   * Makes RAM of existing bytes: byte `i` of `memory` is guest physical address `i`. All of them
   * become RAM and none of them changes. The RAM holds a reference to the buffer. It lies in the
   * caller's memory, so {@link GuestMemory.destroy} neither changes nor detaches it. When the
   * buffer is detached, every access is `ERROR_INTERNAL`.
   *
   * Several memories may have the same bytes. Each has its own dirty marks, which only writes
   * through that memory set.
   *
   * {@link GuestMemory.arena} is an arena over the same bytes, all of which are used.
   *
   * The accessors are fastest if the view starts at a multiple of 8 in its buffer. An atomic access
   * is `ERROR_INTERNAL` if the host address of the first byte is not a multiple of its width.
   *
   * @param memory - At least 1 byte. A resizable ArrayBuffer is refused: its pages can be unmapped.
   * @throws TypeError for another type; RangeError if `memory` is empty, resizable or detached.
   *
   * @example
   *
   * ```ts
   * const bytes = new Uint8Array(4096);
   * const low = GuestMemory.over(bytes.subarray(0, 2048));
   * low.writel(0, 0x1234);
   * console.log(bytes[0]); // 52
   * ```
   */
  static over(memory: CallerMemory): GuestMemory {
    return new GuestMemory(Arena.over(memory), true, { offset: 0 });
  }

  /**
   * Opens RAM that another thread shares. Both objects access the same bytes, but each ends on its
   * own: after {@link GuestMemory.destroy} here, the other threads can still use the RAM.
   *
   * @param shared - The {@link GuestMemory.shareable} of the memory in the other thread.
   * @throws TypeError if `shared` is not such a value; RangeError if the RAM does not lie in the
   * buffer.
   */
  static attach(shared: SharedRam): GuestMemory {
    const { view, base } = viewOf(shared);
    return new GuestMemory(Arena.over(view), true, { offset: base });
  }

  /**
   * Makes RAM of a region of a snapshot file, whose pages are read when they are first accessed:
   * see `SnapshotFile.mapMemory`.
   *
   * @param file - A `SnapshotFile` of `pound-guest-memory/snapshot`.
   * @throws TypeError; the errors of `SnapshotFile.mapMemory`.
   *
   * @example
   * ```js
   * import { tmpdir } from "node:os";
   * import { join } from "node:path";
   * import { GuestMemory } from "pound-guest-memory";
   * import { openSnapshot, saveSnapshot, takeSnapshot } from "pound-guest-memory/snapshot";
   *
   * const path = join(tmpdir(), "mapped.snapshot");
   * const saved = GuestMemory.allocate(1024 * 1024);
   * saved.writel(0x100, 42);
   * await saveSnapshot(takeSnapshot(saved), path);
   *
   * const file = await openSnapshot(path);
   * const memory = await GuestMemory.map(file);
   * await file.close();
   * console.log(memory.readl(0x100)); // 42
   * ```
   */
  static async map(file: MappableFile, options: MapOptions = {}): Promise<GuestMemory> {
    if (typeof (Object(file) as Partial<MappableFile>).mapMemory !== "function") {
      throw typeError("file must be a SnapshotFile");
    }
    const { region = 0 } = checkObject(options, "options");
    return file.mapMemory(region, options);
  }

  /**
   * Makes RAM of a part of a file, which must not change.
   *
   * @param onLoss - Called instead of a warning when bytes of the file are gone.
   * @returns Null if the system cannot map it.
   * @internal
   */
  static ofFile(
    { descriptor, offset, size }: FilePart,
    onLoss: ((error: Error) => void) | undefined,
  ): GuestMemory | null {
    const arena = native.externalBuffers ? Arena.map(descriptor, offset, size) : null;
    if (arena === null) {
      return null;
    }
    if (onLoss !== undefined) {
      arenaInternals(arena).onLoss(onLoss);
    }
    return GuestMemory.#owning(arena, { offset: 0 });
  }

  /**
   * The parts of an open file that may not be zero: offsets from `offset` on, and lengths.
   * @internal
   */
  static dataOf({ descriptor, offset, size }: FilePart): Float64Array {
    return native.fileData(descriptor, offset, size);
  }

  /**
   * Maps RAM that another process shares. Both access the same bytes, but each ends on its own.
   *
   * The bytes must be memory of {@link GuestMemory.allocateShared} or a file, open to writes. A
   * memfd of another program is sealed against becoming shorter (`F_SEAL_SHRINK`), unless it
   * refuses seals.
   *
   * @throws TypeError, RangeError for an invalid source; RangeError if the memory is empty or has
   * fewer bytes than `source.size`; Error `ERR_SHARING_UNAVAILABLE`, `ERR_NOT_REGULAR_FILE`,
   * `ERR_OUT_OF_MEMORY`; `ENOENT` and other errors of the file system.
   */
  static openShared(source: ProcessSharedSource): GuestMemory {
    return GuestMemory.#owning(Arena.shared(processSharing.get().openShared(source)), {
      offset: 0,
    });
  }

  /** RAM that destroys its arena when it ends. The arena has no other user. */
  static #owning(arena: Arena, adopted: Adopted): GuestMemory {
    try {
      return new GuestMemory(arena, true, adopted);
    } catch (error) {
      arena.destroy();
      throw error;
    }
  }

  /**
   * Makes RAM of a block that is allocated from an arena. The memory ends with the arena.
   *
   * @internal
   */
  static part(arena: Arena, part: Required<Omit<Adopted, "size">>): GuestMemory {
    return new GuestMemory(arena, false, part);
  }

  /**
   * Makes a clone: RAM with the same bytes, in an arena of its own that is destroyed with it.
   * Writes to one are not seen by the other. The addresses of the bytes of this memory do not
   * change, so that all views stay valid.
   *
   * On Linux, the two share the pages that neither has written since, and further forks of the same
   * state take microseconds. The first fork of memory that was allocated with `forkable` takes a
   * millisecond; that of other memory copies the resident pages once. A fork of memory that was
   * written since its last fork copies the pages that were written. On other systems, and for
   * memory of the caller, which includes shared RAM, every fork is a copy: see
   * {@link GuestMemory.forksShareMemory}.
   *
   * Other threads may write to the memory during the call, unless it is its first fork and it was
   * allocated without `forkable`. The clone has the bytes of one moment. To find one, a fork of
   * memory that was forked before, and one of shared RAM, compares the pages twice.
   *
   * The clone is not tracked, even if this memory is.
   *
   * @throws Error `ERR_DESTROYED` if the memory has ended or a buffer of it was detached;
   * `ERR_OUT_OF_MEMORY`; `ERR_BUSY` if other threads write to the memory all the time.
   *
   * @example
   * ```js
   * import { GuestMemory } from "pound-guest-memory";
   *
   * const parent = GuestMemory.allocate(1024 * 1024, { forkable: true });
   * parent.writeb(0, 1);
   * const clone = parent.fork();
   * clone.writeb(0, 2);
   * console.log(parent.readb(0), clone.readb(0)); // 1 2
   * console.log(clone.reset(), clone.readb(0)); // 1 1
   * ```
   */
  fork(): GuestMemory {
    this.#checkThere();
    if (this.#size === 0) {
      return GuestMemory.allocate(0);
    }
    const offset = native.guestMemoryOffset(this.#handle);
    const arena = arenaInternals(this.#arena).fork();
    return GuestMemory.#owning(arena, { offset, length: this.#size });
  }

  /**
   * Gives the bytes the values that they had at the last fork: a clone those of its parent at that
   * moment, unless the clone was forked itself since. Takes time in proportion to the pages that
   * were written.
   *
   * As for any other write, the pages that change are marked in tracked RAM, and the code guards of
   * bytes on them are called before the first byte changes. A fork of one memory counts for all
   * memories of its arena.
   *
   * @returns The number of pages that had other bytes.
   * @throws Error `ERR_NOT_FORKED` if the memory neither is a clone nor was forked; `ERR_DESTROYED`
   * if the memory has ended or a buffer of it was detached; what the listener of a code guard
   * throws.
   */
  reset(): number {
    this.#checkThere();
    if (this.#size === 0) {
      return 0;
    }
    const handle = arenaInternals(this.#arena).handle();
    const offset = native.guestMemoryOffset(this.#handle);
    if (this.#marks.guards !== null) {
      const parts = native.arenaChanges(handle, offset, this.#size) ?? throwNotForked();
      for (let i = 0; i < parts.length; i += 2) {
        this.#marks.callGuards(parts[i]! - offset, parts[i + 1]!);
      }
      // A listener may have ended the memory.
      this.#checkThere();
    }
    const { bitmap } = this.#marks;
    if (bitmap === null) {
      return native.arenaRevert(handle, offset, this.#size, false) ?? throwNotForked();
    }
    // The system forgets the writes to pages that are given back, and sees no write in that.
    this.#marks.flush();
    const parts = native.arenaRevert(handle, offset, this.#size, true) ?? throwNotForked();
    for (let i = 0; i < parts.length; i += 2) {
      bitmap.mark(parts[i]! - offset, parts[i + 1]);
    }
    return parts.length / 2;
  }

  #resident(): Float64Array {
    if (this.#size === 0) {
      return new Float64Array(0);
    }
    const base = native.guestMemoryOffset(this.#handle);
    const parts = native.arenaResident(arenaInternals(this.#arena).handle(), base, this.#size);
    return parts.map((value, i) => (i % 2 === 0 ? value - base : value));
  }

  /**
   * Whether clones of memory that the package allocates share pages with their parent until one of
   * them writes, on this system. Otherwise they are copies.
   */
  static get forksShareMemory(): boolean {
    return native.forksShareMemory && native.externalBuffers;
  }

  /**
   * Whether the compiled addon is loaded. If not, memory lies in ArrayBuffers of the runtime, and
   * everything that needs the addon throws `ERR_NO_ADDON`, with the cause and the remedy:
   * {@link GuestMemory.native}, {@link GuestMemory.handle} and the same properties of other
   * classes.
   */
  static get hasNative(): boolean {
    return hasAddon;
  }

  get size(): bigint {
    return BigInt(this.#size);
  }

  /** The arena that the RAM belongs to. */
  get arena(): Arena {
    return this.#arena;
  }

  /**
   * The value to post to another thread, where {@link GuestMemory.attach} opens the same RAM. Null
   * if the RAM does not lie in a SharedArrayBuffer or has ended.
   */
  get shareable(): SharedRam | null {
    return this.#destroyed ? null : this.#shareable;
  }

  /**
   * The value to pass to another process, where {@link GuestMemory.openShared} opens the same RAM.
   * On Linux, the path of RAM with a name leads to a descriptor of this process, so it works until
   * this memory or the process ends; processes that have opened it keep the RAM.
   *
   * Null if the RAM is not shared with processes, has ended, or can only be inherited.
   */
  get processShared(): ProcessShared | null {
    return this.#destroyed ? null : (arenaInternals(this.#arena).mapped()?.shared ?? null);
  }

  /**
   * A file descriptor of RAM that processes share, for the `stdio` of a child process. It is open
   * until the memory is destroyed; do not close it. Null on Windows and for other RAM.
   */
  get sharedDescriptor(): number | null {
    const mapped = this.#destroyed ? null : arenaInternals(this.#arena).mapped();
    const descriptor = mapped === null ? -1 : native.arenaDescriptor(mapped.arena);
    return descriptor < 0 ? null : descriptor;
  }

  /**
   * Whether an access found that bytes of a shared file were gone, because another process has made
   * the file shorter or the disk is full or broken. In this process, these bytes are zeros since,
   * and writes to them do not reach the file.
   */
  get lostSharing(): boolean {
    const mapped = this.#destroyed ? null : arenaInternals(this.#arena).mapped();
    return mapped !== null && native.arenaLostSharing(mapped.arena);
  }

  /**
   * Atomic accessors, for RAM that several threads use at the same time: JavaScript's `Atomics`
   * with the checks and results of the accessors. {@link NativeAccess.atomics} has the C++
   * versions.
   *
   * @throws Error `ERR_NOT_IMPORTED` in a browser, if the program does not import
   * `pound-guest-memory/atomics`.
   */
  get atomics(): GuestAtomicAccess {
    return this.#viewAtomics();
  }

  /**
   * The handle for native addons (`pound_memory_get` of `node/guest_handle.h`). It is the same
   * object each time, and works in this thread only.
   *
   * Writes of an addon set no dirty marks: call `mark` of the bitmap afterwards.
   *
   * @throws Error `ERR_OUT_OF_MEMORY`.
   */
  get handle(): NativeHandle {
    return (this.#nativeHandle ??= native.coreMemoryCreate(this.#handle));
  }

  /**
   * The accessors whose addresses and 64-bit values are two halves of 32 bits.
   *
   * @throws Error `ERR_NOT_IMPORTED` in a browser, if the program does not import
   * `pound-guest-memory/accessors`.
   */
  get halves(): GuestHalvesAccessors {
    return (this.#halves ??= halvesPart.get().halvesOfRam(this, this.#size));
  }

  /**
   * The accessors of this memory under an access policy: with unaligned accesses, or with values in
   * big-endian order. Each call with the same policy returns the same object.
   *
   * @throws TypeError, RangeError for an invalid policy; Error `ERR_OUT_OF_MEMORY`; in a browser,
   * Error `ERR_NOT_IMPORTED` if the program does not import `pound-guest-memory/accessors`.
   */
  withPolicy(policy: AccessPolicy): PolicyAccess {
    const checked = checkPolicy(policy);
    const { policyAccess } = memoryPolicies.get();
    return (this.#policies[policyNumber(checked)] ??= policyAccess(checked, {
      owner: this,
      native: hasAddon ? this.native : null,
      general: this.general,
      marks: this.#marks,
    }));
  }

  /** The accessors that `BigEndianAccess` calls. @internal */
  protected byView(): PolicyAccess {
    return this.#policies[0] ?? this.withPolicy({});
  }

  /** Whether the RAM has ended: it is destroyed, or its arena is reset or destroyed. */
  get destroyed(): boolean {
    return this.#destroyed;
  }

  /**
   * The dirty bitmap of the memory: the pages that were written since the last drain. Null if the
   * memory is not tracked. All address spaces that map the memory mark their writes in it.
   */
  get dirty(): DirtyBitmap | null {
    return this.#marks.bitmap;
  }

  /** Who tracks the writes to the memory; null if nobody does. */
  get tracking(): Tracking | null {
    return this.#marks.tracking;
  }

  /**
   * Starts or changes dirty tracking. From now on, every write to the memory sets a mark: through
   * its methods on both paths, and through any region of any space that maps it. Writes to buffers
   * of the memory set marks only if the operating system tracks them.
   *
   * @param how - A mode, or a bitmap, for instance one shared with other threads, in which the
   * accessors set the marks. By default the memory keeps the tracking that it has, or else its
   * accessors set marks in a new bitmap.
   * @returns The bitmap in use. A mode keeps the bitmap that the memory has.
   * @throws TypeError; RangeError if the bitmap is for RAM of another size; Error
   * `ERR_TRACKING_UNAVAILABLE` if the mode is `"os"` and the operating system cannot track this
   * memory, or if other threads have its marks; Error `ERR_DESTROYED` for `"os"` if the memory has
   * ended; Error `ERR_OUT_OF_MEMORY`.
   */
  startTracking(how?: TrackingMode | DirtyBitmap): DirtyBitmap {
    const choice = this.#marks.choose(how);
    try {
      this.#marks.set(choice);
    } catch (error) {
      this.#marks.cancel();
      throw error;
    }
    return choice.bitmap;
  }

  /** Stops dirty tracking. The cursors of the memory get no more marks. */
  stopTracking(): void {
    this.#marks.set(null);
  }

  /**
   * Adds a consumer of the dirty marks, which gets every page that is written from now on. Starts
   * dirty tracking if needed. Other cursors, snapshots and {@link DirtyBitmap.drain} do not take
   * its marks, nor it theirs.
   *
   * @throws Error `ERR_OUT_OF_MEMORY`.
   */
  dirtyCursor(): DirtyCursor {
    return this.startTracking().dirtyCursor();
  }

  /**
   * A view of the RAM, not a copy: byte `i` is guest physical address `i`. It covers the first 4
   * GiB; {@link GuestMemory.buffers} covers all of the RAM. When the RAM ends, it is detached,
   * unless the RAM lies in memory of the caller. Afterwards this property is an empty Buffer.
   */
  get buffer(): Bytes {
    return bulk.asBuffer(this.#expose(this.general.windows.at(0)).u8);
  }

  /**
   * Views of the RAM, one per 4 GiB: byte `i` of buffer `n` is address `n * 2^32 + i`. All of them
   * are made, which takes milliseconds per view.
   *
   * @throws Error `ERR_OUT_OF_MEMORY`.
   */
  get buffers(): Bytes[] {
    return this.general.windows.all().map((window) => bulk.asBuffer(this.#expose(window).u8));
  }

  /**
   * Ends the use of the RAM. Destroys the arena too, unless the caller passed it to
   * {@link GuestMemory.create}. A second call has no effect.
   */
  destroy(): void {
    reserveStack();
    this.#forgetEnding();
    this.#end();
    if (this.#ownsArena) {
      this.#arena.destroy();
    }
  }

  /** As {@link GuestMemory.destroy}, for `using` declarations. */
  [Symbol.dispose](): void {
    this.destroy();
  }

  /** The text that `console.log` prints, without the bytes of RAM. */
  [INSPECT](): string {
    return `GuestMemory { size: ${this.#size}, destroyed: ${this.#destroyed} }`;
  }

  /** The value that `JSON.stringify` writes, without the bytes of RAM. The size is in bytes. */
  toJSON(): { type: "GuestMemory"; size: number; destroyed: boolean } {
    return { type: "GuestMemory", size: this.#size, destroyed: this.#destroyed };
  }

  // Bulk access, at any alignment. If the range does not lie in RAM, the access throws and changes
  // no byte.

  /**
   * Copies bytes out of RAM.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; TypeError, RangeError for an
   * invalid argument.
   */
  read(gpa: Gpa, length: Gpa): Bytes {
    const count = toByteCount(length, "length");
    if (this.#inFirstWindow(gpa, count)) {
      const target = bulk.newBuffer(count);
      bulk.copyOut(this.u8, gpa, count, target);
      return target;
    }
    const start = this.general.locateRange(gpa, count, "read");
    const target = bulk.newBuffer(count);
    bulk.readInto(this.general.windows, start, target);
    return target;
  }

  /**
   * Fills all of `target` with bytes of RAM.
   *
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; the errors of
   * {@link GuestMemory.tryReadInto}. `target` is unchanged after an error.
   */
  readInto(gpa: Gpa, target: ArrayBufferView): void {
    if (this.tryReadInto(gpa, target) !== OK) {
      this.general.locateRange(gpa, bytesOf(target, "target").length, "read");
    }
  }

  /**
   * As {@link GuestMemory.readInto}, but returns the result code of a fault.
   *
   * @throws TypeError, RangeError for an invalid address; TypeError if `target` is not a view;
   * RangeError if it is detached or lies outside its buffer.
   */
  tryReadInto(gpa: Gpa, target: ArrayBufferView): GuestMemAccessResult {
    const length = fastLength(target);
    if (this.#inFirstWindow(gpa, length)) {
      bulk.copyOut(this.u8, gpa, length, target as Uint8Array);
      return OK;
    }
    const bytes = bytesOf(target, "target");
    const start = toAddress(gpa);
    const result = this.general.checkRange(start, bytes.length);
    if (result === OK) {
      bulk.readInto(this.general.windows, start, bytes);
    }
    return result;
  }

  /**
   * Copies `source`, which may be a view of this RAM, into RAM.
   *
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; the errors of
   * {@link GuestMemory.tryWrite}.
   */
  write(gpa: Gpa, source: ArrayBufferView): void {
    if (this.tryWrite(gpa, source) !== OK) {
      this.general.locateRange(gpa, bytesOf(source, "source").length, "write");
    }
  }

  /**
   * As {@link GuestMemory.write}, but returns the result code of a fault.
   *
   * @throws TypeError, RangeError for an invalid address; TypeError if `source` is not a view;
   * RangeError if it is detached or lies outside its buffer.
   */
  tryWrite(gpa: Gpa, source: ArrayBufferView): GuestMemAccessResult {
    const length = fastLength(source);
    if (this.#marks.guards === null && this.#inFirstWindow(gpa, length)) {
      this.u8.set(source as Uint8Array, gpa);
      this.#marks.mark(gpa, length);
      return OK;
    }
    const bytes = bytesOf(source, "source");
    const start = toAddress(gpa);
    const count = bytes.length;
    const result = this.general.prepareWrite(start, count);
    bulk.checkStillThere(bytes, count);
    if (result === OK) {
      this.general.makeWindows(start, bytes.length);
      bulk.write(this.general.windows, start, bytes);
      this.#marks.mark(start, bytes.length);
    }
    return result;
  }

  /**
   * Sets every byte of a range to `value`.
   *
   * @throws {@link GuestMemoryFault} if a byte lies outside RAM; the errors of
   * {@link GuestMemory.tryFill}.
   */
  fill(gpa: Gpa, length: Gpa, value: number): void {
    if (this.tryFill(gpa, length, value) !== OK) {
      this.general.locateRange(gpa, toByteCount(length, "length"), "write");
    }
  }

  /**
   * As {@link GuestMemory.fill}, but returns the result code of a fault.
   *
   * @param length - Bytes, from 0 to 2^53 - 1.
   * @param value - From -128 to 255.
   * @throws TypeError, RangeError for an invalid argument.
   */
  tryFill(gpa: Gpa, length: Gpa, value: number): GuestMemAccessResult {
    const count = toByteCount(length, "length");
    const byte = BYTE.checkValue(value);
    if (this.#marks.guards === null && this.#inFirstWindow(gpa, count)) {
      this.u8.fill(byte, gpa, gpa + count);
      this.#marks.mark(gpa, count);
      return OK;
    }
    const start = toAddress(gpa);
    const result = this.general.prepareWrite(start, count);
    if (result === OK) {
      this.general.makeWindows(start, count);
      bulk.fill(this.general.windows, start, count, byte);
      this.#marks.mark(start, count);
    }
    return result;
  }

  /**
   * Copies a range of RAM to another address. The ranges may overlap.
   *
   * @throws {@link GuestMemoryFault} for a read if the source does not lie in RAM, or for a write
   * if the target does not; the errors of {@link GuestMemory.tryCopy}.
   */
  copy(target: Gpa, source: Gpa, length: Gpa): void {
    if (this.tryCopy(target, source, length) !== OK) {
      const count = toByteCount(length, "length");
      this.general.locateRange(source, count, "read");
      this.general.locateRange(target, count, "write");
    }
  }

  /**
   * As {@link GuestMemory.copy}, but returns the result code of a fault.
   *
   * @param length - Bytes, from 0 to 2^53 - 1.
   * @throws TypeError, RangeError for an invalid argument.
   */
  tryCopy(target: Gpa, source: Gpa, length: Gpa): GuestMemAccessResult {
    const count = toByteCount(length, "length");
    const { guards } = this.#marks;
    if (
      guards === null &&
      this.#inFirstWindow(source, count) &&
      this.#inFirstWindow(target, count)
    ) {
      this.u8.copyWithin(target, source, source + count);
      this.#marks.mark(target, count);
      return OK;
    }
    const from = toAddress(source);
    const to = toAddress(target);
    const readable = this.general.checkRange(from, count);
    // A listener of a guard that ends the memory ends it for both ranges.
    const result = readable === OK ? this.general.prepareWrite(to, count) : readable;
    if (result === OK) {
      this.general.makeWindows(from, count);
      this.general.makeWindows(to, count);
      bulk.copy(this.general.windows, to, from, count);
      this.#marks.mark(to, count);
    }
    return result;
  }

  /**
   * Gathers: copies the bytes of several ranges, one after another, into `target`. All ranges are
   * checked before the first byte is copied.
   *
   * @param ranges - They may overlap.
   * @param target - As many bytes as all ranges together.
   * @throws {@link GuestMemoryFault} for the first range with a byte outside RAM; the errors of
   * {@link GuestMemory.tryReadVector}. `target` is unchanged after an error.
   *
   * @example
   *
   * ```ts
   * const memory = GuestMemory.allocate(4096);
   * const packet = new Uint8Array(12);
   * memory.readVector([{ gpa: 0x100, length: 8 }, { gpa: 0x800, length: 4 }], packet);
   * ```
   */
  readVector(ranges: readonly GuestRange[], target: ArrayBufferView): void {
    const list = toRanges(ranges);
    if (this.#readVector(list, target) !== OK) {
      this.#throwFault(list, "read");
    }
  }

  /**
   * As {@link GuestMemory.readVector}, but returns the result code of a fault.
   *
   * @throws TypeError if `ranges` is not an array of ranges, or if `target` is not a view;
   * RangeError for an invalid address or length, or if `target` is detached or has another length
   * than the ranges.
   */
  tryReadVector(ranges: readonly GuestRange[], target: ArrayBufferView): GuestMemAccessResult {
    return this.#readVector(toRanges(ranges), target);
  }

  /**
   * Scatters: copies `source`, which may be a view of this RAM, to several ranges, one after
   * another. All ranges are checked before the first byte is copied.
   *
   * @param ranges - Where they overlap, the bytes of the last one stay.
   * @param source - As many bytes as all ranges together.
   * @throws {@link GuestMemoryFault} for the first range with a byte outside RAM; the errors of
   * {@link GuestMemory.tryWriteVector}. No byte changes after an error.
   */
  writeVector(ranges: readonly GuestRange[], source: ArrayBufferView): void {
    const list = toRanges(ranges);
    if (this.#writeVector(list, source) !== OK) {
      this.#throwFault(list, "write");
    }
  }

  /**
   * As {@link GuestMemory.writeVector}, but returns the result code of a fault.
   *
   * @throws TypeError if `ranges` is not an array of ranges, or if `source` is not a view;
   * RangeError for an invalid address or length, or if `source` is detached or has another length
   * than the ranges.
   */
  tryWriteVector(ranges: readonly GuestRange[], source: ArrayBufferView): GuestMemAccessResult {
    return this.#writeVector(toRanges(ranges), source);
  }

  #readVector(list: RangeList, target: ArrayBufferView): GuestMemAccessResult {
    const bytes = bytesOf(target, "target");
    checkTotal(list, bytes, "target");
    const result = this.#checkRanges(list);
    if (result === OK) {
      bulk.readVector(this.general.windows, list, bytes);
    }
    return result;
  }

  #writeVector(list: RangeList, source: ArrayBufferView): GuestMemAccessResult {
    const bytes = bytesOf(source, "source");
    checkTotal(list, bytes, "source");
    const { length } = bytes;
    let result = this.#checkRanges(list);
    const { guards } = this.#marks;
    if (guards !== null && result === OK) {
      for (let i = 0; i < list.gpas.length; i++) {
        this.general.prepareWrite(Number(list.gpas[i]), list.lengths[i]!);
      }
      // A listener may have destroyed the memory, or detached the source.
      result = this.#checkRanges(list);
      bulk.checkStillThere(bytes, length);
    }
    if (result === OK) {
      list.gpas.forEach((gpa, i) => this.general.makeWindows(Number(gpa), list.lengths[i]!));
      bulk.writeVector(this.general.windows, list, bytes);
      for (let i = 0; i < list.gpas.length; i++) {
        this.#marks.mark(Number(list.gpas[i]), list.lengths[i]!);
      }
    }
    return result;
  }

  /** The result code of the first range that faults, or `OK`. */
  #checkRanges({ gpas, lengths }: RangeList): GuestMemAccessResult {
    for (let i = 0; i < gpas.length; i++) {
      const result = this.general.checkRange(toAddress(gpas[i]!), lengths[i]!);
      if (result !== OK) {
        return result;
      }
    }
    return OK;
  }

  /** Throws the fault of the first range that faults. */
  #throwFault({ gpas, lengths }: RangeList, operation: Operation): void {
    gpas.forEach((gpa, i) => this.general.locateRange(gpa, lengths[i]!, operation));
  }

  /**
   * Compares a range of RAM with `bytes`, as `Buffer.compare`.
   *
   * @returns -1 if RAM sorts before `bytes`, 1 if it sorts after them, 0 if they are equal.
   * @throws {@link GuestMemoryFault} if the range does not lie in RAM; TypeError, RangeError for an
   * invalid address; TypeError if `bytes` is not a view; RangeError if it is detached or lies
   * outside its buffer.
   */
  compare(gpa: Gpa, bytes: ArrayBufferView): -1 | 0 | 1 {
    const other = bytesOf(bytes, "bytes");
    return bulk.compare(
      this.general.windows,
      this.general.locateRange(gpa, other.length, "read"),
      other,
    );
  }

  /**
   * Finds the first occurrence of `needle` that lies entirely in `[from, to)`.
   *
   * @param needle - Bytes, or a number from -128 to 255 for one byte.
   * @param from - The first address of the search; 0 by default.
   * @param to - The address after the last one; the end of RAM by default.
   * @returns The guest physical address, or null if there is no occurrence. An empty needle is
   * found at `from`.
   * @throws {@link GuestMemoryFault} if the range does not lie in RAM; TypeError; RangeError if
   * `to` is below `from`, or if `needle` is detached or lies outside its buffer.
   */
  indexOf(needle: ArrayBufferView | number, from: Gpa = 0, to: Gpa = this.#size): number | null {
    const bytes =
      typeof needle === "number"
        ? Uint8Array.of(BYTE.checkValue(needle))
        : bytesOf(needle, "needle");
    const length = bulk.rangeLength(from, to);
    const start = this.general.locateRange(from, length, "read");
    return bulk.indexOf(this.general.windows, start, length, bytes);
  }

  /**
   * A view of a range of RAM, not a copy: writes to it change the RAM. When the RAM ends, the view
   * is detached, unless the RAM lies in memory of the caller.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault} if the range does not lie in RAM; TypeError, RangeError for an
   * invalid argument; RangeError if the range crosses a multiple of 4 GiB, which no Buffer can
   * span.
   */
  slice(gpa: Gpa, length: Gpa): Bytes {
    const count = toByteCount(length, "length");
    const start = this.general.locateRange(gpa, count, "read");
    const view = bulk.slice(this.general.windows, start, count);
    if (count !== 0) {
      this.#expose(this.general.windows.at(start));
    }
    return view;
  }

  #marksChanged(): void {
    const { dirty, plain, guards, idle } = this.#marks;
    const first = this.general.windows.madeAt(0);
    if (first !== undefined) {
      this.#writeTo(idle ? first : EMPTY_WINDOW);
    }
    this.general.marksChanged();
    this.#policies.forEach((policy) => policy.marksChanged());
    const marks =
      dirty === null ? UNREAD_MARKS : (plain?.subarray(0, UNREAD_MARKS.length) ?? NO_MARKS);
    this.marks = guards === null ? marks : NO_MARKS;
    // The prototype stays after tracking has ended: V8 up to Node 22 would make a new hidden class
    // for each change, and the call sites of the accessors would become megamorphic.
    if (
      dirty !== null &&
      HOST_IS_LITTLE_ENDIAN &&
      Object.getPrototypeOf(this) === GuestMemory.prototype
    ) {
      Reflect.setPrototypeOf(this, TrackedWrites.prototype);
    }
  }

  /** Call it before code outside this package receives a view of a window. */
  #expose(window: Window): Window {
    if (!this.#borrowed && window !== EMPTY_WINDOW && !this.#exposed.has(window)) {
      native.handOut(window.u8.buffer as ArrayBuffer);
      this.#exposed.add(window);
    }
    return window;
  }

  /** @throws Error `ERR_DESTROYED` if the RAM has ended or a buffer of it was detached. */
  #checkThere(): void {
    if (this.general.checkRange(0, this.#size) !== OK) {
      throw destroyedError("the memory is destroyed, or its buffer detached");
    }
  }

  /** Copies the fields of the first window for the hot paths. */
  #useFirst(first: Window): void {
    const { u8, u16, u32, u64, quads } = first;
    if (hasAddon) {
      this.native.useFirst(u8);
    }
    this.u8 = u8;
    this.u16 = u16;
    this.u32 = u32;
    this.u64 = u64;
    this.quads = quads;
    this.#writeTo(this.#marks.idle ? first : EMPTY_WINDOW);
  }

  /** Whether a bulk access is not empty and lies entirely in the first window. */
  #inFirstWindow(gpa: Gpa, length: number): gpa is number {
    return (
      typeof gpa === "number" && gpa >>> 0 === gpa && length !== 0 && gpa + length <= this.u8.length
    );
  }

  #viewAtomics(): ViewAtomics {
    if (this.#atomics === undefined) {
      const general = this.general;
      const marks = this.#marks;
      const { plainLanes, ViewAtomics } = memoryAtomics.get();
      const lanes = hasAddon ? this.native.atomicLanes : plainLanes({ general, marks });
      this.#atomics = new ViewAtomics(lanes, general.windows, marks);
    }
    return this.#atomics;
  }

  /** Ends the RAM: every later access is `ERROR_INTERNAL`. The caller has reserved the stack. */
  #end(): void {
    this.#marks.notifyUsers();
    this.#marks.flush();
    this.#marks.guards?.disarm();
    native.guestMemoryDestroy(this.#handle);
    this.#destroyed = true;
    // The first detached buffer makes all typed array accesses of the process slightly slower, for
    // the rest of its life. Therefore buffers are detached only if code outside this package may
    // have a view. The pages stay mapped as long as the views exist in any case.
    for (const { u8 } of this.#exposed) {
      detach(u8.buffer as ArrayBuffer);
    }
    this.#exposed.clear();
    const { u8, u16, u32, u64, quads } = EMPTY_WINDOW;
    this.u8 = u8;
    this.u16 = u16;
    this.u32 = u32;
    this.u64 = u64;
    this.quads = quads;
    this.#writeTo(EMPTY_WINDOW);
    this.general.end();
    this.#policies.forEach((policy) => policy.end());
    this.#atomics?.end();
  }

  /** Uses arrays for writes. */
  #writeTo({ u8, u16, u32, u64, quads }: Window): void {
    this.w8 = u8;
    this.w16 = u16;
    this.w32 = u32;
    this.w64 = u64;
    this.writeQuads = quads;
  }
}

/** A part of an open file. The offset is a multiple of the page size of the system. */
export interface FilePart {
  readonly descriptor: number;
  readonly offset: number;
  readonly size: number;
}

/** A file that {@link GuestMemory.map} maps: a `SnapshotFile`. */
export interface MappableFile {
  mapMemory(region: number, options: MapOptions): Promise<GuestMemory>;
}

/** Options of {@link GuestMemory.map}. */
export interface MapOptions {
  /** The index of the region in the file; 0 by default. */
  readonly region?: number | undefined;
  /**
   * When the checksums of all pages are verified: `"background"`, while the RAM is in use already,
   * or `"before"` the promise resolves, which takes the time of reading the file. The default is
   * `"background"`.
   */
  readonly verify?: "background" | "before" | undefined;
  /**
   * Called once if a page turns out to be damaged, or the file becomes shorter or unreadable. The
   * RAM has ended then: every access is `ERROR_INTERNAL`. Without this option, a warning of the
   * process is emitted.
   */
  readonly onDamage?: ((error: Error) => void) | undefined;
}

/** Bytes of an arena that become RAM without a descriptor in the arena. */
interface Adopted {
  /** Offset of the first byte in the arena. */
  readonly offset: number;
  /** The number of bytes of an arena without allocations; by default all from `offset` on. */
  readonly size?: number;
  /** The number of bytes, which are allocated; by default all bytes from `offset` on. */
  readonly length?: number;
  /**
   * Returns the bytes, if they are part of a block that other memories have parts of. Called when
   * the window of address 0 is made, which has to happen before any byte of the block is detached.
   */
  readonly block?: () => Uint8Array;
  /** A byte for each page of the block, where address spaces may set dirty marks. */
  readonly marks?: Uint8Array;
}

function throwNotForked(): never {
  throw withCode(new Error("the memory is no clone and was not forked"), "ERR_NOT_FORKED");
}

function createMemory(arena: Handle, adopted: Adopted | undefined): Handle {
  if (adopted === undefined) {
    return native.guestMemoryCreate(arena);
  }
  const { offset, size, length } = adopted;
  return length === undefined
    ? native.guestMemoryOver(arena, offset, size)
    : native.guestMemoryPart(arena, offset, length);
}
// The accessors, which the class inherits from a prototype that changes: see accessor-forms.ts.
// eslint-disable-next-line @typescript-eslint/no-empty-object-type, @typescript-eslint/no-unsafe-declaration-merging
export interface GuestMemory extends GuestMemoryAccess {}
// Memory that is or was tracked has the accessors of TrackedWrites for its writes, and those of
// GuestMemory for the rest.
Object.setPrototypeOf(TrackedWrites.prototype, GuestMemory.prototype);
Object.defineProperty(TrackedWrites.prototype, "constructor", { value: GuestMemory });

/** The parts of a {@link GuestMemory} that address spaces and snapshots use; not public. */
export interface GuestMemoryInternals {
  readonly handle: Handle;
  /** Bytes of RAM. */
  readonly size: number;
  /**
   * The window that contains an address. Empty if the address does not lie in RAM, and after the
   * RAM has ended.
   *
   * @throws Error `ERR_OUT_OF_MEMORY` if the runtime refuses an ArrayBuffer.
   */
  windowAt(address: number): Window;
  /** The result of an access to a range, without the check of its alignment. */
  checkRange(address: number, length: number): GuestMemAccessResult;
  /** As `checkRange`, and calls the code guards of a write that does not fault. */
  prepareWrite(address: number, length: number): GuestMemAccessResult;
  /** The dirty bitmap of the RAM, and the users to notify before the RAM ends. */
  readonly marks: MemoryMarks;
  /** The lanes of the view path's atomics. */
  atomicLanes(): AtomicLanes;
  /** Whether a view may have bytes of the RAM. */
  mayAlias(bytes: Uint8Array): boolean;
  /** As `ArenaInternals`, for the arena of the RAM. */
  rebase(): void;
  forks(): number;
  /**
   * The offset and the length of each part of the RAM that may not be zero, ascending. Looks at no
   * bytes of the RAM, which must not have ended.
   */
  resident(): Float64Array;
}

const internals = new WeakMap<GuestMemory, GuestMemoryInternals>();

/** Whether a value is a {@link GuestMemory}. */
export function isGuestMemory(value: unknown): value is GuestMemory {
  return internals.has(value as GuestMemory);
}

/**
 * The internals of guest RAM.
 *
 * @throws TypeError if `memory` was not made by {@link GuestMemory}.
 */
export function guestMemoryInternals(memory: GuestMemory): GuestMemoryInternals {
  const found = internals.get(memory);
  if (found === undefined) {
    throw typeError("memory must be a GuestMemory");
  }
  return found;
}
