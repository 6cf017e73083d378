import type { BlockRun } from "./blocks.js";
import type { ElfImage } from "./elf.js";

/** The format of a file, without its compression. `"linux"` is an `Image` of arm64 or riscv. */
export type ImageFormat = "elf" | "hex" | "srec" | "uf2" | "uimage" | "linux" | "raw";

/** A compression that wraps a file or the data of a uImage. */
export type Compression = "gzip" | "zstd";

/** Bytes of an image and their address. */
export interface ImageSegment {
  /** Guest physical address of the first byte. */
  readonly gpa: bigint;
  /** Bytes in memory, of which the file has the first; the others are for the program to use. */
  readonly size: bigint;
  /** The bytes that the file has. They may be a view of the file. */
  readonly bytes: Uint8Array;
}

/** The contents of a file. */
export interface Image {
  readonly format: ImageFormat;
  /** The compressions that were removed, the outermost first. */
  readonly compression: readonly Compression[];
  /** The text of an S0 record, or the name in a uImage header; null if there is none. */
  readonly name: string | null;
  /** Guest physical address of the entry point; null if the file names none. */
  readonly entry: bigint | null;
  /** Sorted by address. No two have a byte in common. */
  readonly segments: readonly ImageSegment[];
  /** The contents of the ELF headers; null for other formats. */
  readonly elf: ElfImage | null;
  /**
   * The UF2 families of the file, in order; empty for other formats. Null is a block without one.
   */
  readonly families: readonly (number | null)[];
  /**
   * The files of a uImage that has several, as they lie in it; empty for all others. The first is
   * the kernel, whose bytes are the segment. The others, such as a RAM disk, name no address.
   */
  readonly parts: readonly Uint8Array[];
}

/** An image before the format and the compression are known. */
export interface Contents
  extends
    Pick<Image, "entry" | "segments">,
    Partial<Pick<Image, "name" | "elf" | "families" | "parts">> {
  /** The blocks of the file that hold the bytes of each segment, if it consists of blocks. */
  readonly blocks?: readonly (readonly BlockRun[])[] | null;
}

/** The segment of bytes that lie together; none if there are no bytes. */
export function segmentsOf(gpa: bigint, bytes: Uint8Array): ImageSegment[] {
  return bytes.length === 0 ? [] : [{ gpa, size: BigInt(bytes.length), bytes }];
}
