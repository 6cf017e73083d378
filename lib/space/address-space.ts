import type { Bytes } from "../base/bytes.js";
import { bytesOf } from "../base/view.js";
import { INSPECT } from "../base/inspect.js";
import type { GuestAccessors, GuestHalvesAccessors } from "../base/access.js";
import type { GuestAtomicAccess } from "../atomics/access.js";
import type { ArenaOptions } from "../memory/arena.js";
import { type InaccessibleRange, SpaceBulk } from "./bulk.js";
import { Bus } from "./bus.js";
import type { CodeGuard, CodeWriteListener } from "./code-guard.js";
import type { DirtyBitmap } from "../memory/dirty-bitmap.js";
import type { ExitServer } from "./exit.js";
import { GuestMemoryFault, rangeError, typeError } from "../base/errors.js";
import { checkFunction, checkObject, toAddress, toByteCount } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";
import type { HalvesAccess } from "../base/halves-access.js";
import { GuestMemory, guestMemoryInternals, isGuestMemory } from "../memory/guest-memory.js";
import { checkTracking, type TrackingMode } from "../memory/tracking.js";
import { type AccessPolicy, policyNumber } from "../base/policy.js";
import type { MmioDevice, WriteTrap } from "./mmio.js";
import { hasAddon, native, type NativeHandle, noAddon, refuseNative } from "../native/addon.js";
import { importFirst, Part } from "../base/part.js";
import type { NativeSpaceAccess } from "./native-access.js";
import {
  type AccessFault,
  type AddressSpaceOptions,
  checkSpaceOptions,
  type SpaceSettings,
} from "./options.js";
import {
  type Access,
  MmioRegion,
  RamRegion,
  type Region,
  type RegionOptions,
  RomRegion,
  type WindowOptions,
} from "./regions.js";
import { MarkingWrites } from "./marking-writes.js";
import { NO_ENTRIES, type PageTable } from "./page-table.js";
import { SpaceArena } from "./space-arena.js";
import { checkTotal, type GuestRange, toRanges } from "../base/ranges.js";
import { GuestMemAccessResult, OK } from "../base/result.js";
import {
  Checkpoint,
  CloneOptions,
  cloneRegion,
  prepareFork,
  type ForkOptions,
  notForkedError,
} from "./fork.js";
import type { Snapshot } from "../snapshot/snapshot.js";
import type { SnapshotOptions } from "../snapshot/take.js";
import type { RestorableFile, RestoreOptions } from "./restorable-file.js";
import { SpaceAccess } from "./general-access.js";
import { atomicsPart } from "./atomics-part.js";
import { snapshotsPart } from "./snapshots-part.js";
import { spaceHalves } from "./halves.js";
import { uncloneable } from "../base/uncloneable.js";
import type { WatchListener, Watchpoint, WatchRange } from "./watchpoint.js";
import { AccessTrace, type TraceOptions } from "./access-trace.js";
import { BYTE, checkSlots } from "../base/widths.js";

/** Options of {@link AddressSpace.addRam}. */
export interface RamOptions extends RegionOptions, WindowOptions {
  /** The rights of the guest to the window; `"rwx"` by default. */
  readonly access?: Access;
  /**
   * `true` starts dirty tracking of the memory, as {@link GuestMemory.startTracking} without an
   * argument: a memory that is tracked stays as it is, and the accessors set the marks of another.
   * A mode or a {@link DirtyBitmap} is the argument of that method. `false`, the default, changes
   * nothing.
   */
  readonly trackDirty?: boolean | TrackingMode | DirtyBitmap;
  /** The value of every byte of new memory, from 0 to 255; 0 by default. */
  readonly fill?: number;
}

/** The place of a byte of a region. */
interface Location {
  readonly region: Region;
  /** Offset in bytes in the memory of the region, or from the start of a device. */
  readonly offset: number;
  /** The bytes from there on that the region shows one after the other. */
  readonly room: number;
}

const ACCESSES: readonly unknown[] = ["", "r", "w", "x", "rw", "rx", "wx", "rwx"];

/** Options of {@link AddressSpace.addRom}. */
export interface RomOptions extends RegionOptions, WindowOptions {
  /**
   * Called for plain writes to the region, on both paths, for memory that reads as memory and takes
   * commands by writes, such as flash. Bulk writes and atomic operations fault. By default, all
   * writes fault.
   */
  readonly onWrite?: WriteTrap;
  /**
   * The value of every byte of new memory that is given by its size, from 0 to 255; 0 by default.
   * Erased flash has 0xff.
   */
  readonly fill?: number;
}

/**
 * A guest physical address space: it maps RAM, ROM and MMIO regions to guest physical addresses.
 *
 * Each access is dispatched to the region that contains all its bytes. The result is
 * `FAULT_BOUNDARY`, and nothing changes, if no region contains them, if the access writes to ROM,
 * or if the device has no handler for the width and direction, or refuses the access. The other
 * result codes are those of {@link GuestMemory}.
 *
 * The accessors of this class are the view path. {@link AddressSpace.native} has the same accessors
 * on the native path.
 *
 * @example
 * ```js
 * import { AddressSpace } from "pound-guest-memory";
 *
 * const space = new AddressSpace();
 * space.addRom(0, new Uint8Array([0x13, 0, 0, 0]), { name: "boot" });
 * space.addRam(0x8000_0000, 1024 * 1024, { name: "dram" });
 *
 * space.writel(0x8000_0000, 0xdeadbeef);
 * console.log(space.native.readl(0x8000_0000).toString(16)); // deadbeef
 * console.log(space.tryWriteb(0, 1)); // 2: FAULT_BOUNDARY, since this is ROM
 * ```
 */
export class AddressSpace implements GuestAccessors {
  /** @internal */
  readonly uncloneable = uncloneable;

  /** The same accessors on the native path: the addon accesses RAM and ROM. */
  declare readonly native: NativeSpaceAccess;

