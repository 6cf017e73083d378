// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export { type ChangedRange, diffSnapshots } from "./diff.js";
export { SnapshotFormatError } from "./errors.js";
export { type FilePage, loadSnapshot, openSnapshot, type SnapshotFile } from "./file.js";
export type { RegionKind, RegionLayout, SnapshotWindow } from "./layout.js";
export type { ChecksumName } from "./page-checksum.js";
export type { PageHeat } from "./page-heat.js";
export type { ProgressOptions } from "./progress.js";
export { restoreSnapshot } from "./restore.js";
export { Rewind, type RewindOptions } from "./rewind.js";
export { type SaveOptions, saveSnapshot } from "./save.js";
export { Snapshot, type SnapshotRegion } from "./snapshot.js";
export type { LiveRegion, SnapshotSubject } from "./subject.js";
export type { StatefulDevice } from "./stateful-device.js";
export { type SnapshotOptions, takeSnapshot } from "./take.js";
