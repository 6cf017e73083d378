import { hex } from "../base/printable.js";
import { BadImageError } from "./bad-image.js";
import type { Contents } from "./image.js";

/*
 * Linux's `Image` for arm64 and riscv (Documentation/arch/arm64/booting.rst,
 * Documentation/arch/riscv/boot-image-header.rst).
 */

const LINUX_HEADER = 64;
/** Where the base of a Linux `Image` may be: at multiples of 2 MiB. */
const LINUX_ALIGNMENT = 0x20_0000n;

/** The machine of a Linux `Image`; null if the file is none. */
export function linuxMachine(file: Uint8Array): "arm64" | "riscv" | null {
  if (file.length < LINUX_HEADER) {
    return null;
  }
  const magic = Buffer.from(file.buffer, file.byteOffset + 48, 16).toString("latin1");
  return magic.startsWith("ARM\x64", 8) ? "arm64" : magic.startsWith("RSC\x05", 8) ? "riscv" : null;
}

/**
 * Reads the header of a Linux `Image`.
 *
 * @param base - The start of RAM, to which the header is relative.
 */
export function parseLinux(file: Uint8Array, base: bigint | undefined): Contents {
  const machine = linuxMachine(file);
  if (machine === null) {
    throw new BadImageError(0, "not a Linux Image of arm64 or riscv");
  }
  if (base === undefined) {
    throw new BadImageError(8, "a Linux Image names no address: the option gpa must");
  }
  if (base % LINUX_ALIGNMENT !== 0n) {
    const below = base - (base % LINUX_ALIGNMENT);
    throw new BadImageError(
      8,
      `the gpa ${hex(base)} is no multiple of ${hex(LINUX_ALIGNMENT)}: ` +
        `the nearest are ${hex(below)} and ${hex(below + LINUX_ALIGNMENT)}`,
    );
  }
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const imageSize = view.getBigUint64(16, true);
  // Kernels for arm64 before 3.17 have no size, and an offset in the byte order of the kernel.
  const isOld = machine === "arm64" && imageSize === 0n;
  const gpa = base + (isOld ? 0x8_0000n : view.getBigUint64(8, true));
  const length = BigInt(file.length);
  // The kernel clears the rest, its .bss, itself.
  const size = imageSize > length ? imageSize : length;
  return { entry: gpa, segments: [{ gpa, size, bytes: file }] };
}
