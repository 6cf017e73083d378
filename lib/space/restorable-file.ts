import type { MapOptions } from "../memory/guest-memory.js";
import type { ProgressOptions } from "../snapshot/progress.js";
import type { SnapshotSubject } from "../snapshot/subject.js";

/** Options of {@link AddressSpace.restore} for a file. */
export interface RestoreOptions extends Omit<MapOptions, "region">, ProgressOptions {
  /** Whether to map the file instead of reading it. The default is false. */
  readonly map?: boolean | undefined;
}

/** A file that {@link AddressSpace.restore} restores: a `SnapshotFile`. */
export interface RestorableFile {
  /** @internal */
  restoreTo(subject: SnapshotSubject, options: RestoreOptions): Promise<void>;
}
