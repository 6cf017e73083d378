import { rangeError, typeError } from "../base/errors.js";
import { checkObject, toAddress, toByteCount } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";
import { bytesOf } from "../base/view.js";
import { BadImageError } from "./bad-image.js";
import { compressionOf, decompress } from "./compression.js";
import { type ElfImage, type ElfOptions, isElf, parseElf } from "./elf.js";
import { ELF_MACHINES } from "./elf-machines.js";
import {
  type Compression,
  type Contents,
  type Image,
  type ImageFormat,
  segmentsOf,
} from "./image.js";
import { isIntelHex, parseIntelHex } from "./intel-hex.js";
import { linuxMachine, parseLinux } from "./linux.js";
import { isSrec, parseSrec } from "./srec.js";
import { isUf2, parseUf2 } from "./uf2.js";
import { isUimage, parseUimage } from "./uimage.js";

/** Options of `loadImage` and `readImage`. Those of {@link ElfOptions} apply to ELF files. */
export interface ImageOptions extends ElfOptions {
  /** The format of the file; by default, it is recognised by its first bytes. */
  readonly format?: ImageFormat;
  /**
   * Guest physical address: of the first byte of a raw image, which must have it; of the start of
   * RAM for a Linux `Image`, which must have it too, a multiple of 2 MiB; of the first byte of a
   * uImage, instead of the address in its header. Other formats have their addresses.
   */
  readonly gpa?: Gpa;
  /** The UF2 family whose blocks are loaded. It is needed if a file has several. */
  readonly family?: number;
  /** The most bytes to which a file may decompress; 2^30 by default. */
  readonly maxSize?: number;
}

/** The values of {@link ImageOptions.format}. */
export const FORMATS: readonly ImageFormat[] = [
  "elf",
  "hex",
  "srec",
  "uf2",
  "uimage",
  "linux",
  "raw",
];
const MAX_SIZE = 2 ** 30;

/** Options that were read once and checked. */
interface Settings {
  readonly elf: ElfOptions;
  readonly bias: bigint;
  readonly format: ImageFormat | undefined;
  readonly gpa: bigint | undefined;
  /** The address of a file that names none, without {@link ImageOptions.gpa}. */
  readonly fallback?: bigint;
  readonly family: number | undefined;
  readonly maxSize: number;
}

/**
 * Reads an image without loading it: recognises its format, removes compression, and checks its
 * headers and checksums.
 *
 * @example
 * ```ts
 * import { readImage } from "pound-guest-memory/loader";
 *
 * const hex = ":0400000001020304F2\n:00000001FF\n";
 * const { format, segments } = readImage(Buffer.from(hex));
 * console.log(format, segments[0]?.bytes.join()); // hex 1,2,3,4
 * ```
 * @param file - All bytes of the file.
 * @throws `BadImageError` with the offset or the line and the reason; TypeError, RangeError for a
 * wrong argument or a detached `file`.
 */
export function readImage(file: ArrayBufferView, options: ImageOptions = {}): Image {
  const bytes = bytesOf(file, "file");
  return readChecked(bytes, checkImageOptions(options)).image;
}

/**
 * As {@link readImage}, of checked arguments. Also returns the decompressed bytes of the file, and
 * the blocks that hold the bytes of each segment, if the file consists of blocks.
 */
export function readChecked(
  file: Uint8Array,
  settings: Settings,
): Required<Pick<Contents, "blocks">> & { readonly image: Image; readonly bytes: Uint8Array } {
  const { format, maxSize } = settings;
  const compression: Compression[] = [];
  let bytes = file;
  // Two layers, for an archive of a compressed image. A raw image is taken as it is.
  while (compression.length < 2 && format !== "raw") {
    const method = compressionOf(bytes);
    if (method === null) {
      break;
    }
    bytes = decompress(bytes, method, maxSize);
    compression.push(method);
  }
  const found = format ?? formatOf(bytes);
  const contents = parse(bytes, found, settings);
  if (contents.compression) {
    compression.push(contents.compression);
  }
  const { entry, segments, blocks = null } = contents;
  const { name = null, elf = null, families = [], parts = [] } = contents;
  const image = { format: found, compression, name, entry, segments, elf, families, parts };
  return { image, bytes, blocks };
}

