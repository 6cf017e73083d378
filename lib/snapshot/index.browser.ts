// Snapshots in memory. Those in files need Node.
export { type ChangedRange, diffSnapshots } from "./diff.js";
export { SnapshotFormatError } from "./errors.js";
export type { RegionKind, RegionLayout, SnapshotWindow } from "./layout.js";
export type { PageHeat } from "./page-heat.js";
export { restoreSnapshot } from "./restore.js";
export { Rewind, type RewindOptions } from "./rewind.js";
export { Snapshot, type SnapshotRegion } from "./snapshot.js";
export type { LiveRegion, SnapshotSubject } from "./subject.js";
export type { StatefulDevice } from "./stateful-device.js";
export { type SnapshotOptions, takeSnapshot } from "./take.js";
