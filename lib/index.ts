import { HOST_IS_LITTLE_ENDIAN } from "./base/host.js";
import { memoryPolicies, nativeAccess } from "./memory/guest-memory.js";
import { hasAddon } from "./native/addon.js";
import { nativeSpaceAccess } from "./space/address-space.js";

export type { GuestAccessors, GuestHalvesAccessors, GuestMemoryAccess } from "./base/access.js";
export {
  type ErrorCode,
  type FaultReason,
  GuestMemoryFault,
  type Operation,
} from "./base/errors.js";
export type { Gpa } from "./base/gpa.js";
export type { GuestRange } from "./base/ranges.js";
export type { AccessPolicy, AlignmentPolicy, Endian } from "./base/policy.js";
export { GuestMemAccessResult, resultName } from "./base/result.js";
export type { GuestAtomicAccess } from "./atomics/access.js";
export type { NativeHandle } from "./native/addon.js";
export type { NativeAccess } from "./native/access.js";
export type { NativePolicyAccess } from "./native/policy-access.js";
export { type Op, OpBuffer, OpKind, packOps, type TryAccess } from "./native/op-buffer.js";
export { Arena, type ArenaOptions, type CallerMemory } from "./memory/arena.js";
export { DirtyBitmap, type DirtyCursor } from "./memory/dirty-bitmap.js";
export { GuestMemory, type MapOptions, type MappableFile } from "./memory/guest-memory.js";
export type { PolicyAccess } from "./memory/policy-access.js";
export type {
  ProcessShared,
  ProcessSharedSource,
  SharedRamOptions,
} from "./memory/process-sharing.js";
export type { SharedRam } from "./memory/shared-ram.js";
export type { Tracking, TrackingMode } from "./memory/tracking.js";
export { AddressSpace, type RamOptions, type RomOptions } from "./space/address-space.js";
export type { InaccessibleRange } from "./space/bulk.js";
export type { CodeGuard, CodeWrite, CodeWriteListener } from "./space/code-guard.js";
export type { DeviceFork, ForkOptions } from "./space/fork.js";
export type { RestorableFile, RestoreOptions } from "./space/restorable-file.js";
export type { Unmapped, UnmappedRead, UnmappedWrite } from "./space/holes.js";
export {
  type AccessWidth,
  BUS_ERROR,
  type BusError,
  type MmioDevice,
  type MmioImplementation,
  type WriteTrap,
} from "./space/mmio.js";
export type { NativeSpaceAccess } from "./space/native-access.js";
export type { AccessFault, AddressSpaceOptions, FaultListener } from "./space/options.js";
export type {
  Access,
  MmioRegion,
  RamRegion,
  Region,
  RegionOptions,
  RomRegion,
  WindowOptions,
} from "./space/regions.js";
export type { AccessTrace, TracedAccess, TraceLog, TraceOptions } from "./space/access-trace.js";
export type { WatchedAccess, WatchListener, Watchpoint, WatchRange } from "./space/watchpoint.js";

// What every memory and space uses: loaded later, it could fail for want of a file descriptor.
if (!HOST_IS_LITTLE_ENDIAN) {
  memoryPolicies.get();
}
if (hasAddon) {
  nativeAccess.get();
  nativeSpaceAccess.get();
}
