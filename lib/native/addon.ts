import { loadAddon } from "./load-addon.js";

/** A tagged `External` that only this addon can make. */
export type Handle = { readonly __handle: unique symbol };

/** The compiled accessors; which memory, the arguments and the result lie in the call block. */
export interface NativeAccessors {
  readonly readb: () => void;
  readonly readw: () => void;
  readonly readl: () => void;
  readonly readq: () => void;
  readonly writeb: () => void;
  readonly writew: () => void;
  readonly writel: () => void;
  readonly writeq: () => void;
  /** Every atomic accessor; the call block says which. */
  readonly atomic: () => void;
}

/** What the addon exports. Every function checks its arguments and throws errors with a code. */
export interface NativeBinding extends NativeAccessors {
  /** False where the runtime forbids ArrayBuffers over memory it did not allocate. */
  readonly externalBuffers: boolean;
  /** Bytes that a guest memory's descriptor takes off an arena. */
  readonly descriptorSize: number;
  /** Arguments and results of the accessors: `CallBlock` of the addon. */
  readonly callBlock: SharedArrayBuffer;

  arenaCreate(capacity: number): Handle;
  /** @param detachInTheEnd - Whether `arenaDestroy` detaches the buffer under the view. */
  arenaOver(view: DataView, detachInTheEnd?: boolean): Handle;
  arenaAllocate(arena: Handle, size: number, alignment: number): number;
  arenaCapacity(arena: Handle): number;
  arenaUsed(arena: Handle): number;
  arenaReset(arena: Handle): void;
  arenaDestroy(arena: Handle): void;
  /** @param handedOut - False for a buffer that stays inside this package until `handOut`. */
  arenaExpose(arena: Handle, offset: number, length: number, handedOut?: boolean): ArrayBuffer;
  /** To be called before code outside this package gets a buffer that `arenaExpose` made. */
  handOut(buffer: ArrayBuffer): void;
  /** Detaches a buffer that `arenaExpose` made, and no other. */
  detach(buffer: ArrayBuffer): void;

  guestMemoryCreate(arena: Handle): Handle;
  guestMemorySize(memory: Handle): number;
  guestMemoryOffset(memory: Handle): number;
  guestMemoryDestroy(memory: Handle): void;
  guestMemoryRun(memory: Handle, ops: Uint8Array): number;
  /** What the call block names the memory by, valid while the handle lives. */
  guestMemoryNumber(memory: Handle): number;
}

/** The addon, prebuilt or built by the install. */
export const native = loadAddon(__dirname) as NativeBinding;
