import { join } from "node:path";
import load from "node-gyp-build";

/** A tagged `External` that only this addon can make. */
export type Handle = { readonly __handle: unique symbol };

/** The compiled accessors of one guest memory; arguments and results lie in {@link callBlock}. */
export interface NativeAccessors {
  readb(): void;
  readw(): void;
  readl(): void;
  readq(): void;
  writeb(): void;
  writew(): void;
  writel(): void;
  writeq(): void;
}

/** What the addon exports. Every function checks its arguments and throws errors with a code. */
export interface NativeBinding {
  /** False where the runtime forbids ArrayBuffers over memory it did not allocate. */
  readonly externalBuffers: boolean;
  /** Bytes that a guest memory's descriptor takes off an arena. */
  readonly descriptorSize: number;
  /** Arguments and results of {@link NativeAccessors}: `CallBlock` of the addon. */
  readonly callBlock: ArrayBuffer;

  arenaCreate(capacity: number): Handle;
  arenaOver(view: Uint8Array): Handle;
  arenaAllocate(arena: Handle, size: number, alignment: number): number;
  arenaCapacity(arena: Handle): number;
  arenaUsed(arena: Handle): number;
  arenaReset(arena: Handle): void;
  arenaDestroy(arena: Handle): void;
  arenaExpose(arena: Handle, offset: number, length: number): ArrayBuffer;
  detach(buffer: ArrayBuffer): void;

  guestMemoryCreate(arena: Handle): Handle;
  guestMemorySize(memory: Handle): number;
  guestMemoryOffset(memory: Handle): number;
  guestMemoryDestroy(memory: Handle): void;
  guestMemoryAccessors(memory: Handle): NativeAccessors;
}

/** The addon, prebuilt or built by the install. */
export const native = load(join(__dirname, "..")) as NativeBinding;
