import { bytesOf } from "../base/view.js";
import { outOfMemoryError } from "../base/errors.js";
import { MAX_U64, type Gpa } from "../base/gpa.js";
import { guestMemoryInternals } from "../memory/guest-memory.js";
import { WINDOW_SIZE } from "../memory/windows.js";
import { hex } from "../base/printable.js";
import { BadImageError } from "./bad-image.js";
import { partsOf } from "./blocks.js";
import { claimedSize, parseElf, type ElfImage, type ElfOptions, type ElfSegment } from "./elf.js";
import type { Image } from "./image.js";
import { fillPlaces, findPlaces, type LoadTarget, type Place } from "./place.js";
import {
  checkElfOptions,
  checkImageOptions,
  type ImageOptions,
  readChecked,
  toU64,
} from "./read.js";

/**
 * Loads an executable: an ELF32 or ELF64 file of either byte order, for any machine, linked to
 * fixed addresses (`ET_EXEC`) or position-independent (`ET_DYN`).
 *
 * The file's bytes of each `PT_LOAD` segment are copied to the segment's address, and the rest of
 * the segment is filled with zeros. If the load address of a segment is not its link address, the
 * zeros are left out in two cases: if bytes of another segment are loaded there, or if `target` has
 * memory at all the link addresses of the zeros. There the program's start-up code clears them.
 *
 * Bytes can be loaded into RAM and ROM, not into device registers. Everything is checked before the
 * first byte is written, so a file that is refused changes nothing. The dirty bitmap marks the
 * bytes written; watchpoints do not trigger.
 *
 * @example
 * ```ts
 * import { readFileSync } from "node:fs";
 * import { AddressSpace } from "pound-guest-memory";
 * import { loadElf } from "pound-guest-memory/loader";
 *
 * const space = new AddressSpace();
 * space.addRam(0x8000_0000, 64 * 1024 * 1024);
 * const { entry, segments } = loadElf(space, readFileSync("firmware.elf"), { machine: "riscv" });
 * console.log(entry, segments.length);
 * ```
 * @param target - An `AddressSpace`, or a `GuestMemory` as RAM that starts at address 0.
 * @param file - All bytes of the file. It may be a view of the RAM that it is loaded into.
 * @returns The headers of the file, with the bias added to all addresses.
 * @throws `BadImageError` with the file offset and the reason for a file that cannot be loaded;
 * TypeError, RangeError for a wrong argument or a detached `file`; `GuestMemoryFault`
 * `ERROR_INTERNAL` if the memory is destroyed.
 */
export function loadElf(
  target: LoadTarget,
  file: ArrayBufferView,
  options: ElfOptions = {},
): ElfImage {
  const bytes = bytesOf(file, "file");
  const { elf, bias } = checkElfOptions(options);
  const image = parseElf(bytes, elf, bias);
  fill(planElf(target, bytes, image), bytes);
  return image;
}

/** Finds the places of the segments of an ELF file. */
function planElf(target: LoadTarget, bytes: Uint8Array, image: ElfImage): Planned[] {
  const claims = image.segments.filter((segment) => claimedSize(segment) > 0n);
  return image.segments.map((segment): Planned => {
    const { gpa, fileOffset, fileSize } = segment;
    const size = hasZeros(target, segment, claims) ? segment.size : BigInt(fileSize);
    const places = placesFor(target, gpa, size, () => segment.headerOffset);
    return { places, contents: bytes.subarray(fileOffset, fileOffset + fileSize) };
  });
}

/**
 * Loads an image of any format that {@link readImage} recognises: ELF, Intel HEX, S-records, UF2,
 * uImage, Linux `Image` or raw, compressed by gzip or zstd or not. Zstd needs Node 22.15 or 23.8.
 *
 * ELF files are loaded as {@link loadElf} does. Of all other formats, exactly the bytes of the
 * segments are written; a Linux `Image` also needs memory for its `.bss`. Everything is checked
 * before the first byte is written.
 *
 * @example
 * ```ts
 * import { GuestMemory } from "pound-guest-memory";
 * import { loadImage } from "pound-guest-memory/loader";
 *
 * const memory = GuestMemory.allocate(4096);
 * const { format, entry } = loadImage(memory, Buffer.from("S107010001020304ED\nS9030100FB\n"));
 * console.log(format, entry, memory.readl(0x100)); // srec 256n 67305985
 * ```
 * @returns The contents of the file.
 * @throws as {@link loadElf}. The `BadImageError` has the offset or the line. For bytes that have
 * no place, the offset is that of the program header of an ELF file, and 0 for other formats.
 */