  /**
   * A number that increases before the answer to "which bytes does an access to this address reach,
   * and what else does it do?" changes for any address: when a region is added or removed, when the
   * memory of a region is destroyed, when its dirty tracking starts, changes or ends, and when a
   * watchpoint is added or removed. It may increase without such a change.
   *
   * Software TLBs and caches of translated code compare it with the number they had when they were
   * filled. It is a field, so that reading it in a hot loop costs one load.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 4096);
   * let cached = space.regionAt(0);
   * let { generation } = space;
   * space.remove(cached);
   * if (space.generation !== generation) {
   *   cached = space.regionAt(0);
   *   generation = space.generation;
   * }
   * console.log(cached); // null
   * ```
   */
  readonly generation: number = 0;

  // The constructor assigns the fields with a `!`, unless it returns an object of another class.
  //
  // The hot path looks up the entry of the page in the page table, and accesses the home buffer.
  // These fields are private to TypeScript only, for the reason given in GuestMemory, and are not
  // grouped in an object, which saves the hot path a load.
  //
  // The first access makes the tables. Until then, the prototype has tables without pages: V8 makes
  // an accessor slower for the whole process after it was called on two spaces without a table.
  declare private reads: Int32Array;
  declare private writes: Int32Array;
  /** log2 of the bytes of a page. */
  private readonly shift!: number;
  // Those that the accessors of another policy than the default use.
  /** @internal */
  declare protected policyReads: Int32Array;
  /** @internal */
  declare protected policyWrites: Int32Array;
  /** The bits of an address that all bytes of a page have in common. @internal */
  protected readonly pageBits!: number;
  /** Makes every access that the hot path cannot make. */
  private readonly general!: SpaceAccess;
  // The home buffer. It is unset until there is RAM, which is safe because the page table has no
  // entries until then. V8 treats a field that was assigned once as a constant.
  declare private view: DataView;
  // On the prototype, because V8 treats a method of a prototype as a constant.
  declare private checkSlots: typeof checkSlots;
  // Those of MarkingWrites, unset until it is in use. `writes` is empty then: see there.
  declare private marks: DataView;
  declare private markedWrites: Int32Array;
  declare private markedView: DataView;
  declare private markedShift: number;
  static {
    refuseNative(this.prototype);
    this.prototype.checkSlots = checkSlots;
    this.prototype.reads = NO_ENTRIES;
    this.prototype.writes = NO_ENTRIES;
    this.prototype.policyReads = NO_ENTRIES;
    this.prototype.policyWrites = NO_ENTRIES;
  }

  readonly #bus!: Bus;
  readonly #bulk!: SpaceBulk;
  readonly #arena!: SpaceArena | null;
  readonly #settings!: SpaceSettings;
  /** The state that `reset` restores; null before the first fork. */
  #checkpoint: Checkpoint | null = null;
  /** Whether writes through the page table have to mark the pages. */
  #marksPages = false;
  #atomics: GuestAtomicAccess | undefined;
  /** The page table; null before the first access. */
  #table: PageTable | null = null;
  #nativeHandle: NativeHandle | undefined;
  #exits: ExitServer | undefined;
  #halves: HalvesAccess | undefined;

