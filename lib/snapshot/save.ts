import type { FileHandle } from "node:fs/promises";
import { checkBooleans, checkObject } from "../base/arguments.js";
import { rangeError } from "../base/errors.js";
import { PAGE_SIZE } from "../base/page.js";
import { SnapshotEncoder, type StoredPage } from "./encode.js";
import { type ChecksumName, CHECKSUMS } from "./page-checksum.js";
import { BATCH, Progress, type ProgressOptions } from "./progress.js";
import { replaceFile } from "./replace-file.js";
import { contentsOf, type Snapshot } from "./snapshot.js";
import { NO_STATE } from "./state.js";
import { encodeState } from "./state-section.js";

/** Bytes that are written before the system is asked to flush them. */
const FLUSH = 2 ** 26;

/** Whether files have holes unless the program asks for that. */
const SPARSE_FILES = process.platform !== "win32";

/** Options of {@link saveSnapshot}. */
export interface SaveOptions extends ProgressOptions {
  /**
   * Whether to write version 3 of the format, in which each page has a fixed offset in the file, so
   * that the file can be mapped. If false, the pages are packed, as programs expect that know only
   * versions 1 and 2. The default is true, except on Windows, where the file would take as much
   * room as the memory.
   */
  readonly mappable?: boolean | undefined;
  /**
   * The checksums of the pages: `"crc32"`, which is the default of a mappable file, or `"sha256"`,
   * which takes longer. Files that are not mappable have SHA-256.
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
 * A mappable file has each page at a fixed offset, and holes for the pages of zeros: its size is at
 * least that of the memory, but a file system with sparse files has blocks for the stored pages
 * only.
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
  const { mappable = SPARSE_FILES, checksum = mappable ? "crc32" : "sha256" } = checkObject(
    options,
    "options",
  );
  const progress = new Progress(options);
  checkBooleans({ mappable });
  if (checksum !== "crc32" && checksum !== "sha256") {
    throw rangeError('checksum must be "crc32" or "sha256"');
  }
  if (!mappable && checksum !== "sha256") {
    throw rangeError("only a mappable file can have another checksum than SHA-256");
  }
  const state = encodeState(contents.state ?? NO_STATE);
  const encoding = {
    isMappable: mappable,
    checksum: CHECKSUMS[checksum],
    state: state.length,
  };
  await replaceFile(path, async (file) => {
    const encoder = new SnapshotEncoder(contents, snapshot.generation, encoding);
    progress.start(encoder.stored * PAGE_SIZE);
    await file.truncate(encoder.fileSize);
    await writeBatches(file, encoder, progress);
    await writeBytes(file, state, encoder.fileSize - state.length);
    await writeBytes(file, encoder.head(), 0);
  });
}

/** Writes the pages. Batches are written and flushed while further ones get their checksums. */
async function writeBatches(
  file: FileHandle,
  encoder: SnapshotEncoder,
  progress: Progress,
): Promise<void> {
  let writing: Promise<number> | null = null;
  let flushing: Promise<void> | null = null;
  let unflushed = 0;
  try {
    for (const batch of batches(encoder.pages())) {
      if (writing !== null) {
        progress.add(await writing);
      }
      // One at a time: Linux lets threads that write to one file wait for each other.
      writing = settled(writeAll(file, batch));
      unflushed += batch.length;
      if (unflushed >= FLUSH) {
        await flushing;
        flushing = settled(file.datasync());
        unflushed = 0;
      }
    }
    if (writing !== null) {
      progress.add(await writing);
    }
    await flushing;
  } finally {
    // The caller closes the file.
    await Promise.allSettled([writing, flushing]);
  }
}

/** A promise whose failure Node does not report before it is awaited. */
function settled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}

/** Pages that are adjacent in the file. */
interface Batch {
  readonly buffers: Uint8Array[];
  readonly offset: number;
  length: number;
}

/** Joins adjacent pages. */
function* batches(pages: Iterable<StoredPage>): Generator<Batch> {
  let batch: Batch | null = null;
  for (const { bytes, offset } of pages) {
    if (
      batch !== null &&
      (batch.length === BATCH * PAGE_SIZE || offset !== batch.offset + batch.length)
    ) {
      yield batch;
      batch = null;
    }
    batch ??= { buffers: [], offset, length: 0 };
    append(batch.buffers, bytes);
    batch.length += PAGE_SIZE;
  }
  if (batch !== null) {
    yield batch;
  }
}

/** Appends bytes to a list, and joins them with the last ones if they are adjacent in memory. */
function append(buffers: Uint8Array[], bytes: Uint8Array): void {
  const last = buffers.at(-1);
  if (last?.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset) {
    const length = last.length + bytes.length;
    buffers[buffers.length - 1] = new Uint8Array(last.buffer, last.byteOffset, length);
  } else {
    buffers.push(bytes);
  }
}

async function writeBytes(file: FileHandle, bytes: Uint8Array, offset: number): Promise<void> {
  await writeAll(file, { buffers: [bytes], offset, length: bytes.length });
}

/** Writes all bytes, and returns their number. */
async function writeAll(file: FileHandle, { buffers, offset, length }: Batch): Promise<number> {
  let rest = buffers;
  for (let done = 0; done < length;) {
    const { bytesWritten } = await file.writev(rest, offset + done);
    done += bytesWritten;
    rest = done < length ? after(rest, bytesWritten) : [];
  }
  return length;
}

/** The bytes of a list without the first `count`. */
function after(buffers: readonly Uint8Array[], count: number): Uint8Array[] {
  let skip = count;
  return buffers.flatMap((bytes) => {
    const skipped = Math.min(skip, bytes.length);
    skip -= skipped;
    return skipped === bytes.length ? [] : [bytes.subarray(skipped)];
  });
}
