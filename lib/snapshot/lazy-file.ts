import type { SnapshotFile } from "./file.js";
import type { Snapshot } from "./snapshot.js";

/*
 * The doors to file.ts. They load it, and with it node:crypto and the file system, when they are
 * used: most programs never save a snapshot, and loading those takes as long as all the rest.
 */

/**
 * Writes a snapshot to a file. A file of that name is replaced in one step once all is on the disk:
 * whatever happens, the name means the old file or the whole new one. The file keeps its mode and,
 * where the system allows it, its owner; a new file has mode 0600, since guest RAM holds secrets.
 * Symbolic links are followed. Hard links to the old file keep the old content.
 *
 * A file that cannot be replaced (a mount point, or a folder without write permission) is
 * overwritten in place. A failure in the middle of that leaves a damaged file, which is refused when
 * it is read.
 *
 * @throws RangeError where the snapshot is larger than the format allows; Error
 * `ERR_NOT_REGULAR_FILE`, before anything is written, where the path leads to a folder, device, pipe
 * or socket; errors of the file system.
 */
export async function saveSnapshot(snapshot: Snapshot, path: string): Promise<void> {
  const file = await import("./file.js");
  await file.saveSnapshot(snapshot, path);
}

/**
 * Reads a snapshot from a file into memory, and checks all of it.
 *
 * @throws {@link SnapshotFormatError} where the file is no snapshot, cut off or damaged; Error
 * `ERR_NOT_REGULAR_FILE`; errors of the file system.
 */
export async function loadSnapshot(path: string): Promise<Snapshot> {
  const file = await import("./file.js");
  return file.loadSnapshot(path);
}

/**
 * Opens a snapshot to read parts of it. Its tables are read and checked, its pages when they are
 * read.
 *
 * @throws as {@link loadSnapshot}.
 */
export async function openSnapshot(path: string): Promise<SnapshotFile> {
  const file = await import("./file.js");
  return file.openSnapshot(path);
}