  /**
   * Makes an empty address space.
   *
   * @throws TypeError, RangeError for an invalid option; Error `ERR_OUT_OF_MEMORY`; in a browser,
   * Error `ERR_NOT_IMPORTED` for a policy other than the default, if the program does not import
   * `pound-guest-memory/accessors`.
   */
  constructor(options: AddressSpaceOptions = {}) {
    const clone = options instanceof CloneOptions ? options : null;
    const settings = clone?.settings ?? checkSpaceOptions(options);
    const { pageSize, arena, policy } = settings;
    const isDefault = policyNumber(policy) === 0;
    if (!isDefault && new.target === AddressSpace) {
      return new (classOf(policy))(options);
    }
    this.#settings = settings;
    this.#arena = clone?.memory ?? (arena === 0 ? null : SpaceArena.create(arena, settings));
    this.shift = Math.log2(pageSize);
    this.pageBits = -pageSize;
    this.#bus = new Bus(settings, this.#arena && guestMemoryInternals(this.#arena.home), {
      invalidate: () => {
        this.general.clear();
        if (hasAddon) {
          this.native.clear();
        }
        this.#halves?.clear();
      },
      mapChanged: () => this.#mapChanged(),
      moveHome: (home) => {
        this.view = home;
        this.#copyForMarkingWrites();
      },
      moveTable: (table) => {
        this.#useTable(table);
      },
      moveMarks: (marks) => {
        this.#markIn(marks);
      },
    });
    buses.set(this, this.#bus);
    this.#bulk = new SpaceBulk(this.#bus);
    this.general = isDefault
      ? new SpaceAccess(this.#bus)
      : new (policySpaceAccess.get().PolicySpaceAccess)(this.#bus);
    if (hasAddon) {
      this.native = new (nativeSpaceAccess.get().NativeSpaceAccess)(this.#bus, this.shift);
    }
  }

  /**
   * Maps RAM: a window, which shows bytes of a memory.
   *
   * @param gpa - Guest physical address of the first byte: a multiple of the page size.
   * @param memory - The memory to map, or the size in bytes of new memory to allocate. The same
   * memory may be mapped several times, in one space or in several.
   * @throws TypeError; RangeError if `gpa` is not aligned, if the window does not lie in the
   * memory, or if the region would be empty, overlap another region of the same priority or end
   * above 2^64; Error `ERR_OUT_OF_MEMORY`.
   */
  addRam(gpa: Gpa, memory: GuestMemory | Gpa, options: RamOptions = {}): RamRegion {
    const { trackDirty = false, access = "rwx", fill } = checkOptions(options);
    if (typeof trackDirty !== "boolean") {
      checkTracking(trackDirty, "trackDirty");
    }
    if (!ACCESSES.includes(access)) {
      throw typeError('access must be letters of "rwx", in this order');
    }
    const isCallers = isGuestMemory(memory);
    checkFill(fill, !isCallers);
    const writeWatch = trackDirty === "auto" || trackDirty === "os";
    const ram = isCallers
      ? memory
      : this.#allocate(toByteCount(memory, "size"), fill, { writeWatch });
    try {
      const region = new RamRegion(this.#aligned(gpa), ram, options, access);
      const tracking =
        trackDirty === false
          ? null
          : region.internals.marks.choose(trackDirty === true ? undefined : trackDirty);
      this.#bus.add(region, tracking);
      return region;
    } catch (error) {
      guestMemoryInternals(ram).marks.cancel();
      if (!isCallers) {
        ram.destroy();
      }
      throw error;
    }
  }

  /**
   * Maps ROM: a window, whose bytes the guest cannot write.
   *
   * @param gpa - Guest physical address of the first byte: a multiple of the page size.
   * @param contents - The bytes, which are copied, or a {@link GuestMemory}, which is mapped
   * itself, or the size in bytes of new memory to allocate.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRom(0x0800_0000, 64 * 1024, { name: "flash", fill: 0xff });
   * console.log(space.readb(0x0800_0000)); // 255
   * ```
   * @throws The errors of {@link AddressSpace.addRam}.
   */
  addRom(
    gpa: Gpa,
    contents: ArrayBufferView | GuestMemory | Gpa,
    options: RomOptions = {},
  ): RomRegion {
    const { onWrite, fill } = checkOptions(options);
    if (onWrite !== undefined) {
      checkFunction(onWrite, "onWrite");
    }
    const isSize = typeof contents === "number" || typeof contents === "bigint";
    checkFill(fill, isSize);
    const rom = isSize
      ? this.#allocate(toByteCount(contents, "size"), fill)
      : isGuestMemory(contents)
        ? contents
        : this.#memoryOf(contents);
    try {
      const region = new RomRegion(this.#aligned(gpa), rom, options, onWrite ?? null);
      this.#bus.add(region);
      return region;
    } catch (error) {
      if (rom !== contents) {
        rom.destroy();
      }
      throw error;
    }
  }

  /**
   * Maps the registers of a device.
   *
   * @param gpa - Guest physical address of the first register.
   * @param size - Size in bytes, from 1 to 2^53 - 1.
   * @throws TypeError; RangeError if `gpa` or `size` is not a multiple of the device's `impl.min`,
   * if `impl` is invalid, or if the region would be empty, overlap another region of the same
   * priority or end above 2^64.
   */
  addMmio(gpa: Gpa, size: Gpa, device: MmioDevice, options: RegionOptions = {}): MmioRegion {
    const region = new MmioRegion(gpa, size, device, checkOptions(options), this.policy.endian);
    this.#bus.add(region);
    return region;
  }

  /**
   * Unmaps a region. The memory of a RAM or ROM region is neither changed nor freed.
   *
   * @throws TypeError if `region` is not a region; RangeError if it is not mapped in this space.
   */
  remove(region: Region): void {
    this.#bus.remove(region);
  }

  /** The access policy of both paths, which the options of the constructor set. */
  get policy(): Readonly<Required<AccessPolicy>> {
    return this.#bus.policy.policy;
  }

  /**
   * Atomic operations on the mapped RAM, with the methods of {@link GuestMemory.atomics}. They set
   * dirty marks, call watchpoints and fault as the plain accessors of the space do. ROM can only be
   * loaded from; an operation on MMIO is `FAULT_BOUNDARY`. {@link NativeSpaceAccess.atomics} has
   * the same operations on the native path.
   *
   * @throws Error `ERR_NOT_IMPORTED` in a browser, if the program does not import
   * `pound-guest-memory/atomics`.
   */
  get atomics(): GuestAtomicAccess {
    return (this.#atomics ??= atomicsPart.get().spaceAtomics(this.#bus, "view"));
  }

  /**
   * The handle for native addons (`pound_space_get` of `node/guest_handle.h`), which use the page
   * table of the space. It is the same object each time, and works in this thread only.
   *
   * @throws Error `ERR_OUT_OF_MEMORY`.
   */
  get handle(): NativeHandle {
    if (this.#nativeHandle === undefined) {
      this.#nativeHandle = native.coreSpaceCreate();
      if (this.#table !== null) {
        native.coreSpaceSetTable(this.#nativeHandle, this.#table.handle);
      }
    }
    return this.#nativeHandle;
  }

  /**
   * Makes the access that a native core has left to JavaScript (`guest_exit_t` of
   * `kvm/guest_space.h`), and stores the result in the exit. The core then executes the instruction
   * again.
   *
   * @param exit - At least 32 elements. The first six are the address, the value, the width in
   * bytes, the reason (1 for a read, 2 for a write, 3 for a fetch, 4 to 11 for the atomic
   * operations), the state, which must be 1 (pending), and the value that a compare-and-exchange
   * expects.
   * @returns The result code, which the core gets as the result of the access.
   * @throws TypeError, RangeError for an invalid exit; what the handler of a device throws. The
   * exit stays pending after an error.
   */
  complete(exit: BigUint64Array): GuestMemAccessResult {
    return (this.#exits ??= new (exitServer.get().ExitServer)(this.#bus, this)).complete(exit);
  }

  /**
   * The last fault of a plain, atomic or bulk access, on either path, that was returned or thrown;
   * null before the first. A later access that succeeds does not change it.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRom(0, new Uint8Array(4096));
   * if (space.tryWriteb(8, 1) !== 0) {
   *   console.log(space.lastFault.reason); // read-only
   * }
   * ```
   */
  get lastFault(): AccessFault | null {
    return this.#bus.outcome.lastFault;
  }

  /**
   * The accessors whose addresses and 64-bit values are two halves of 32 bits, for guests with
   * 64-bit addresses. An access to RAM or ROM creates no bigint, also above 2^53 - 1, unless it
   * touches another region than the access before. {@link NativeSpaceAccess.halves} has the same
   * accessors on the native path.
   *
   * @throws Error `ERR_NOT_IMPORTED` in a browser, if the program does not import
   * `pound-guest-memory/accessors`.
   */
  get halves(): GuestHalvesAccessors {
    return (this.#halves ??= spaceHalves(this.#bus, this, false));
  }

  /** The mapped regions, sorted by address. The array is a copy: later changes do not affect it. */
  get regions(): readonly Region[] {
    return [...this.#bus.regions];
  }

  /**
   * The region that contains an address; null if the address is not mapped.
   *
   * @throws TypeError, RangeError if `gpa` is not an address: an integer from 0 to 2^64 - 1.
   */
  regionAt(gpa: Gpa): Region | null {
    return this.#bus.lookup.find(gpa);
  }

  /**
   * The region that is visible at an address, and where its byte lies. Null if the address is not
   * mapped.
   *
   * @internal
   */
  locate(gpa: bigint): Location | null {
    const { lookup } = this.#bus;
    const region = lookup.find(gpa);
    return region && { region, offset: lookup.offset, room: lookup.room };
  }

  /**
   * Calls a listener for each access that touches a range and does not fault: plain, atomic and
   * bulk accesses, on both paths. Only accesses of the watched kind to the pages (of 4096 bytes)
   * that the range touches become slower. The range need not be mapped.
   *
   * Adding and removing a watchpoint needs 64 KiB of free stack.
   *
   * @throws TypeError; RangeError if the range is empty or ends above 2^64, or if the stack is
   * nearly full.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 4096);
   * const watchpoint = space.watch({ gpa: 0x100, length: 4, kinds: "write" }, (access) => {
   *   console.log(access); // { gpa: 256n, width: 4, kind: 'write', value: 7 }
   * });
   * space.writel(0x100, 7);
   * watchpoint.remove();
   * ```
   */
  watch(range: WatchRange, listener: WatchListener): Watchpoint {
    checkFunction(listener, "listener");
    return this.#bus.watch(range, listener);
  }

  /**
   * Records each access that touches a range and does not fault in a ring: plain, atomic and bulk
   * accesses, on both paths. Only accesses of the recorded kind to the pages (of 4096 bytes) that
   * the range touches become slower.
   *
   * Starting and stopping needs 64 KiB of free stack.
   *
   * @throws TypeError, RangeError for an invalid option, or if the stack is nearly full; Error
   * `ERR_OUT_OF_MEMORY`.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 4096);
   * let pc = 0x8000_0000;
   * const trace = space.trace({
   *   range: { gpa: 0x100, length: 4 },
   *   kinds: "write",
   *   tag: () => pc,
   * });
   * space.writel(0x100, 7);
   * pc += 4;
   * space.writeb(0x102, 1);
   * const { tag, value } = trace.accesses().at(-1);
   * console.log(tag.toString(16), value); // 80000004 1
   * trace.stop();
   * ```
   */
  trace(options: TraceOptions): AccessTrace {
    return new AccessTrace(options, this.policy, (range, recorder) =>
      this.#bus.watch(range, recorder),
    );
  }

  /**
   * Guards pages that hold translated code: calls `onWrite` before the first change of their bytes,
   * and disarms the guard. A later change calls nothing, until a new guard is armed.
   *
   * A change is a write to the memory by any method of this package, through any window of any
   * space that shows the bytes or through the methods of the memory itself: plain, native, batched
   * and bulk accesses, atomic operations (also a comparison that fails), `poke`, the loaders and
   * the restoring of snapshots. A bank switch, and a region that is added or removed, also call it
   * if the guarded addresses then show other memory. An access that faults does not. Writes to a
   * {@link GuestMemory.buffer}, through another `GuestMemory` over the same bytes and by other
   * threads are not seen. When the memory is destroyed, its guards are disarmed without a call.
   *
   * The guard covers the pages of the page table (`pageSize`) that the range touches. Writes to
   * other pages of the space stay as fast as without guards. Writes through the accessors of the
   * guarded memory itself take a slower path while the guard is armed.
   *
   * Arming does not change {@link AddressSpace.generation}: a cache of translated code would
   * discard all its code when it guards a new page. A software TLB that holds places for writes
   * must drop those of the guarded pages.
   *
   * @param gpa - Guest physical address of the first byte of the code. It need not be mapped.
   * @param length - Bytes, from 1 to 2^53 - 1.
   * @param onWrite - It may arm guards, which the write that has called it does not call, and
   * change the map. If it throws, the write does not happen.
   * @throws TypeError; RangeError if the range is empty or ends above 2^64.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 65536);
   * const translated = new Map([[0x1000n, "code of page 1"]]);
   * space.guardCode(0x1000, 64, ({ guard }) => translated.delete(guard.gpa));
   * space.fill(0x800, 4096, 0);
   * console.log(translated.size); // 0
   * ```
   */
  guardCode(gpa: Gpa, length: Gpa, onWrite: CodeWriteListener): CodeGuard {
    return this.#bus.guardCode(gpa, length, onWrite);
  }

  /**
   * Takes a snapshot of RAM, ROM and the devices that have `save` and `load`, as `takeSnapshot`
   * of `pound-guest-memory/snapshot` does. In a browser, the program has to import that entry.
   *
   * @param options - Options, or only `parent`: an earlier snapshot of the same regions, whose
   * chain the new one continues.
   * @throws The errors of `takeSnapshot`; Error `ERR_NOT_IMPORTED` in a browser without it.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 1024 * 1024, { trackDirty: true });
   * const snapshot = space.snapshot();
   * space.writeb(0x1000, 1);
   * console.log(space.restore(snapshot)); // 1: pages written
   * console.log(space.readb(0x1000)); // 0
   * ```
   */
  snapshot(options?: Snapshot | SnapshotOptions): Snapshot {
    return snapshotsPart.get().takeSnapshot(this, options);
  }

  /**
   * Restores RAM, banks and devices from a snapshot, as `restoreSnapshot` does. Calls no
   * watchpoint.
   *
   * @returns The number of pages written.
   * @throws The errors of `restoreSnapshot`. Neither RAM nor banks nor devices change then,
   * unless `load` of a device throws.
   */
  restore(snapshot: Snapshot): number;
  /**
   * Restores RAM, banks and devices from a snapshot file, which `openSnapshot` has opened.
   *
   * With `map`, nothing is read that the guest does not access: the regions show new memories from
   * then on, which map the file (`SnapshotFile.mapMemory`). The memories that they showed before
   * stay as they are. New memories are tracked if the ones before were.
   *
   * @throws The errors of `restoreSnapshot`, `SnapshotFile.load` and `SnapshotFile.mapMemory`.
   */
  restore(file: RestorableFile, options?: RestoreOptions): Promise<void>;
  restore(source: Snapshot | RestorableFile, options: RestoreOptions = {}): number | Promise<void> {
    const file = checkObject(source, "source") as Partial<RestorableFile>;
    return typeof file.restoreTo === "function"
      ? file.restoreTo(this, options)
      : snapshotsPart.get().restoreSnapshot(this, source as Snapshot);
  }

  /**
   * Makes a clone: a space with the same options and regions, over clones of their memories, as
   * {@link GuestMemory.fork} makes them. Memories that several regions show stay shared between
   * these, and banks show the same bytes.
   *
   * Not cloned are watchpoints, dirty tracking, memories that no region shows now, and the state of
   * devices: see {@link ForkOptions.devices}. The clone has the same functions `unmapped` and
   * `onFault` as this space. Each memory is forked at a moment of its own, so other threads should
   * not write to several memories meanwhile.
   *
   * @throws TypeError if the space has devices, or ROM with `onWrite`, and `options` has no
   * `devices`; the errors of {@link GuestMemory.fork}, {@link AddressSpace.addMmio} and of the
   * function `devices`. There is no clone then.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0x8000_0000, 1024 * 1024);
   * const clone = space.fork();
   * clone.writel(0x8000_0000, 1);
   * console.log(space.readl(0x8000_0000)); // 0
   * console.log(clone.reset()); // 1: pages that had changed
   * ```
   */
  fork(options: ForkOptions = {}): AddressSpace {
    const { regions } = this;
    const devices = prepareFork(regions, options);
    const arena = this.#arena?.fork() ?? null;
    const clones = new Map<GuestMemory, GuestMemory>();
    const cloneOf = (original: GuestMemory): GuestMemory => {
      const clone =
        clones.get(original) ?? arena?.cloneOf(original, this.#arena!) ?? original.fork();
      clones.set(original, clone);
      return clone;
    };
    try {
      const clone = new AddressSpace(new CloneOptions(this.#settings, arena));
      for (const region of regions) {
        clone.#bus.add(cloneRegion(region, cloneOf, devices, this.policy), null, true);
      }
      clone.#checkpoint = new Checkpoint(clone.#bus.regions);
      this.#checkpoint = new Checkpoint(regions);
      return clone;
    } catch (error) {
      clones.forEach((clone) => clone.destroy());
      arena?.destroy();
      throw error;
    }
  }

  /**
   * Goes back to the state of the last fork, of this space or of the one that it was cloned from:
   * the bytes of its memories and the banks. Takes time in proportion to the pages that were
   * written. Calls no watchpoint.
   *
   * With a snapshot, the first call restores it, and further calls with the same snapshot take time
   * in proportion to the pages written since, until the space or a memory of it is forked.
   *
   * @returns The number of pages that had other bytes.
   * @throws Error `ERR_NOT_FORKED` without a snapshot, if there was no fork; Error
   * `ERR_SNAPSHOT_MISMATCH` if regions were added or removed, or a memory was forked, since then;
   * `ERR_DESTROYED` if memory was destroyed or detached; with a snapshot, also the errors of
   * `restoreSnapshot` and of {@link GuestMemory.fork}.
   */
  reset(snapshot?: Snapshot): number {
    const checkpoint = this.#checkpoint;
    const regions = this.#bus.regions;
    if (snapshot === undefined) {
      if (checkpoint === null) {
        throw notForkedError();
      }
      return checkpoint.reset(regions);
    }
    if (checkpoint?.snapshot === snapshot && checkpoint.isValid(regions)) {
      const written = checkpoint.reset(regions);
      snapshotsPart.get().restoreDevices(this, snapshot);
      return written;
    }
    const written = snapshotsPart.get().restoreSnapshot(this, snapshot);
    this.#checkpoint = Checkpoint.take(regions, snapshot);
    return written;
  }

  /** Keeps `console.log(space)` from printing gigabytes. */
  [INSPECT](_depth: number, _options: object, inspect: (value: unknown) => string): string {
    return `AddressSpace ${inspect(this.regions)}`;
  }

  /**
   * Keeps `JSON.stringify` from writing out gigabytes: it lists the regions without their bytes.
   */
  toJSON(): { type: "AddressSpace"; regions: readonly Region[] } {
    return { type: "AddressSpace", regions: this.regions };
  }

  // The hot path of the view path, written out per width and kept small for the reasons given in
  // GuestMemory. Every access that the page table does not serve goes to `general`, which repeats
  // all checks. If the home buffer is detached, its DataView throws, and `general` finds that out.

  // #region generated: npm run generate

  tryReadb(gpa: Gpa, out: Uint8Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint8Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!(distance & 1)) {
            out[0] = this.view.getUint8((address + distance) >>> 0);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadb(gpa, out);
  }

  tryReadw(gpa: Gpa, out: Uint16Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint16Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            out[0] = this.view.getUint16((address + distance) >>> 0, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadw(gpa, out);
  }

  tryReadl(gpa: Gpa, out: Uint32Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof Uint32Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            out[0] = this.view.getUint32((address + distance) >>> 0, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadl(gpa, out);
  }

  tryReadq(gpa: Gpa, out: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number" && out[0] !== undefined && out instanceof BigUint64Array) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            out[0] = this.view.getBigUint64((address + distance) >>> 0, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadq(gpa, out);
  }

  tryWriteb(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x80 &&
        value <= 0xff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteb(gpa, value);
  }

  tryWritew(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x8000 &&
        value <= 0xffff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            this.view.setUint16((address + distance) >>> 0, value, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWritew(gpa, value);
  }

  tryWritel(gpa: Gpa, value: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        (value >>> 0 === value || (value | 0) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            this.view.setUint32((address + distance) >>> 0, value, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWritel(gpa, value);
  }

  tryWriteq(gpa: Gpa, value: bigint): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "bigint" &&
        (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            this.view.setBigUint64((address + distance) >>> 0, value, true);
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteq(gpa, value);
  }

  tryWriteqFrom(gpa: Gpa, source: BigUint64Array): GuestMemAccessResult {
    try {
      if (typeof gpa === "number") {
        const value = source[0];
        if (value !== undefined && source instanceof BigUint64Array) {
          this.checkSlots(source);

          const address = gpa >>> 0;
          if (address === gpa) {
            const distance = ~this.writes[address >>> this.shift]!;
            if (!((address | distance) & 7)) {
              this.view.setBigUint64((address + distance) >>> 0, value, true);
              return 0;
            }
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqFrom(gpa, source);
  }

  readb(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!(distance & 1)) {
            return this.view.getUint8((address + distance) >>> 0);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readb(gpa);
  }

  readw(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            return this.view.getUint16((address + distance) >>> 0, true);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readw(gpa);
  }

  readl(gpa: Gpa): number {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            return this.view.getUint32((address + distance) >>> 0, true);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readl(gpa) >>> 0;
  }

  readq(gpa: Gpa): bigint {
    try {
      if (typeof gpa === "number") {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            return this.view.getBigUint64((address + distance) >>> 0, true);
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.readq(gpa);
  }

  writeb(gpa: Gpa, value: number): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x80 &&
        value <= 0xff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!(distance & 1)) {
            this.view.setUint8((address + distance) >>> 0, value);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writeb(gpa, value);
  }

  writew(gpa: Gpa, value: number): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        value >= -0x8000 &&
        value <= 0xffff &&
        (value | 0) === value
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!((address | distance) & 1)) {
            this.view.setUint16((address + distance) >>> 0, value, true);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writew(gpa, value);
  }

  writel(gpa: Gpa, value: number): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "number" &&
        (value >>> 0 === value || (value | 0) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!((address | distance) & 3)) {
            this.view.setUint32((address + distance) >>> 0, value, true);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writel(gpa, value);
  }

  writeq(gpa: Gpa, value: bigint): void {
    try {
      if (
        typeof gpa === "number" &&
        typeof value === "bigint" &&
        (BigInt.asUintN(64, value) === value || BigInt.asIntN(64, value) === value)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            this.view.setBigUint64((address + distance) >>> 0, value, true);
            return;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    this.general.writeq(gpa, value);
  }

  tryReadqHalves(gpa: Gpa, out: Uint32Array, at: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof at === "number" &&
        out[at] !== undefined &&
        out[at + 1] !== undefined &&
        out instanceof Uint32Array
      ) {
        this.checkSlots(out);

        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.reads[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            const low = view.getUint32(start, true);
            out[at + 1] = view.getUint32(start + 4, true);
            out[at] = low;
            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryReadqHalves(gpa, out, at);
  }

  tryWriteqHalves(gpa: Gpa, low: number, high: number): GuestMemAccessResult {
    try {
      if (
        typeof gpa === "number" &&
        typeof low === "number" &&
        (low >>> 0 === low || (low | 0) === low) &&
        typeof high === "number" &&
        (high >>> 0 === high || (high | 0) === high)
      ) {
        const address = gpa >>> 0;
        if (address === gpa) {
          const distance = ~this.writes[address >>> this.shift]!;
          if (!((address | distance) & 7)) {
            const view = this.view;
            const start = (address + distance) >>> 0;
            view.setUint32(start, low, true);
            view.setUint32(start + 4, high, true);

            return 0;
          }
        }
      }
    } catch {
      // The slow path repeats all checks, and throws errors with a code.
    }

    return this.general.tryWriteqHalves(gpa, low, high);
  }

  readqHalves(gpa: Gpa, out: Uint32Array, at: number): void {
    const result = this.tryReadqHalves(gpa, out, at);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "read", this.#bus.outcome.reason);
    }
  }

  writeqHalves(gpa: Gpa, low: number, high: number): void {
    const result = this.tryWriteqHalves(gpa, low, high);
    if (result !== OK) {
      throw new GuestMemoryFault(result, gpa, 8, "write", this.#bus.outcome.reason);
    }
  }

  // #endregion

  // Bulk access to RAM and ROM, at any alignment and across adjacent regions. An access that
  // touches an unmapped address or MMIO, or that writes to ROM, faults as a whole and changes
  // nothing. An access of 0 bytes succeeds at every address.

  /**
   * Copies bytes from RAM and ROM into a new Buffer.
   *
   * @param length - Bytes, from 0 to 2^32.
   * @throws {@link GuestMemoryFault}; TypeError, RangeError; Error `ERR_OUT_OF_MEMORY`.
   */
  read(gpa: Gpa, length: Gpa): Bytes {
    return this.#bulk.read(gpa, toByteCount(length, "length"));
  }

  /**
   * Copies bytes from RAM and ROM into `target`, as many as `target` has.
   *
   * @throws {@link GuestMemoryFault}, and `target` does not change; TypeError.
   */
  readInto(gpa: Gpa, target: ArrayBufferView): void {
    this.#bulk.check(this.tryReadInto(gpa, target));
  }

  /**
   * As {@link AddressSpace.readInto}, but returns the result code of a fault.
   *
   * @throws TypeError, RangeError for an invalid argument.
   */
  tryReadInto(gpa: Gpa, target: ArrayBufferView): GuestMemAccessResult {
    return this.#bulk.readInto(gpa, bytesOf(target, "target"));
  }

  /**
   * Copies `source` into RAM. `source` may be a view of the same RAM.
   *
   * @throws {@link GuestMemoryFault}; TypeError; RangeError if `source` is detached or out of the
   * bounds of its buffer, before the call or because of a listener.
   */
  write(gpa: Gpa, source: ArrayBufferView): void {
    this.#bulk.check(this.tryWrite(gpa, source));
  }

  /**
   * As {@link AddressSpace.write}, but returns the result code of a fault.
   *
   * @throws TypeError; RangeError, as {@link AddressSpace.write}.
   */
  tryWrite(gpa: Gpa, source: ArrayBufferView): GuestMemAccessResult {
    return this.#bulk.write(gpa, bytesOf(source, "source"));
  }

  /**
   * Sets every byte of a range to `value`.
   *
   * @param length - Bytes, from 0 to 2^53 - 1.
   * @param value - From 0 to 255.
   * @throws {@link GuestMemoryFault}; TypeError, RangeError.
   */
  fill(gpa: Gpa, length: Gpa, value: number): void {
    this.#bulk.check(this.tryFill(gpa, length, value));
  }

  /**
   * As {@link AddressSpace.fill}, but returns the result code of a fault.
   *
   * @throws TypeError, RangeError for an invalid argument.
   */
  tryFill(gpa: Gpa, length: Gpa, value: number): GuestMemAccessResult {
    const count = toByteCount(length, "length");
    return this.#bulk.fill(gpa, count, BYTE.checkValue(value));
  }

  /**
   * Copies one range to another. The ranges may overlap.
   *
   * @param length - Bytes. At most 2^32, unless each range lies in one region and both regions map
   * the same memory.
   * @throws {@link GuestMemoryFault} for the source if it cannot be read, otherwise for the target;
   * TypeError, RangeError; Error `ERR_OUT_OF_MEMORY`.
   */
  copy(target: Gpa, source: Gpa, length: Gpa): void {
    this.#bulk.check(this.tryCopy(target, source, length));
  }

  /**
   * As {@link AddressSpace.copy}, but returns the result code of a fault.
   *
   * @throws TypeError, RangeError; Error `ERR_OUT_OF_MEMORY`.
   */
  tryCopy(target: Gpa, source: Gpa, length: Gpa): GuestMemAccessResult {
    return this.#bulk.copy(target, source, toByteCount(length, "length"));
  }

  /**
   * Gathers: copies the bytes of several ranges, one after another, into `target`. All ranges are
   * checked before the first byte is copied. Watchpoints are called for each range, as by
   * {@link AddressSpace.readInto}.
   *
   * @param ranges - They may overlap.
   * @param target - As many bytes as all ranges together.
   * @throws {@link GuestMemoryFault} for the first range that faults, and `target` does not change;
   * the errors of {@link AddressSpace.tryReadVector}.
   */
  readVector(ranges: readonly GuestRange[], target: ArrayBufferView): void {
    this.#bulk.check(this.tryReadVector(ranges, target));
  }

  /**
   * As {@link AddressSpace.readVector}, but returns the result code of a fault.
   *
   * @throws TypeError; RangeError for an invalid address or length, or if `target` is detached or
   * has another length than all ranges together.
   */
  tryReadVector(ranges: readonly GuestRange[], target: ArrayBufferView): GuestMemAccessResult {
    const list = toRanges(ranges);
    const bytes = bytesOf(target, "target");
    checkTotal(list, bytes, "target");
    return this.#bulk.readVector(list, bytes);
  }

  /**
   * Scatters: copies `source`, which may be a view of the same RAM, to several ranges, one after
   * another. All ranges are checked before the first byte is copied. Watchpoints are called for
   * each range, as by {@link AddressSpace.write}, before the first byte changes.
   *
   * @param ranges - Where they overlap, the bytes of the last one stay.
   * @param source - As many bytes as all ranges together.
   * @throws {@link GuestMemoryFault} for the first range that faults, and no byte changes; the
   * errors of {@link AddressSpace.tryWriteVector}.
   */
  writeVector(ranges: readonly GuestRange[], source: ArrayBufferView): void {
    this.#bulk.check(this.tryWriteVector(ranges, source));
  }

  /**
   * As {@link AddressSpace.writeVector}, but returns the result code of a fault.
   *
   * @throws TypeError; RangeError for an invalid address or length, or if `source` is detached, by
   * a listener too, or has another length than all ranges together.
   */
  tryWriteVector(ranges: readonly GuestRange[], source: ArrayBufferView): GuestMemAccessResult {
    const list = toRanges(ranges);
    const bytes = bytesOf(source, "source");
    checkTotal(list, bytes, "source");
    return this.#bulk.writeVector(list, bytes);
  }

  /**
   * Reads for a debugger: copies the bytes of RAM and ROM in a range to `target`, as many as
   * `target` has. It has no effect on the machine: it calls no device and no watchpoint, and sets
   * no mark.
   *
   * @returns The parts of the range that are not mapped, belong to a device, belong to memory that
   * is destroyed, or lie above 2^64 - 1, in ascending order and as few as possible. Their bytes in
   * `target` are unchanged. The array is empty if all bytes were read.
   * @throws TypeError, RangeError for an invalid argument.
   *
   * @example
   * ```js
   * import { AddressSpace } from "pound-guest-memory";
   *
   * const space = new AddressSpace();
   * space.addRam(0, 4096);
   * const target = new Uint8Array(8);
   * const missing = space.peek(4092, target);
   * console.log(missing); // [ { offset: 4, length: 4 } ]
   * // The answer of a gdb server: the bytes before the first missing one, or an error.
   * const count = missing[0]?.offset ?? target.length;
   * console.log(count === 0 ? "E01" : Buffer.from(target.buffer, 0, count).toString("hex"));
   * ```
   */
  peek(gpa: Gpa, target: ArrayBufferView): InaccessibleRange[] {
    return this.#bulk.peek(gpa, bytesOf(target, "target"));
  }

  /**
   * Writes for a debugger: copies `source` to RAM and also to ROM. It calls no device and no
   * watchpoint, but marks the pages as every write does.
   *
   * @returns The parts of the range that were not written, as {@link AddressSpace.peek} returns
   * those that were not read. All other bytes were written.
   * @throws TypeError, RangeError for an invalid argument.
   */
  poke(gpa: Gpa, source: ArrayBufferView): InaccessibleRange[] {
    return this.#bulk.poke(gpa, bytesOf(source, "source"));
  }

  #useTable(table: PageTable): void {
    this.#table = table;
    const { reads, writes } = table;
    if (this.#nativeHandle !== undefined) {
      native.coreSpaceSetTable(this.#nativeHandle, table.handle);
    }
    if (hasAddon) {
      this.native.number = table.number;
      this.native.reads = reads;
      this.native.writes = writes;
    }
    if (this.#bus.policy.number !== 0) {
      // The accessors of this class, which a subclass has, always take the slow path.
      this.reads = NO_ENTRIES;
      this.writes = NO_ENTRIES;
      this.policyReads = reads;
      this.policyWrites = this.#marksPages ? NO_ENTRIES : writes;
      return;
    }
    this.reads = reads;
    if (!this.#marksPages) {
      this.writes = writes;
    }
    this.#copyForMarkingWrites();
  }

  #markIn(marks: Uint8Array): void {
    const view = new DataView(marks.buffer, marks.byteOffset, marks.length);
    // From here on, the accessors of this class take the slow path. They are in use if the stack
    // ends below, if the space is not extensible, and in a subclass.
    this.#marksPages = true;
    this.writes = NO_ENTRIES;
    if (this.#bus.policy.number !== 0) {
      this.policyWrites = NO_ENTRIES;
    }
    if (Object.getPrototypeOf(this) === AddressSpace.prototype) {
      Reflect.setPrototypeOf(this, MarkingWrites.prototype);
    }
    if (Object.getPrototypeOf(this) === MarkingWrites.prototype) {
      this.marks = view;
      this.#copyForMarkingWrites();
    }
  }

  #copyForMarkingWrites(): void {
    if (Object.getPrototypeOf(this) === MarkingWrites.prototype) {
      this.markedWrites = this.#table?.writes ?? NO_ENTRIES;
      this.markedShift = this.shift;
      this.markedView = this.view;
    }
  }

  #mapChanged(): void {
    (this as { generation: number }).generation++;
  }

  /** Checks the address of a window. */
  #aligned(gpa: Gpa): Gpa {
    toAddress(gpa);
    const pageSize = 2 ** this.shift;
    if (BigInt(gpa) % BigInt(pageSize) !== 0n) {
      throw rangeError(`gpa must be a multiple of ${pageSize}`);
    }
    return gpa;
  }

  #allocate(size: number, fill = 0, options?: ArenaOptions): GuestMemory {
    const memory =
      this.#arena?.allocate(size) ?? GuestMemory.allocate(size, { ...this.#settings, ...options });
    // New memory is zero.
    if (fill !== 0) {
      memory.fill(0, size, fill);
    }
    return memory;
  }

  #memoryOf(contents: ArrayBufferView): GuestMemory {
    const bytes = bytesOf(contents, "contents");
    if (bytes.length === 0) {
      throw rangeError("contents must have at least 1 byte and must not be detached");
    }
    const memory = this.#allocate(bytes.length);
    memory.write(0, bytes);
    return memory;
  }
}

const buses = new WeakMap<AddressSpace, Bus>();

/**
 * The bus of an address space, for the parts of the package that cache what it resolves.
 *
 * @throws TypeError if `space` was not made by {@link AddressSpace}.
 */
export function busOf(space: AddressSpace): Bus {
  const bus = buses.get(space);
  if (bus === undefined) {
    throw typeError("space must be an AddressSpace");
  }
  return bus;
}

/* eslint-disable @typescript-eslint/no-require-imports -- loaded when first used */

export const nativeSpaceAccess = new Part(
  () => require("./native-access.js") as typeof import("./native-access.js"),
  noAddon,
);

const exitServer = new Part(() => require("./exit.js") as typeof import("./exit.js"), noAddon);

export const policySpaceAccess = new Part(
  () => require("./policy-space-access.js") as typeof import("./policy-space-access.js"),
  importFirst("accessors"),
);

export const policyAccessors = new Part(
  () => require("./policy-accessors.js") as typeof import("./policy-accessors.js"),
  importFirst("accessors"),
);

/* eslint-enable @typescript-eslint/no-require-imports */

/** The classes of spaces with another policy than the default, by the number of the policy. */
const policyClasses: (typeof AddressSpace)[] = [];

/** The class of spaces with a policy: `AddressSpace` with other accessors. */
function classOf(policy: Required<AccessPolicy>): typeof AddressSpace {
  const number = policyNumber(policy);
  let found = policyClasses[number];
  if (found === undefined) {
    found = class extends AddressSpace {};
    const constructor = { value: AddressSpace };
    Object.defineProperties(found.prototype, {
      ...policyAccessors.get().accessorsOf(policy),
      constructor,
    });
    policyClasses[number] = found;
  }
  return found;
}

Object.setPrototypeOf(MarkingWrites.prototype, AddressSpace.prototype);
Object.defineProperty(MarkingWrites.prototype, "constructor", { value: AddressSpace });

/** Checks the option `fill`, which only new memory of a stated size can have. */
function checkFill(fill: number | undefined, isNew: boolean): void {
  if (fill === undefined) {
    return;
  }
  if (typeof fill !== "number") {
    throw typeError("fill must be a number");
  }
  if (!Number.isInteger(fill) || fill < 0 || fill > 255) {
    throw rangeError("fill must be an integer from 0 to 255");
  }
  if (!isNew) {
    throw typeError("fill needs a size: memory and contents have their own bytes");
  }
}

function checkOptions<O extends RegionOptions>(options: O): O {
  return checkObject(options, "options");
}
