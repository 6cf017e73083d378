import type { WatchResult } from "./watch-result.js";

/** A tagged `External` of the addon, or an object of the plain binding. */
export type Handle = { readonly __handle: unique symbol };

/**
 * An External for native addons, which open it with `node/guest_handle.h`. JavaScript can only pass
 * it on.
 */
export type NativeHandle = { readonly __nativeHandle: unique symbol };

/** The compiled accessors. The call block names the memory and has the arguments and the result. */
export interface NativeAccessors {
  readonly readb: () => void;
  readonly readw: () => void;
  readonly readl: () => void;
  readonly readq: () => void;
  readonly writeb: () => void;
  readonly writew: () => void;
  readonly writel: () => void;
  readonly writeq: () => void;
  /** The same accesses through the page table that the call block names; see `NOT_MADE`. */
  readonly spaceReadb: () => void;
  readonly spaceReadw: () => void;
  readonly spaceReadl: () => void;
  readonly spaceReadq: () => void;
  readonly spaceWriteb: () => void;
  readonly spaceWritew: () => void;
  readonly spaceWritel: () => void;
  readonly spaceWriteq: () => void;
  /** The accesses through the TLB that the call block names too; see `NOT_MADE`. */
  readonly mmuReadb: () => void;
  readonly mmuReadw: () => void;
  readonly mmuReadl: () => void;
  readonly mmuReadq: () => void;
  readonly mmuWriteb: () => void;
  readonly mmuWritew: () => void;
  readonly mmuWritel: () => void;
  readonly mmuWriteq: () => void;
  readonly mmuFetchb: () => void;
  readonly mmuFetchw: () => void;
  readonly mmuFetchl: () => void;
  /** Runs the atomic operation that the call block names. */
  readonly atomic: () => void;
  /** Makes the access, under an access policy, that the call block names. */
  readonly accessUnderPolicy: () => void;
}

/**
 * What the view path needs: the exports of the addon that `lib/native/plain.ts` has too. Every
 * function throws errors with a code.
 */
export interface MemoryBinding {
  /** False if the runtime forbids ArrayBuffers over memory that it did not allocate. */
  readonly externalBuffers: boolean;
  /** Bytes that the descriptor of a guest memory takes from an arena. */
  readonly descriptorSize: number;
  /** Whether a fork shares memory with its parent; if not, it copies. */
  readonly forksShareMemory: boolean;

  arenaCreate(
    capacity: number,
    hugePages?: boolean,
    forkable?: boolean,
    writeWatch?: boolean,
  ): Handle;
  /** @param detachInTheEnd - Whether `arenaDestroy` detaches the buffer under the view. */
  arenaOver(view: DataView, detachInTheEnd?: boolean): Handle;
  arenaAllocate(arena: Handle, size: number, alignment: number): number;
  arenaCapacity(arena: Handle): number;
  arenaUsed(arena: Handle): number;
  arenaReset(arena: Handle): void;
  arenaDestroy(arena: Handle): void;
  /**
   * Makes an arena with the same bytes and allocations.
   *
   * @param target - An arena over as many bytes of the runtime, which becomes the clone. By
   * default, the clone has pages of its own.
   */
  arenaFork(arena: Handle, target?: Handle): Handle;
  /** As `arenaFork`, without a clone: `arenaRevert` restores the present bytes from now on. */
  arenaRebase(arena: Handle): void;
  /**
   * Gives allocated bytes the values that they had at the last fork; null if there was none.
   *
   * @param list - False for the number of changed pages; true for the offset and the length of each
   * changed part.
   */
  arenaRevert(arena: Handle, offset: number, length: number, list: false): number | null;
  arenaRevert(arena: Handle, offset: number, length: number, list: true): Float64Array | null;
  /** The offset and the length of each part that `arenaRevert` would change. */
  arenaChanges(arena: Handle, offset: number, length: number): Float64Array | null;
  /**
   * The offset and the length of each part of allocated bytes that may not be zero: of pages that
   * were written, or read. Looks at no bytes.
   */
  arenaResident(arena: Handle, offset: number, length: number): Float64Array;
  /** As `arenaCreate`, over a part of a file; null if the system cannot map it. */
  arenaMap(descriptor: number, offset: number, size: number): Handle | null;
  /** Whether an access found that bytes of the mapped file are gone. */
  arenaHasLost(arena: Handle): boolean;
  /** The offset, from `offset` on, and the length of each part of a file that may not be zero. */
  fileData(descriptor: number, offset: number, length: number): Float64Array;
  /** Bytes of a huge page; 0 on systems on which the package asks for none. */
  readonly hugePageSize: number;
  /**
   * Asks for huge pages in an ArrayBuffer of the runtime whose bytes were not accessed yet.
   *
   * @returns The offset of the first byte on a huge page.
   */
  adviseHugePages(buffer: ArrayBuffer): number;
  /** @param handedOut - False if the buffer stays inside this package until `handOut`. */
  arenaExpose(arena: Handle, offset: number, length: number, handedOut?: boolean): ArrayBuffer;
  /** Call it before code outside this package receives a buffer of `arenaExpose`. */
  handOut(buffer: ArrayBuffer): void;
  /** Detaches a buffer of `arenaExpose`, and throws for any other buffer. */
  detach(buffer: ArrayBuffer): void;

