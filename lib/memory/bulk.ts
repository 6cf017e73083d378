import { allocateUnsafe, type Bytes, bytesIn, compareBytes, indexOfBytes } from "../base/bytes.js";
import { isSharedArrayBuffer } from "../base/type-checks.js";
import { rangeError } from "../base/errors.js";
import { type Gpa } from "../base/gpa.js";
import { toAddress } from "../base/arguments.js";
import type { RangeList } from "../base/ranges.js";
import { WINDOW_SIZE, type Windows } from "./windows.js";

/*
 * Bulk access across windows. The callers have checked that every range lies in RAM.
 */

/** The maximum length of a Buffer in bytes. */
const MAX_BUFFER = 2 ** 32;

/**
 * The maximum length of one search in bytes: `Buffer.indexOf` truncates its result to a signed
 * 32-bit integer.
 */
const MAX_SEARCH = 2 ** 31;

const setBytes = Function.prototype.call.bind(Uint8Array.prototype.set) as (
  target: Uint8Array,
  source: Uint8Array,
) => void;

/** An uninitialized Buffer of `length` bytes. The caller must fill all of it. */
export function newBuffer(length: number): Bytes {
  if (length > MAX_BUFFER) {
    throw rangeError("length must be at most 2^32: no Buffer holds more");
  }
  return allocateUnsafe(length);
}

/**
 * Bytes from one address to another.
 *
 * @throws TypeError, RangeError for an invalid address; RangeError if `to` is below `from`.
 */
export function rangeLength(from: Gpa, to: Gpa): number {
  const start = toAddress(from, "from");
  const end = toAddress(to, "to");
  if (end < start) {
    throw rangeError("to must not be below from");
  }
  // Both can be Infinity, whose difference is NaN. The check of the start then refuses the range.
  return end === start ? 0 : end - start;
}

/** The bytes from `start` to the end of its window, at most `length`. */
function chunkAt(windows: Windows, start: number, length: number): Uint8Array {
  const offset = start % WINDOW_SIZE;
  // Empty for an empty range at the end of RAM.
  const { u8 } = windows.at(start);
  return u8.subarray(offset, Math.min(u8.length, offset + length));
}

/** Visits the part of a range in each window. `position` is relative to the start of the range. */
function forEachChunk(
  windows: Windows,
  start: number,
  length: number,
  visit: (chunk: Uint8Array, position: number) => void,
): void {
  for (let position = 0; position < length;) {
    const chunk = chunkAt(windows, start + position, length - position);
    visit(chunk, position);
    position += chunk.length;
  }
}

/** Copies `length` bytes at `start` to `target`, which has that length. The two may overlap. */
export function copyOut(
  bytes: Uint8Array,
  start: number,
  length: number,
  target: Uint8Array,
): void {
  // Half the cost of subarray(), which looks up the species constructor.
  setBytes(target, new Uint8Array(bytes.buffer, bytes.byteOffset + start, length));
}

/** Copies bytes at `start` into all of `target`, which may be a view of this RAM. */
export function readInto(windows: Windows, start: number, target: Uint8Array): void {
  // The copy of one window could overwrite source bytes of the next if the target is a view of this
  // RAM.
  const aliased = crosses(start, target.length) && mayAlias(windows, target);
  const stable = aliased ? new Uint8Array(target.length) : target;
  forEachChunk(windows, start, stable.length, (chunk, position) => stable.set(chunk, position));
  if (aliased) {
    target.set(stable);
  }
}

/** Copies `source`, which may be a view of this RAM, to `start`. */
export function write(windows: Windows, start: number, source: Uint8Array): void {
  // The copy of one window could overwrite source bytes of the next if the source is a view of this
  // RAM.
  const stable = crosses(start, source.length) ? new Uint8Array(source) : source;
  forEachChunk(windows, start, stable.length, (chunk, position) =>
    chunk.set(stable.subarray(position, position + chunk.length)),
  );
}

/** Copies the bytes of ranges, one after another, into all of `target`. */
export function readVector(
  windows: Windows,
  { gpas, lengths }: RangeList,
  target: Uint8Array,
): void {
  // The copy of one range could overwrite source bytes of the next.
  const stable = mayAlias(windows, target) ? new Uint8Array(target.length) : target;
  let done = 0;
  for (let i = 0; i < gpas.length; i++) {
    let at = Number(gpas[i]);
    for (let left = lengths[i]!; left > 0;) {
      const { u8 } = windows.at(at);
      const offset = at % WINDOW_SIZE;
      const count = Math.min(left, u8.length - offset);
      // Half the cost of subarray(), which looks up the species constructor.
      stable.set(new Uint8Array(u8.buffer, u8.byteOffset + offset, count), done);
      at += count;
      left -= count;
      done += count;
    }
  }
  if (stable !== target) {
    target.set(stable);
  }
}