export function loadImage(
  target: LoadTarget,
  file: ArrayBufferView,
  options: ImageOptions = {},
): Image {
  const { image, bytes, blocks } = readChecked(bytesOf(file, "file"), checkImageOptions(options));
  if (image.elf !== null) {
    fill(planElf(target, bytes, image.elf), bytes);
    return image;
  }
  const places = image.segments.map(({ gpa, size }) => placesFor(target, gpa, size, () => 0));
  if (blocks !== null) {
    const stable = isInside(places.flat(), bytes) ? copyOf(bytes) : bytes;
    blocks.forEach((runs, i) => fillPlaces(places[i]!, partsOf(stable, runs)));
    return image;
  }
  const planned = image.segments.map(({ gpa, bytes: contents }): Planned => {
    const length = BigInt(contents.length);
    return { places: placesFor(target, gpa, length, () => 0), contents };
  });
  for (const segment of planned) {
    // Only a file with one segment has it as a view of the file.
    fill([segment], segment.contents);
  }
  return image;
}

/**
 * Loads a raw image: copies all bytes of `file` to RAM or ROM from `gpa` on. If one of them has no
 * place there, nothing is written. An image in one region takes the time of one copy.
 *
 * @example
 * ```ts
 * import { GuestMemory } from "pound-guest-memory";
 * import { loadRaw } from "pound-guest-memory/loader";
 *
 * const memory = GuestMemory.allocate(4096);
 * loadRaw(memory, 0x100, Uint8Array.of(0x13, 0, 0, 0)); // a RISC-V nop
 * console.log(memory.readl(0x100)); // 19
 * ```
 * @throws as {@link loadElf}. The `BadImageError` has the file offset of the first byte that has no
 * place.
 */
export function loadRaw(target: LoadTarget, gpa: Gpa, file: ArrayBufferView): void {
  const bytes = bytesOf(file, "file");
  const start = toU64(gpa, "gpa");
  const places = placesFor(target, start, BigInt(bytes.length), (at) => Number(at - start));
  fill([{ places, contents: bytes }], bytes);
}

/** Bytes of the file and the places that they are written to. */
interface Planned {
  readonly places: readonly Place[];
  /** Written to the start of the places. The rest of the places is filled with zeros. */
  readonly contents: Uint8Array;
}

/** Writes the planned contents, which are parts of `file`. */
function fill(planned: readonly Planned[], file: Uint8Array): void {
  const all = planned.map((plan) => ({ ...plan, places: plan.places.flatMap(cutAtWindows) }));
  const pieces = all.flatMap(({ places }) => places);
  // A single write handles overlap by itself.
  const stable = pieces.length > 1 && isInside(pieces, file) ? copyOf(file) : file;
  for (const { places, contents } of all) {
    const start = contents.byteOffset - file.byteOffset;
    // A write across two windows would allocate a copy of its bytes.
    fillPlaces(places, [stable.subarray(start, start + contents.length)]);
  }
}

/** Whether a file may lie in the memory that it is loaded to, where a write may change its rest. */
function isInside(places: readonly Place[], file: Uint8Array): boolean {
  return [...new Set(places.map(({ memory }) => memory))].some((memory) =>
    guestMemoryInternals(memory).mayAlias(file),
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

/** Whether to write the zeros of a segment at its load address. */
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

/** Whether any of the segments, which are sorted and disjoint, claims a byte of a range. */
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

/**
 * The memory of a range of guest addresses.
 *
 * @param fileOffset - Maps an address that has no memory to the file offset for the error: that of
 *   the field or the byte that names or needs the address.
 * @throws BadImageError if part of the range is neither RAM nor ROM.
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
  throw new BadImageError(
    fileOffset(found.gpa),
    `${hex(gpa)} to ${hex(gpa + size - 1n)} does not fit: ${found.reason} at ${hex(found.gpa)}`,
  );
}
