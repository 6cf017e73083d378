import { randomBytes } from "node:crypto";
import { constants, type Stats } from "node:fs";
import { type FileHandle, open, readlink, realpath, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { notRegularFileError } from "./errors.js";

/** Gives the content of a file from its start: each call anew. */
export type Content = () => Iterable<Uint8Array>;

/** Links that are followed from one path, as Linux does. */
const MAX_LINKS = 40;

/** The mode of a file that replaces none. Guest RAM holds keys and passwords. */
const NEW_MODE = 0o600;

/** Reasons for which the folder of a file takes no other file in its place. */
const NO_REPLACEMENT = new Set(["EACCES", "EBUSY", "EPERM", "EROFS", "EXDEV"]);

// Windows has neither: there, both are undefined.
const { O_NOFOLLOW = 0, O_NONBLOCK = 0 } = constants as Partial<typeof constants>;

/**
 * Writes a file so that its name means the old file or the whole new one, whatever happens. Symbolic
 * links are followed, and stay. The file keeps its owner, group and mode; a new one is for its owner
 * alone. Where the owner or the group cannot be kept, the mode shrinks so that nobody gains access.
 *
 * A file that cannot be replaced (it is a mount point, or its folder allows no other) is overwritten
 * in place. A failure in the middle of that leaves a damaged file.
 *
 * @throws Error `ERR_NOT_REGULAR_FILE` for a folder, device, pipe or socket; errors of the file
 * system.
 */
export async function replaceFile(path: string, content: Content): Promise<void> {
  // Before any link is read: what the links of /dev/stdout and /proc say is not always a path.
  const old = await statFile(path);
  const target = await followLinks(path);
  if (!(await writeBeside(target, old, content))) {
    await overwrite(target, old!, content);
  }
  await syncFolder(dirname(target));
}

/**
 * Writes another file in the same folder, and gives it the name of the old one.
 *
 * @returns False where there is an old file, and its folder takes no other in its place.
 */
async function writeBeside(target: string, old: Stats | null, content: Content): Promise<boolean> {
  const isRefused = (error: unknown): boolean => old !== null && NO_REPLACEMENT.has(codeOf(error));
  // Not made from the file's name, which may have all the bytes that a name can have.
  const temporary = join(dirname(target), `.${randomBytes(8).toString("hex")}.tmp`);
  const handle = await orNull(open(temporary, "wx", NEW_MODE), isRefused);
  if (handle === null) {
    return false;
  }
  try {
    try {
      await writeAll(handle, content);
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
  // Without truncation and without waiting for a reader: the name may mean something else by now.
  const handle = await open(target, constants.O_WRONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const now = await handle.stat();
    if (!now.isFile() || now.ino !== old.ino || now.dev !== old.dev) {
      throw notRegularFileError(target);
    }
    await handle.truncate(await writeAll(handle, content));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Writes from the start of a file; gives how many bytes. */
async function writeAll(handle: FileHandle, content: Content): Promise<number> {
  let length = 0;
  for (const bytes of content()) {
    // Writes in pieces of 512 KiB, and goes on where the system writes less.
    await handle.writeFile(bytes);
    length += bytes.length;
  }
  return length;
}

/** Gives a new file the owner, the group and the mode of the old one, as far as that is allowed. */
async function keepAccess(handle: FileHandle, old: Stats): Promise<void> {
  const now = await handle.stat();
  if (now.uid !== old.uid) {
    await orNull(handle.chown(old.uid, old.gid), () => true);
  }
  const { gid } = await handle.stat();
  // A user may give files to the groups that the user is in.
  const isGroupKept =
    gid === old.gid ||
    (await orNull(
      handle.chown(-1, old.gid).then(() => true),
      () => true,
    )) !== null;
  const group = (old.mode >> 3) & 0o7;
  // Members of the group that is not kept are among the others now.
  const mode = isGroupKept ? old.mode & 0o777 : (old.mode & 0o700) | (old.mode & group);
  // Asked first: some file systems have one mode for all files, and refuse any change.
  if ((now.mode & 0o777) !== mode) {
    await handle.chmod(mode);
  }
}

/** What an action gives; null where it fails by an error that is `expected`. */
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

/** What a path leads to; null for nothing. @throws where it is no regular file. */
async function statFile(path: string): Promise<Stats | null> {
  const found = await orNull(stat(path), (error) => codeOf(error) === "ENOENT");
  if (found !== null && !found.isFile()) {
    throw notRegularFileError(path);
  }
  return found;
}

/** The path that links lead to, whether or not there is a file. */
async function followLinks(path: string): Promise<string> {
  let at = path;
  for (let links = 0; links <= MAX_LINKS; links++) {
    const folder = await realpath(dirname(at));
    const file = join(folder, basename(at));
    const link = await readLink(file);
    if (link === null) {
      return file;
    }
    // Not joined by node:path, which takes ".." for the way back even behind a link.
    at = isAbsolute(link) ? link : `${folder}/${link}`;
  }
  throw Object.assign(new Error(`too many symbolic links: ${path}`), { code: "ELOOP" });
}

/** Where a symbolic link points; null for anything else. */
async function readLink(path: string): Promise<string | null> {
  // UNKNOWN is what Windows says of what is no link.
  return orNull(readlink(path), (error) => ["EINVAL", "ENOENT", "UNKNOWN"].includes(codeOf(error)));
}

/** Makes a renaming last, where the system can. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, "r");
    await handle.sync().finally(() => handle.close());
  } catch {
    // Windows opens no folders; and the file is written either way.
  }
}

function codeOf(error: unknown): string {
  return String((error as { code?: unknown } | null)?.code);
}