function formatOf(file: Uint8Array): ImageFormat {
  return isElf(file)
    ? "elf"
    : isUf2(file)
      ? "uf2"
      : isUimage(file)
        ? "uimage"
        : linuxMachine(file) !== null
          ? "linux"
          : isIntelHex(file)
            ? "hex"
            : isSrec(file)
              ? "srec"
              : "raw";
}

function parse(
  file: Uint8Array,
  format: ImageFormat,
  { elf, bias, gpa, fallback, family, maxSize }: Settings,
): Contents & { readonly compression?: Compression | null } {
  switch (format) {
    case "elf":
      return contentsOfElf(file, parseElf(file, elf, bias));
    case "hex":
      return parseIntelHex(file);
    case "srec":
      return parseSrec(file);
    case "uf2":
      return parseUf2(file, family);
    case "uimage":
      return parseUimage(file, gpa, maxSize);
    case "linux":
      return parseLinux(file, gpa ?? fallback);
    case "raw": {
      const at = gpa ?? fallback;
      if (at === undefined) {
        throw new BadImageError(
          0,
          "no format that is known; the option gpa would load it as a raw image",
        );
      }
      return { entry: null, segments: segmentsOf(at, file) };
    }
  }
}

function contentsOfElf(file: Uint8Array, elf: ElfImage): Contents {
  const segments = elf.segments.map(({ gpa, size, fileOffset, fileSize }) => ({
    gpa,
    size,
    bytes: file.subarray(fileOffset, fileOffset + fileSize),
  }));
  return { entry: elf.entry, segments, elf };
}

/** Checks the options of an ELF file, and returns the bias. */
export function checkElfOptions(options: ElfOptions): { elf: ElfOptions; bias: bigint } {
  const {
    machine,
    addresses,
    bias = 0,
    allowInterpreter,
    symbols,
  } = checkObject(options, "options");
  if (typeof machine === "number") {
    if (!Number.isInteger(machine) || machine < 0 || machine > 0xffff) {
      throw rangeError("machine must be a name, or a number from 0 to 65535");
    }
  } else if (machine !== undefined && !ELF_MACHINES.includes(machine)) {
    throw typeError(`machine must be a number, or one of ${ELF_MACHINES.join(", ")}`);
  }
  if (addresses !== undefined && addresses !== "physical" && addresses !== "virtual") {
    throw typeError("addresses must be physical or virtual");
  }
  checkFlag(allowInterpreter, "allowInterpreter");
  checkFlag(symbols, "symbols");
  const elf = {
    ...(machine === undefined ? {} : { machine }),
    ...(addresses === undefined ? {} : { addresses }),
    ...(allowInterpreter === undefined ? {} : { allowInterpreter }),
    ...(symbols === undefined ? {} : { symbols }),
  };
  return { elf, bias: toU64(bias, "bias") };
}

/** Checks the options of `loadImage`. */
export function checkImageOptions(options: ImageOptions): Settings {
  const elf = checkElfOptions(options);
  const { format, gpa, family, maxSize = MAX_SIZE } = options;
  if (format !== undefined && !FORMATS.includes(format)) {
    throw typeError(`format must be one of ${FORMATS.join(", ")}`);
  }
  if (family !== undefined) {
    if (typeof family !== "number") {
      throw typeError("family must be a number");
    }
    if (!Number.isInteger(family) || family < 0 || family > 0xffff_ffff) {
      throw rangeError("family must be an integer from 0 to 2^32 - 1");
    }
  }
  const most = toByteCount(maxSize, "maxSize");
  if (most === 0 || most > 2 ** 32) {
    throw rangeError("maxSize must be from 1 to 2^32");
  }
  return {
    ...elf,
    format,
    gpa: gpa === undefined ? undefined : toU64(gpa, "gpa"),
    family,
    maxSize: most,
  };
}

/** Checks an address and converts it to a bigint. */
export function toU64(value: Gpa, what: string): bigint {
  toAddress(value, what);
  return BigInt(value);
}

function checkFlag(value: unknown, what: string): void {
  if (value !== undefined && typeof value !== "boolean") {
    throw typeError(`${what} must be a boolean`);
  }
}
