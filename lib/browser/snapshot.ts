// Snapshots in memory. Those in files need Node.
import { restoreDevices, restoreSnapshot } from "../snapshot/restore.js";
import { takeSnapshot } from "../snapshot/take.js";
import { snapshotsPart } from "../space/snapshots-part.js";

export { type ChangedRange, diffSnapshots } from "../snapshot/diff.js";
export { SnapshotFormatError } from "../snapshot/errors.js";
export type { RegionKind, RegionLayout, SnapshotWindow } from "../snapshot/layout.js";
export type { PageHeat } from "../snapshot/page-heat.js";
export { restoreSnapshot } from "../snapshot/restore.js";
export { Rewind, type RewindOptions } from "../snapshot/rewind.js";
export { Snapshot, type SnapshotRegion } from "../snapshot/snapshot.js";
export type { LiveRegion, SnapshotSubject } from "../snapshot/subject.js";
export type { StatefulDevice } from "../snapshot/stateful-device.js";
export { type SnapshotOptions, takeSnapshot } from "../snapshot/take.js";

snapshotsPart.provide({ restoreDevices, restoreSnapshot, takeSnapshot });
