import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { type FileHandle, open, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { notRegularFileError } from "./errors.js";

/** Writes the content of an empty file. May be called more than once. */
export type Content = (file: FileHandle) => Promise<void>;

/** Maximum symbolic links followed from one path, as in Linux. */
const MAX_LINKS = 40;

/** The mode of a file that did not exist before. Guest RAM may hold keys and passwords. */
const NEW_MODE = 0o600;

/** Error codes that mean that a directory does not allow a file in it to be replaced. */
const NO_REPLACEMENT = new Set(["EACCES", "EBUSY", "EPERM", "EROFS", "EXDEV"]);

// Both are undefined on Windows.
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;

/**
 * Replaces a file atomically: at all times, the path refers to the complete old file or to the
 * complete new one. Symbolic links are followed and remain. The new file takes the owner, the group
 * and the mode of the old one; a file that did not exist is accessible to its owner only. If the
 * owner or the group cannot be set, the mode loses the bits that would give access to others.
 *
 * A file that cannot be replaced (a mount point, or a file in a directory without write permission)
 * is overwritten in place. If that fails half-way, the file is damaged.
 *
 * @throws Error `ERR_NOT_REGULAR_FILE` for a directory, device, pipe or socket; errors of the file
 * system.
 */
export async function replaceFile(path: string, content: Content): Promise<void> {
  // Before links are read: /dev/stdout and the links in /proc may lead to what has no path.
  const old = await statFile(path);
  const target = await followLinks(path);
  if (!(await writeBeside(target, old, content))) {
    await overwrite(target, old!, content);
  }
  await syncFolder(dirname(target));
}

/**
 * Writes a temporary file in the same directory and renames it to the target.
 *
 * @returns False if there is an old file and its directory does not allow it to be replaced.
 */
async function writeBeside(target: string, old: Stats | null, content: Content): Promise<boolean> {
  const isRefused = (error: unknown): boolean => old !== null && NO_REPLACEMENT.has(codeOf(error));
  // Independent of the target's name, which may already have the maximum length.
  const temporary = join(dirname(target), `.${randomBytes(8).toString("hex")}.tmp`);
  const handle = await orNull(open(temporary, "wx", NEW_MODE), isRefused);
  if (handle === null) {
    return false;
  }
  try {
    try {
      await content(handle);
      if (old !== null) {
        await keepAccess(handle, old);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    const isRenamed = await orNull(
      rename(temporary, target).then(() => true),
      isRefused,
    );
    if (isRenamed === null) {
      await rm(temporary);
      return false;
    }
    return true;
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}

async function overwrite(target: string, old: Stats, content: Content): Promise<void> {
  // No O_TRUNC and no waiting for a reader: the path may lead to a different file or a pipe by now.
  const handle = await open(target, constants.O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const now = await handle.stat();
    if (!now.isFile() || now.ino !== old.ino || now.dev !== old.dev) {
      throw notRegularFileError(target);
    }
    // Not the end of it only, because the new content may have holes.
    await handle.truncate(0);
    await content(handle);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Sets the owner, the group and the mode of the old file, as far as the system allows it. */
async function keepAccess(handle: FileHandle, old: Stats): Promise<void> {
  const now = await handle.stat();
  if (now.uid !== old.uid) {
    await orNull(handle.chown(old.uid, old.gid), () => true);
  }
  const { gid } = await handle.stat();
  // A user may change the group of a file to any group that the user is a member of.
  const isGroupKept =
    gid === old.gid ||
    (await orNull(
      handle.chown(-1, old.gid).then(() => true),
      () => true,
    )) !== null;
  const group = (old.mode >> 3) & 0o7;
  // If the group is lost, its members fall under the mode bits for others.
  const mode = isGroupKept ? old.mode & 0o777 : (old.mode & 0o700) | (old.mode & group);
  // Only if needed: some file systems have a fixed mode for all files and refuse chmod.
  if ((now.mode & 0o777) !== mode) {
    await handle.chmod(mode);
  }
}

/** The result of an action; null if it fails with an `expected` error. */
async function orNull<T>(
  action: Promise<T>,
  expected: (error: unknown) => boolean,
): Promise<T | null> {
  try {
    return await action;
  } catch (error) {
    if (expected(error)) {
      return null;
    }
    throw error;
  }
}

/** The stats of a regular file; null if it does not exist. @throws `ERR_NOT_REGULAR_FILE`. */
async function statFile(path: string): Promise<Stats | null> {
  const found = await orNull(stat(path), (error) => codeOf(error) === "ENOENT");
  if (found !== null && !found.isFile()) {
    throw notRegularFileError(path);
  }
  return found;
}

/** Resolves symbolic links to a path, whose file need not exist. */
async function followLinks(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links <= MAX_LINKS; links++) {
    const folder = await realpath(dirname(at));
    const file = join(folder, basename(at));
    const link = await readLink(file);
    if (link === null) {
      return file;
    }
    // Not path.join, which resolves ".." lexically, even after a symbolic link.
    at = isAbsolute(link) ? link : `${folder}/${link}`;
  }
  throw Object.assign(new Error(`too many symbolic links: ${path}`), { code: "ELOOP" });
}

/** The target of a symbolic link; null for anything else. */
async function readLink(path: string): Promise<string | null> {
  // UNKNOWN is the error of Windows for a file that is not a link.
  return orNull(readlink(path), (error) => ["EINVAL", "ENOENT", "UNKNOWN"].includes(codeOf(error)));
}

/** Flushes a rename to the disk, on systems that support it. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // Windows cannot open directories. The data of the file is on the disk in any case.
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code);
}
