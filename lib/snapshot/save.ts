import type { FileHandle } from "node:fs/promises";
import { checkObject } from "../base/arguments.js";
import { rangeError, typeError } from "../base/errors.js";
import { PAGE_SIZE } from "../base/page.js";
import { SnapshotEncoder, type StoredPage } from "./encode.js";
import { type ChecksumName, CHECKSUMS } from "./page-checksum.js";
import { BATCH, Progress, type ProgressOptions } from "./progress.js";
import { replaceFile } from "./replace-file.js";
import { contentsOf, type Snapshot } from "./snapshot.js";

/** Options of {@link saveSnapshot}. */
export interface SaveOptions extends ProgressOptions {
  /**
   * Whether to write version 3 of the format, in which each page has a fixed offset in the file, so
   * that the file can be mapped. Programs that know only versions 1 and 2 cannot read it. The
   * default is false.
   */
  readonly mappable?: boolean | undefined;
  /**
   * The checksums of the pages: `"crc32"`, which is the default of a mappable file, or `"sha256"`,
   * which takes longer and allows to compare two snapshots by their page tables. Files that are not
   * mappable have SHA-256.
   */
  readonly checksum?: ChecksumName | undefined;
}

/**
 * Writes a snapshot to a file.
 *
 * An existing file is replaced atomically, after all data has reached the disk: even if the process
 * is killed, the path refers to the complete old file or to the complete new one. The new file
 * takes the mode of the old one and, if the system allows it, its owner and group. A file that did
 * not exist gets mode 0600, because guest RAM may hold secrets. Symbolic links are followed. Hard
 * links to the old file keep the old content.
 *
 * A file that cannot be replaced (a mount point, or a file in a directory without write permission)
 * is overwritten in place. If that fails half-way, the file is damaged, and loading it throws.
 *
 * With `mappable`, the file has each page at a fixed offset, and holes for the pages of zeros: its
 * size is at least that of the memory, but a file system with sparse files has blocks for the
 * stored pages only.
 *
 * @throws TypeError, RangeError for invalid options; RangeError if the snapshot exceeds the limits
 * of the format; the reason of `signal`, after which the old file is unchanged; Error
 * `ERR_NOT_REGULAR_FILE`, before anything is written, if the path leads to a directory, device,
 * pipe or socket; errors of the file system.
 *
 * @example
 * ```js
 * import { tmpdir } from "node:os";
 * import { join } from "node:path";
 * import { GuestMemory } from "pound-guest-memory";
 * import {
 *   loadSnapshot,
 *   restoreSnapshot,
 *   saveSnapshot,
 *   takeSnapshot,
 * } from "pound-guest-memory/snapshot";
 *
 * const path = join(tmpdir(), "ram.snapshot");
 * const memory = GuestMemory.allocate(1024 * 1024);
 * memory.writel(0x100, 42);
 * await saveSnapshot(takeSnapshot(memory), path);
 *
 * memory.writel(0x100, 0);
 * restoreSnapshot(memory, await loadSnapshot(path));
 * console.log(memory.readl(0x100)); // 42
 * ```
 */
export async function saveSnapshot(
  snapshot: Snapshot,
  path: string,
  options: SaveOptions = {},
): Promise<void> {
  const contents = contentsOf(snapshot);
  const { mappable = false, checksum = mappable ? "crc32" : "sha256" } = checkObject(
    options,
    "options",
  );
  const progress = new Progress(options);
  if (typeof mappable !== "boolean") {
    throw typeError("mappable must be a boolean");
  }
  if (checksum !== "crc32" && checksum !== "sha256") {
    throw rangeError('checksum must be "crc32" or "sha256"');
  }
  if (!mappable && checksum !== "sha256") {
    throw rangeError("only a mappable file can have another checksum than SHA-256");
  }
  const encoding = { isMappable: mappable, checksum: CHECKSUMS[checksum] };
  await replaceFile(path, async (file) => {
    const encoder = new SnapshotEncoder(contents, snapshot.generation, encoding);
    progress.start(encoder.stored * PAGE_SIZE);
    await file.truncate(encoder.fileSize);
    await writeBatches(file, encoder, progress);
    await writeAt(file, encoder.head(), 0);
  });
}

/** Writes the pages. Each batch is written while the next one is copied and gets its checksums. */
async function writeBatches(
  file: FileHandle,
  encoder: SnapshotEncoder,
  progress: Progress,
): Promise<void> {
  let writing: Promise<number> | null = null;
  for (const { bytes, offset } of batches(encoder.pages())) {
    if (writing !== null) {
      progress.add(await writing);
    }
    writing = writeAt(file, bytes, offset);
  }
  if (writing !== null) {
    progress.add(await writing);
  }
}

/** Joins adjacent pages. The bytes are valid until the batch after the next one. */
function* batches(pages: Iterable<StoredPage>): Generator<{ bytes: Uint8Array; offset: number }> {
  let batch = Buffer.allocUnsafe(BATCH * PAGE_SIZE);
  let other = Buffer.allocUnsafe(BATCH * PAGE_SIZE);
  let length = 0;
  let start = 0;
  for (const { bytes, offset } of pages) {
    if (length === batch.length || (length > 0 && offset !== start + length)) {
      yield { bytes: batch.subarray(0, length), offset: start };
      [batch, other] = [other, batch];
      length = 0;
    }
    if (length === 0) {
      start = offset;
    }
    batch.set(bytes, length);
    length += PAGE_SIZE;
  }
  if (length > 0) {
    yield { bytes: batch.subarray(0, length), offset: start };
  }
}

/** Writes all bytes, and returns their number. */
async function writeAt(file: FileHandle, bytes: Uint8Array, offset: number): Promise<number> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done);
    done += bytesWritten;
  }
  return bytes.length;
}
