import { isSharedArrayBuffer } from "node:util/types";
import { bytesOf } from "../base/view.js";
import { outOfMemoryError, rangeError, typeError } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { toAddress } from "../base/arguments.js";
import { guestMemoryInternals } from "../memory/guest-memory.js";
import { WINDOW_SIZE } from "../memory/windows.js";
import { BadImageError } from "./bad-image.js";
import {
  claimedSize,
  ELF_MACHINES,
  parseElf,
  type ElfImage,
  type ElfOptions,
  type ElfSegment,
} from "./elf.js";
import { fillPlaces, findPlaces, type LoadTarget, type Place } from "./place.js";

/**
 * Loads an executable: an ELF64 file for RISC-V, AArch64 or x86-64, linked to fixed addresses
 * (`ET_EXEC`) or static and position-independent (`ET_DYN`).
 *
 * The file's bytes of each `PT_LOAD` segment are copied to where they belong, with zeros after them.
 * A segment that is loaded elsewhere than it is linked to gets its zeros there too, unless they are
 * not what the program uses: unless bytes of another segment belong there, or `target` has memory
 * at all of the addresses that the zeros are linked to, where the program's start makes them.
 *
 * RAM and ROM take bytes; device registers do not. All is checked before the first byte is written,
 * so a file that is refused changes nothing. Writes show in the dirty bitmap and are seen by no watch.
 *
 * @param target - an `AddressSpace`, or a `GuestMemory` as RAM from address 0 on.
 * @param file - All bytes of the file. They may be a view of the RAM they are loaded into.
 * @throws `BadImageError` with the offset and the reason for any file that cannot be loaded;
 * TypeError, RangeError for a wrong argument, a detached `file` among them; `GuestMemoryFault`
 * `ERROR_INTERNAL` where the memory is destroyed.
 */
export function loadElf(
  target: LoadTarget,
  file: ArrayBufferView,
  options: ElfOptions = {},
): ElfImage {
  const bytes = bytesIn(file);
  checkOptions(options);
  const image = parseElf(bytes, options, toU64(options.bias ?? 0, "bias"));
  const claims = image.segments.filter((segment) => claimedSize(segment) > 0n);
  const planned = image.segments.map((segment): Planned => {
    const { gpa, fileOffset, fileSize } = segment;
    const size = hasZeros(target, segment, claims) ? segment.size : BigInt(fileSize);
    const places = placesFor(target, gpa, size, () => segment.headerOffset);
    return { places, contents: bytes.subarray(fileOffset, fileOffset + fileSize) };
  });
  fill(planned, bytes);
  return image;
}

/**
 * Loads a raw image: every byte of a file, from `gpa` on. RAM and ROM take bytes, and nothing
 * changes unless all of them have a place.
 *
 * @throws as {@link loadElf}; the `BadImageError` has the offset of the first byte that has
 * no place.
 */
export function loadRaw(target: LoadTarget, gpa: Gpa, file: ArrayBufferView): void {
  const bytes = bytesIn(file);
  const start = toU64(gpa, "gpa");
  const places = placesFor(target, start, BigInt(bytes.length), (at) => Number(at - start));
  fill([{ places, contents: bytes }], bytes);
}

/** What is to be written where. */
interface Planned {
  readonly places: readonly Place[];
  /** Goes to the start of the places; zeros go after it. */
  readonly contents: Uint8Array;
}

/** Writes it all. `file` is what the contents are parts of. */
function fill(planned: readonly Planned[], file: Uint8Array): void {
  const stable = isOverwritten(planned, file) ? copyOf(file) : file;
  for (const { places, contents } of planned) {
    const start = contents.byteOffset - file.byteOffset;
    // A write across windows would copy what it writes.
    fillPlaces(places.flatMap(cutAtWindows), stable.subarray(start, start + contents.length));
  }
}

