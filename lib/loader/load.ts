import { bytesOf } from "../bulk.js";
import { typeError } from "../errors.js";
import { toAddress, type Gpa } from "../gpa.js";
import { BadImageError } from "./bad-image.js";
import { ELF_MACHINES, parseElf, type ElfImage, type ElfOptions } from "./elf.js";
import { fillPlaces, findPlaces, type LoadTarget, type Place } from "./place.js";

/**
 * Loads an executable: an ELF64 file for RISC-V, AArch64 or x86-64, linked to fixed addresses
 * (`ET_EXEC`) or static and position-independent (`ET_DYN`).
 *
 * Each `PT_LOAD` segment is copied to where it belongs, with zeros after its file's bytes. RAM and
 * ROM take bytes; device registers do not. All is checked before the first byte is written, so a
 * file that is refused changes nothing. Writes show in the dirty bitmap and are seen by no watch.
 *
 * @param target - an {@link AddressSpace}, or a {@link GuestMemory} as RAM from address 0 on.
 * @param file - All bytes of the file. They may be a view of the RAM they are loaded into.
 * @throws {@link BadImageError} with the offset and the reason for any file that cannot be loaded;
 * TypeError, RangeError for a wrong argument; {@link GuestMemoryFault} `ERROR_INTERNAL` where the
 * memory is destroyed.
 */
export function loadElf(
  target: LoadTarget,
  file: ArrayBufferView,
  options: ElfOptions = {},
): ElfImage {
  const bytes = stableBytes(file);
  checkOptions(options);
  const image = parseElf(bytes, options, toU64(options.bias ?? 0, "bias"));
  const planned = image.segments.map((segment) => {
    const places = placesFor(target, segment.gpa, segment.size, () => segment.headerOffset);
    const { fileOffset, fileSize } = segment;
    return { places, contents: bytes.subarray(fileOffset, fileOffset + fileSize) };
  });
  for (const { places, contents } of planned) {
    fillPlaces(places, contents);
  }
  return image;
}

/**
 * Loads a raw image: every byte of a file, from `gpa` on. RAM and ROM take bytes, and nothing
 * changes unless all of them have a place.
 *
 * @throws as {@link loadElf}; the {@link BadImageError} has the offset of the first byte that has
 * no place.
 */
export function loadRaw(target: LoadTarget, gpa: Gpa, file: ArrayBufferView): void {
  const bytes = stableBytes(file);
  const start = toU64(gpa, "gpa");
  const places = placesFor(target, start, BigInt(bytes.length), (at) => Number(at - start));
  fillPlaces(places, bytes);
}

/** A copy: the bytes may be shared with another thread, or be the RAM that is written to. */
function stableBytes(file: ArrayBufferView): Uint8Array {
  return new Uint8Array(bytesOf(file, "file"));
}

function toU64(value: Gpa, what: string): bigint {
  toAddress(value, what);
  return BigInt(value);
}

function checkOptions({ machine, addresses }: ElfOptions): void {
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
  const found = findPlaces(target, gpa, size);
  if (Array.isArray(found)) {
    return found;
  }
  const range = `0x${gpa.toString(16)} to 0x${(gpa + size - 1n).toString(16)}`;
  throw new BadImageError(
    fileOffset(found.gpa),
    `${range} does not fit: ${found.reason} at 0x${found.gpa.toString(16)}`,
  );
}