/** Copies all of `source` to ranges, one after another. */
export function writeVector(
  windows: Windows,
  { gpas, lengths }: RangeList,
  source: Uint8Array,
): void {
  // The copy to one range could overwrite source bytes of the next.
  const stable = mayAlias(windows, source) ? new Uint8Array(source) : source;
  const { buffer, byteOffset } = stable;
  let done = 0;
  for (let i = 0; i < gpas.length; i++) {
    let at = Number(gpas[i]);
    for (let left = lengths[i]!; left > 0;) {
      const { u8 } = windows.at(at);
      const offset = at % WINDOW_SIZE;
      const count = Math.min(left, u8.length - offset);
      u8.set(new Uint8Array(buffer, byteOffset + done, count), offset);
      at += count;
      left -= count;
      done += count;
    }
  }
}

/**
 * Whether a view may have bytes of this RAM. Two SharedArrayBuffers may have the same bytes without
 * being the same object.
 */
export function mayAlias(windows: Windows, bytes: Uint8Array): boolean {
  const { buffer } = bytes;
  return windows
    .made()
    .some(
      ({ u8 }) =>
        u8.buffer === buffer || (isSharedArrayBuffer(buffer) && isSharedArrayBuffer(u8.buffer)),
    );
}

/** Whether a range spans more than one window. */
function crosses(start: number, length: number): boolean {
  const last = start + Math.max(length, 1) - 1;
  return Math.floor(start / WINDOW_SIZE) !== Math.floor(last / WINDOW_SIZE);
}

export function fill(windows: Windows, start: number, length: number, value: number): void {
  forEachChunk(windows, start, length, (chunk) => chunk.fill(value));
}

/** Copies `length` bytes from `source` to `target`; the ranges may overlap. */
export function copy(windows: Windows, target: number, source: number, length: number): void {
  if (target <= source) {
    copyForwards(windows, target, source, length);
  } else {
    copyBackwards(windows, target, source, length);
  }
}

function copyForwards(windows: Windows, target: number, source: number, length: number): void {
  for (let done = 0; done < length;) {
    const to = chunkAt(windows, target + done, length - done);
    const from = chunkAt(windows, source + done, to.length);
    to.set(from);
    done += from.length;
  }
}

function copyBackwards(windows: Windows, target: number, source: number, length: number): void {
  for (let left = length; left > 0;) {
    // Bytes from the start of each window up to the last byte that is left to copy.
    const to = ((target + left - 1) % WINDOW_SIZE) + 1;
    const from = ((source + left - 1) % WINDOW_SIZE) + 1;
    const count = Math.min(left, to, from);
    left -= count;
    chunkAt(windows, target + left, count).set(chunkAt(windows, source + left, count));
  }
}

/** Compares bytes at `start` with `other`, as `Buffer.compare`. */
export function compare(windows: Windows, start: number, other: Uint8Array): -1 | 0 | 1 {
  for (let position = 0; position < other.length;) {
    const chunk = chunkAt(windows, start + position, other.length - position);
    const order = compareBytes(chunk, other.subarray(position, position + chunk.length));
    if (order !== 0) {
      return order;
    }
    position += chunk.length;
  }
  return 0;
}

/** The address of the first `needle` within a range, or null. An empty needle is at `start`. */
export function indexOf(
  windows: Windows,
  start: number,
  length: number,
  needle: Uint8Array,
): number | null {
  if (needle.length === 0) {
    return start;
  }
  const end = start + length;
  for (let at = start; at < end;) {
    const chunk = chunkAt(windows, at, Math.min(end - at, MAX_SEARCH));
    const found = indexOfBytes(chunk, needle);
    if (found >= 0) {
      return at + found;
    }
    const edge = at + chunk.length;
    const across = indexAcross(windows, at, edge, end, needle);
    if (across !== null) {
      return across;
    }
    at = edge;
  }
  return null;
}

/**
 * The first occurrence at or after `start` that begins before the chunk's `edge` and ends after it.
 */
function indexAcross(
  windows: Windows,
  start: number,
  edge: number,
  end: number,
  needle: Uint8Array,
): number | null {
  const first = Math.max(start, edge - needle.length + 1);
  const last = Math.min(end, edge + needle.length - 1);
  if (last - first < needle.length) {
    return null;
  }
  const seam = allocateUnsafe(last - first);
  readInto(windows, first, seam);
  const found = indexOfBytes(seam, needle);
  return found < 0 ? null : first + found;
}

/** @throws RangeError if a listener has detached the source of a write, or cut it off. */
export function checkStillThere(source: Uint8Array, length: number): void {
  if (source.length !== length) {
    throw rangeError("source was detached, or cut off, by a listener");
  }
}

/** A view of a range, which must lie in one window. @throws RangeError if it does not. */
export function slice(windows: Windows, start: number, length: number): Bytes {
  const chunk = chunkAt(windows, start, length);
  if (chunk.length !== length) {
    throw rangeError("a slice must not cross a multiple of 4 GiB");
  }
  return asBuffer(chunk);
}

/** The same bytes as a Buffer. It is empty if the ArrayBuffer is detached. */
export function asBuffer(bytes: Uint8Array): Bytes {
  if (bytes.length === 0) {
    return allocateUnsafe(0);
  }
  return bytesIn(bytes.buffer, bytes.byteOffset, bytes.length);
}
