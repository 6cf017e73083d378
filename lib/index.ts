// TypeScript 6 looks at no types of Node's unless told to.
/// <reference types="node" preserve="true" />
export type { GuestAccessors, GuestMemoryAccess } from "./base/access.js";
export { AddressSpace, type RamOptions, type RegionOptions } from "./space/address-space.js";
export type { GuestAtomicAccess } from "./atomics/access.js";
export { Arena, type CallerMemory } from "./memory/arena.js";
export { DirtyBitmap } from "./memory/dirty-bitmap.js";
export { ExclusiveMonitor } from "./atomics/exclusive-monitor.js";
export { GuestMemoryFault, SnapshotFormatError, type ErrorCode, type Operation } from "./base/errors.js";
export type { Gpa } from "./base/gpa.js";
export { GuestMemory } from "./memory/guest-memory.js";
export type { LackeyOptions } from "./trace/lackey.js";
export type { MmioDevice } from "./space/mmio.js";
export type { NativeSpaceAccess } from "./space/native-access.js";
export type { MmioRegion, RamRegion, Region, RomRegion } from "./space/regions.js";
export { GuestMemAccessResult, resultName } from "./base/result.js";
export type { SharedRam } from "./memory/shared-ram.js";
export type { BigintElement, ElementType, ElementValue, NumberElement } from "./typed/elements.js";
export {
  struct,
  type FieldType,
  type FieldValue,
  StructLayout,
  type StructFields,
  type StructView,
} from "./typed/struct.js";
export { TypedRegion } from "./typed/typed-region.js";
export { crosscheck, crosscheckSmall, recheck } from "./crosscheck/crosscheck.js";
export type {
  CrosscheckOptions,
  CrosscheckResult,
  Difference,
  MakeMemory,
  Side,
} from "./crosscheck/crosscheck.js";
export type { Outcome } from "./crosscheck/run-op.js";
export {
  exhaustiveOps,
  lackeyOps,
  listedOps,
  type OpSource,
  randomOps,
  type RandomOptions,
} from "./crosscheck/sources.js";
export type { NativeAccess } from "./native/access.js";
export { type Op, OpBuffer, OpKind, packOps, type TryAccess } from "./native/op-buffer.js";
export { decodeOpLog, encodeOpLog, type OpLog, OpRecorder } from "./crosscheck/op-log.js";
export { BadImageError } from "./loader/bad-image.js";
export type { ElfImage, ElfMachine, ElfOptions, ElfSegment } from "./loader/elf.js";
export { loadElf, loadRaw } from "./loader/load.js";
export type { LoadTarget } from "./loader/place.js";
export type { WatchedAccess, WatchListener, Watchpoint, WatchRange } from "./space/watchpoint.js";
export { Snapshot, type SnapshotRegion } from "./snapshot/snapshot.js";
export type { PageHeat } from "./snapshot/page-heat.js";
export type { LiveRegion, RegionKind, RegionLayout, SnapshotSubject } from "./snapshot/regions.js";
export { takeSnapshot } from "./snapshot/take.js";
export { restoreSnapshot } from "./snapshot/restore.js";
export { type ChangedRange, diffSnapshots } from "./snapshot/diff.js";
export { loadSnapshot, openSnapshot, saveSnapshot } from "./snapshot/lazy-file.js";
export type { FilePage, SnapshotFile } from "./snapshot/file.js";