  guestMemoryCreate(arena: Handle): Handle;
  /**
   * Bytes of an unused arena from `offset` on become RAM, by default all of them; none is written.
   */
  guestMemoryOver(arena: Handle, offset: number, size?: number): Handle;
  /** Allocated bytes of an arena become RAM; none is written. */
  guestMemoryPart(arena: Handle, offset: number, size: number): Handle;
  guestMemorySize(memory: Handle): number;
  guestMemoryOffset(memory: Handle): number;
  guestMemoryDestroy(memory: Handle): void;

  /** Starts the tracking of writes by the operating system, unless it is started already. */
  watchStart(memory: Handle): WatchResult;
  watchStop(memory: Handle): void;
  /**
   * Stores 1 in the marks of pages, among those from `first` to before `end`, that were written
   * since the last call. Without effect on a memory that is not watched.
   *
   * @param marks - An element for each page of the memory.
   */
  watchCollect(memory: Handle, marks: Uint8Array, first: number, end: number): void;

  /**
   * The page table of an address space. Both arrays lie in SharedArrayBuffers.
   *
   * @param policy - The number of an access policy.
   */
  pageTableCreate(reads: Int32Array, writes: Int32Array, shift: number, policy: number): Handle;
  /** Sets the memory that the entries of the table lead to. */
  pageTableSetHome(table: Handle, memory: Handle): void;
  /** The entries for instruction fetches, as many as the table has, shared. */
  pageTableSetFetches(table: Handle, fetches: Int32Array): void;
  /** Sets the marks of the pages of that memory. They lie in a SharedArrayBuffer. */
  pageTableSetMarks(table: Handle, marks: Uint8Array): void;
  /** The number of the table in the call block, valid while the handle lives. */
  pageTableNumber(table: Handle): number;

  /**
   * The tables of a software TLB, with entries of 32 bytes (guest_tlb_entry_t). The arrays lie in
   * SharedArrayBuffers.
   */
  tlbCreate(
    reads: Float64Array,
    writes: Float64Array,
    fetches: Float64Array,
    pageBits: number,
  ): Handle;
  /** The number of the TLB in the call block, valid while the handle lives. */
  tlbNumber(tlb: Handle): number;

  /** The address of the top of the stack, which grows to lower addresses. */
  stackPosition(): number;

  coreMemoryCreate(memory: Handle): NativeHandle;
  coreSpaceCreate(): NativeHandle;
  /** Sets the page table that addons get at the beginning of their next run. */
  coreSpaceSetTable(space: NativeHandle, table: Handle): void;
}

/** The exports of the addon. */
export interface NativeBinding extends MemoryBinding, NativeAccessors {
  /** Arguments and results of the accessors; call-block.ts has the layout. */
  readonly callBlock: SharedArrayBuffer;

  /** Makes memory of a name that other processes can map. */
  sharedCreate(name: string, size: number): Handle;
  /** Maps memory of a name. @param size - Bytes; 0 for all. */
  sharedOpen(name: string, size: number): Handle;
  /** Maps the file of a descriptor of this process, which stays open. @param size - As above. */
  sharedDescriptor(descriptor: number, size: number): Handle;
  /** Removes a name. Without effect if the system removes it together with the memory. */
  sharedUnlink(name: string): void;
  /** A descriptor of the memory of an arena, valid until `arenaDestroy`; -1 if there is none. */
  arenaDescriptor(arena: Handle): number;
  /** Whether bytes of the arena are no longer those of its file, which has become shorter. */
  arenaLostSharing(arena: Handle): boolean;

  /** @param policy - The number of an access policy. */
  guestMemoryRun(memory: Handle, ops: Uint8Array, policy: number): number;
  /** The number of the memory in the call block, valid while the handle lives. */
  guestMemoryNumber(memory: Handle): number;
}