/** Whether a write may change bytes of the file that a later one needs. */
function isOverwritten(planned: readonly Planned[], file: Uint8Array): boolean {
  const places = planned.flatMap(({ places }) => places.flatMap(cutAtWindows));
  const isShared = isSharedArrayBuffer(file.buffer);
  return (
    // One write copies as if through a copy.
    places.length > 1 &&
    [...new Set(places.map(({ memory }) => memory))].some((memory) =>
      guestMemoryInternals(memory)
        .windows()
        // Two SharedArrayBuffers can be the same memory.
        .some(
          ({ u8 }) => u8.buffer === file.buffer || (isShared && isSharedArrayBuffer(u8.buffer)),
        ),
    )
  );
}

function copyOf(bytes: Uint8Array): Uint8Array {
  try {
    return new Uint8Array(bytes);
  } catch {
    throw outOfMemoryError("the runtime has no room for a copy of a file that lies in its target");
  }
}

function cutAtWindows(place: Place): Place[] {
  const pieces: Place[] = [];
  const end = place.offset + place.length;
  for (let offset = place.offset; offset < end;) {
    const edge = (Math.floor(offset / WINDOW_SIZE) + 1) * WINDOW_SIZE;
    pieces.push({ ...place, offset, length: Math.min(edge, end) - offset });
    offset = edge;
  }
  return pieces;
}

/** Whether the zeros of a segment are to be made where it is loaded. */
function hasZeros(target: LoadTarget, segment: ElfSegment, claims: readonly ElfSegment[]): boolean {
  const { gpa, vaddr, size, fileSize } = segment;
  const zeros = size - BigInt(fileSize);
  if (zeros === 0n || gpa === vaddr) {
    return true;
  }
  const start = gpa + BigInt(fileSize);
  const linked = vaddr + BigInt(fileSize);
  return (
    !isClaimed(claims, start, start + zeros) &&
    (linked + zeros > MAX_U64 + 1n || !Array.isArray(findPlaces(target, linked, zeros)))
  );
}

/** Whether segments, which are sorted and disjoint, claim any byte of a range. */
function isClaimed(claims: readonly ElfSegment[], start: bigint, end: bigint): boolean {
  let [low, high] = [0, claims.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    const claim = claims[middle]!;
    if (claim.gpa + claimedSize(claim) <= start) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  const first = claims[low];
  return first !== undefined && first.gpa < end;
}

/** The bytes of a file. @throws TypeError; RangeError where their buffer is detached. */
function bytesIn(file: ArrayBufferView): Uint8Array {
  const bytes = bytesOf(file, "file");
  try {
    return new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  } catch {
    throw rangeError("file must not be detached");
  }
}

function toU64(value: Gpa, what: string): bigint {
  toAddress(value, what);
  return BigInt(value);
}

function checkOptions(options: ElfOptions): void {
  if (typeof options !== "object" || options === null) {
    throw typeError("options must be an object");
  }
  const { machine, addresses } = options;
  if (machine !== undefined && !ELF_MACHINES.includes(machine)) {
    throw typeError(`machine must be one of ${ELF_MACHINES.join(", ")}`);
  }
  if (addresses !== undefined && addresses !== "physical" && addresses !== "virtual") {
    throw typeError("addresses must be physical or virtual");
  }
}

/**
 * The memory a range is to be written to.
 *
 * @param fileOffset - Where the file says, or what of it goes, at the address without a place.
 */
function placesFor(
  target: LoadTarget,
  gpa: bigint,
  size: bigint,
  fileOffset: (gpa: bigint) => number,
): Place[] {
  const end = gpa + size > MAX_U64 + 1n ? MAX_U64 + 1n : gpa + size;
  let found = findPlaces(target, gpa, end - gpa);
  if (Array.isArray(found) && end !== gpa + size) {
    found = { gpa: end, reason: "there are no addresses" };
  }
  if (Array.isArray(found)) {
    return found;
  }
  const range = `0x${gpa.toString(16)} to 0x${(gpa + size - 1n).toString(16)}`;
  throw new BadImageError(
    fileOffset(found.gpa),
    `${range} does not fit: ${found.reason} at 0x${found.gpa.toString(16)}`,
  );
}
