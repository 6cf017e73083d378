import { checkObject, toByteCount } from "../base/arguments.js";
import { rangeError, typeError, withCode } from "../base/errors.js";
import type { Gpa } from "../base/gpa.js";
import {
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readlinkSync,
  unlinkSync,
} from "node:fs";
import { resolve } from "node:path";
import { type Handle, hasAddon, native, noAddon } from "../native/addon.js";

/** Where `GuestMemory.allocateShared` puts RAM that other processes can map. */
export interface SharedRamOptions {
  /**
   * Makes memory that no process can make shorter: a memfd on Linux, a shared memory object on
   * macOS, a section on Windows. From 1 to 30 letters, digits, `.`, `-` and `_`.
   *
   * Linux only displays the name, in `/proc/PID/maps`. On other systems, it is the name by which
   * the processes of the user open the memory, so it must not be in use.
   */
  readonly name?: string | undefined;
  /**
   * Makes a file, which must not exist, with the rights 0600. It stays until somebody removes it.
   */
  readonly file?: string | undefined;
}

/**
 * How another process opens shared RAM: `GuestMemory.openShared`. Plain data that JSON can
 * represent.
 */
export interface ProcessShared {
  /** A path that every process of the user can open. */
  readonly file?: string;
  /** The name of the memory, on systems where memory has names. */
  readonly name?: string;
  /** Bytes of RAM. */
  readonly size: number;
}

/** Memory that another process shares. One of `file`, `name` and `descriptor` is set. */
export interface ProcessSharedSource {
  /** The path of a file, or of a descriptor in `/proc`. */
  readonly file?: string | undefined;
  /** The name that the other process chose. Not on Linux. */
  readonly name?: string | undefined;
  /**
   * A file descriptor of this process, such as one that it inherited, open for reads and writes.
   * The memory uses a duplicate. Not on Windows, except for files that Node has opened.
   */
  readonly descriptor?: number | undefined;
  /**
   * Bytes of RAM, at least 1. By default all bytes of the file, or all pages of memory with a name.
   */
  readonly size?: Gpa | undefined;
}

/** Shared memory that is mapped: a handle to an arena over it, and how others open it. */
export interface Mapped {
  readonly arena: Handle;
  /** Null if no path or name leads to the memory. */
  readonly shared: ProcessShared | null;
  /** Removes the name that this process has made. */
  readonly unlink: () => void;
}

const NAME = /^[\w.-]{1,30}$/;
const KEEP = (): void => undefined;

/**
 * Makes RAM that other processes can map.
 *
 * @param options - With a name or a file.
 */
export function createShared(size: Gpa, options: SharedRamOptions): Mapped {
  const { name, file } = options;
  const bytes = toByteCount(size, "size");
  if (name !== undefined && file !== undefined) {
    throw typeError("shared RAM has a name or a file, not both");
  }
  if (bytes === 0) {
    throw rangeError("RAM that processes share must have at least 1 byte");
  }
  checkAvailable();
  return file === undefined
    ? createNamed(checkName(name), bytes)
    : createFile(checkPath(file), bytes);
}

/** Maps RAM that another process shares. */
export function openShared(source: ProcessSharedSource): Mapped {
  const { name, file, descriptor, size } = checkObject(source, "source");
  const ways = [name, file, descriptor].filter((way) => way !== undefined);
  if (ways.length !== 1) {
    throw typeError("source must have one of the properties file, name and descriptor");
  }
  const bytes = size === undefined ? 0 : toByteCount(size, "size");
  if (size !== undefined && bytes === 0) {
    throw rangeError("RAM that processes share must have at least 1 byte");
  }
  checkAvailable();
  if (name !== undefined) {
    const arena = native.sharedOpen(checkName(name), bytes);
    const shared = { name, size: native.arenaCapacity(arena) };
    return { arena, shared: Object.freeze(shared), unlink: KEEP };
  }
  if (descriptor !== undefined) {
    if (typeof descriptor !== "number") {
      throw typeError("descriptor must be a number");
    }
    const arena = native.sharedDescriptor(descriptor, bytes);
    return { arena, shared: pathOf(arena), unlink: KEEP };
  }
  const path = checkPath(file);
  const opened = openSync(path, "r+");
  try {
    return mapFile(path, opened, bytes);
  } finally {
    closeSync(opened);
  }
}

function createNamed(name: string, bytes: number): Mapped {
  const arena = native.sharedCreate(name, bytes);
  const shared =
    process.platform === "linux" ? pathOf(arena) : Object.freeze({ name, size: bytes });
  return { arena, shared, unlink: () => native.sharedUnlink(name) };
}

function createFile(path: string, bytes: number): Mapped {
  const { O_RDWR, O_CREAT, O_EXCL } = constants;
  const descriptor = openSync(path, O_RDWR | O_CREAT | O_EXCL, 0o600);
  try {
    ftruncateSync(descriptor, bytes);
    return mapFile(path, descriptor, bytes);
  } catch (error) {
    unlinkSync(path);
    throw error;
  } finally {
    closeSync(descriptor);
  }
}

function mapFile(path: string, descriptor: number, bytes: number): Mapped {
  const status = fstatSync(descriptor);
  if (!status.isFile()) {
    throw withCode(new Error(`${JSON.stringify(path)} is no regular file`), "ERR_NOT_REGULAR_FILE");
  }
  const arena = native.sharedDescriptor(descriptor, bytes);
  // A path to a descriptor of another process ends with that process.
  const shared = path.startsWith("/proc/")
    ? pathOf(arena)
    : Object.freeze({ file: path, size: native.arenaCapacity(arena) });
  return { arena, shared, unlink: KEEP };
}

/**
 * The path of the descriptor of an arena in `/proc`, which leads to the memory as long as the
 * descriptor is open. Null on systems without.
 */
function pathOf(arena: Handle): ProcessShared | null {
  const file = `/proc/${process.pid}/fd/${native.arenaDescriptor(arena)}`;
  try {
    readlinkSync(file);
  } catch {
    return null;
  }
  return Object.freeze({ file, size: native.arenaCapacity(arena) });
}

function checkAvailable(): void {
  if (!hasAddon) {
    noAddon();
  }
  if (!native.externalBuffers) {
    throw withCode(
      new Error("this runtime forbids ArrayBuffers over memory that processes share"),
      "ERR_SHARING_UNAVAILABLE",
    );
  }
}

function checkName(name: unknown): string {
  if (typeof name !== "string") {
    throw typeError("name must be a string");
  }
  if (!NAME.test(name)) {
    throw rangeError("name must have 1 to 30 letters, digits, dots, hyphens or underscores");
  }
  return name;
}

/** An absolute path, so that it means the same in a process with another working directory. */
function checkPath(file: unknown): string {
  if (typeof file !== "string") {
    throw typeError("file must be a string");
  }
  if (file === "" || file.includes("\0")) {
    throw rangeError("file must be a path");
  }
  return resolve(file);
}
