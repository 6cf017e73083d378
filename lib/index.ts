// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export type { GuestAccessors, GuestMemoryAccess } from "./base/access.js";
export { type ErrorCode, GuestMemoryFault, type Operation } from "./base/errors.js";
export type { Gpa } from "./base/gpa.js";
export { GuestMemAccessResult, resultName } from "./base/result.js";
export type { GuestAtomicAccess } from "./atomics/access.js";
export type { NativeAccess } from "./native/access.js";
export { type Op, OpBuffer, OpKind, packOps, type TryAccess } from "./native/op-buffer.js";
export { Arena, type CallerMemory } from "./memory/arena.js";
export { DirtyBitmap, type DirtyCursor } from "./memory/dirty-bitmap.js";
export { GuestMemory } from "./memory/guest-memory.js";
export type { SharedRam } from "./memory/shared-ram.js";
export { AddressSpace, type RamOptions, type RegionOptions } from "./space/address-space.js";
export type { MmioDevice } from "./space/mmio.js";
export type { NativeSpaceAccess } from "./space/native-access.js";
export type { MmioRegion, RamRegion, Region, RomRegion } from "./space/regions.js";
export type { WatchedAccess, WatchListener, Watchpoint, WatchRange } from "./space/watchpoint.js";
