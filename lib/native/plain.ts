import { destroyedError, rangeError, typeError, withCode } from "../base/errors.js";
import type { Handle, MemoryBinding } from "./binding.js";
import { PlainArena, PlainMemory } from "./plain-arena.js";
import { WATCH_NO_ADDON } from "./watch-result.js";

/** Bytes of a descriptor in C++, and the alignment of RAM in an arena. */
const DESCRIPTOR_SIZE = 16;

/** As the addon, the plain binding casts its objects to handles. */
function toHandle(object: object): Handle {
  return object as Handle;
}

function arenaOf(handle: Handle): PlainArena {
  return handle as unknown as PlainArena;
}

function memoryOf(handle: Handle): PlainMemory {
  return handle as unknown as PlainMemory;
}

/** @throws Error `ERR_DESTROYED` if the arena has lost its memory. */
function usable(handle: Handle): PlainArena {
  const arena = arenaOf(handle);
  if (!arena.isUsable) {
    throw destroyedError("the arena is destroyed, or its buffer is detached");
  }
  return arena;
}

function exhaustedError(message: string): RangeError {
  return withCode(new RangeError(message), "ERR_ARENA_EXHAUSTED");
}

function arenaOver(view: DataView, detachInTheEnd = false): Handle {
  return toHandle(new PlainArena(view, detachInTheEnd));
}

function arenaAllocate(handle: Handle, size: number, alignment: number): number {
  const arena = usable(handle);
  if (size === 0 || !isPowerOfTwo(alignment)) {
    throw rangeError("size must be at least 1, and alignment a power of two");
  }
  const offset = arena.allocate(size, alignment);
  if (offset === null) {
    throw exhaustedError("the arena has too little left for this block");
  }
  return offset;
}

function isPowerOfTwo(value: number): boolean {
  const bits = BigInt(value);
  return bits !== 0n && (bits & (bits - 1n)) === 0n;
}

function arenaFork(handle: Handle, target?: Handle): Handle {
  usable(handle).forkInto(arenaOf(target!));
  return target!;
}

function arenaRevert(handle: Handle, offset: number, length: number, list: false): number | null;
function arenaRevert(
  handle: Handle,
  offset: number,
  length: number,
  list: true,
): Float64Array | null;
function arenaRevert(
  handle: Handle,
  offset: number,
  length: number,
  list: boolean,
): number | Float64Array | null {
  const parts = usable(handle).revert(offset, length);
  return parts === null || list ? parts : parts.length / 2;
}

function guestMemoryCreate(handle: Handle): Handle {
  const arena = usable(handle);
  if (arena.allocate(DESCRIPTOR_SIZE, DESCRIPTOR_SIZE) === null) {
    throw exhaustedError("the arena has too little left for a guest memory");
  }
  const offset = arena.used;
  const size = arena.capacity - offset;
  arena.allocate(size, 1);
  return toHandle(new PlainMemory(offset, size));
}

function guestMemoryOver(handle: Handle, offset: number, size?: number): Handle {
  const arena = usable(handle);
  const length = size ?? arena.capacity - offset;
  if (!(offset >= 0 && length >= 0 && offset + length <= arena.capacity)) {
    throw rangeError("offset and size must name bytes of the arena");
  }
  if (arena.used !== 0) {
    throw exhaustedError("bytes of the arena are allocated already");
  }
  arena.allocate(arena.capacity, 1);
  return toHandle(new PlainMemory(offset, length));
}

function guestMemoryPart(handle: Handle, offset: number, size: number): Handle {
  const arena = usable(handle);
  if (!(offset >= 0 && size >= 1 && offset + size <= arena.used)) {
    throw rangeError("offset and size must name allocated bytes of the arena");
  }
  return toHandle(new PlainMemory(offset, size));
}

/** Arenas without external buffers have no buffers of their own that could end. */
function noExternalBuffer(): never {
  throw typeError("without the addon, no buffer is over pages of an arena");
}

const nothing = (): void => undefined;

/**
 * What the view path needs, without the addon: arenas over ArrayBuffers of the runtime.
 *
 * The callers are the classes of this package, which pass only handles that they got here.
 *
 * @param noAddon - Throws the error of functions that need the addon.
 */
export function plainBinding(noAddon: () => never): MemoryBinding {
  return {
    externalBuffers: false,
    descriptorSize: DESCRIPTOR_SIZE,
    forksShareMemory: false,
    arenaCreate: noExternalBuffer,
    arenaOver,
    arenaAllocate,
    arenaCapacity: (arena) => arenaOf(arena).capacity,
    arenaUsed: (arena) => arenaOf(arena).used,
    arenaReset: (arena) => {
      usable(arena).reset();
    },
    arenaDestroy: (arena) => {
      arenaOf(arena).destroy();
    },
    arenaFork,
    arenaRebase: (arena) => {
      usable(arena).rebase();
    },
    arenaRevert,
    arenaChanges: (arena, offset, length) => usable(arena).changes(offset, length),
    // Which pages were touched, only the system knows.
    arenaResident: (arena, offset, length) => {
      usable(arena);
      return Float64Array.of(offset, length);
    },
    hugePageSize: 0,
    adviseHugePages: () => 0,
    arenaExpose: noExternalBuffer,
    handOut: noExternalBuffer,
    arenaMap: () => null,
    arenaHasLost: () => false,
    fileData: (_descriptor, _offset, length) => Float64Array.of(0, length),
    detach: noExternalBuffer,
    guestMemoryCreate,
    guestMemoryOver,
    guestMemoryPart,
    guestMemorySize: (memory) => memoryOf(memory).size,
    guestMemoryOffset: (memory) => memoryOf(memory).offset,
    guestMemoryDestroy: nothing,
    watchStart: () => WATCH_NO_ADDON,
    watchStop: nothing,
    watchCollect: nothing,
    // The view path reads the arrays of the table themselves.
    pageTableCreate: () => toHandle({}),
    pageTableSetHome: nothing,
    pageTableSetFetches: nothing,
    pageTableSetMarks: nothing,
    pageTableNumber: () => 0,
    tlbCreate: () => toHandle({}),
    tlbNumber: () => 0,
    // No JavaScript finds the position of the stack. The check is made at every call then.
    stackPosition: () => NaN,
    coreMemoryCreate: noAddon,
    coreSpaceCreate: noAddon,
    coreSpaceSetTable: noAddon,
  };
}
