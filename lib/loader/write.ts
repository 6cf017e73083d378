import type { ImageSegment } from "./image.js";

/*
 * Writes the bytes of segments as files of other formats. Zeros that a segment has only in memory
 * are left out: the program clears them. Addresses must be below 2^32, except for raw files.
 */

const DATA_SIZE = 16;
const UF2_PAYLOAD = 256;

/** The bytes of a range of addresses, in parts that do not cross a multiple of `size`. */
function* parts(
  segments: readonly ImageSegment[],
  size: number,
): Generator<{ readonly gpa: number; readonly bytes: Uint8Array }> {
  for (const { gpa, bytes } of segments) {
    const start = Number(gpa);
    for (let done = 0; done < bytes.length;) {
      const length = Math.min(bytes.length - done, size - ((start + done) % size));
      yield { gpa: start + done, bytes: bytes.subarray(done, done + length) };
      done += length;
    }
  }
}

/** The lowest address and the first above the highest of the bytes in the file. */
export function extentOf(segments: readonly ImageSegment[]): { start: bigint; end: bigint } {
  const used = segments.filter(({ bytes }) => bytes.length > 0);
  const end = used.reduce((most, { gpa, bytes }) => {
    const last = gpa + BigInt(bytes.length);
    return last > most ? last : most;
  }, 0n);
  return { start: used[0]?.gpa ?? 0n, end };
}

/** The bytes from the lowest address to the highest; `fill` between segments. */
export function toRaw(segments: readonly ImageSegment[], fill: number): Buffer {
  const { start, end } = extentOf(segments);
  const raw = Buffer.alloc(Number(end - start), fill);
  for (const { gpa, bytes } of segments) {
    if (bytes.length > 0) {
      raw.set(bytes, Number(gpa - start));
    }
  }
  return raw;
}

/** Intel HEX with linear addresses. */
export function toIntelHex(segments: readonly ImageSegment[], entry: bigint | null): string {
  const lines: string[] = [];
  const add = (type: number, offset: number, data: Uint8Array): void => {
    const bytes = Buffer.from([data.length, offset >>> 8, offset & 0xff, type, ...data, 0]);
    bytes[bytes.length - 1] = -sumOf(bytes);
    lines.push(`:${bytes.toString("hex").toUpperCase()}\n`);
  };
  let upper = 0;
  for (const { gpa, bytes } of parts(segments, DATA_SIZE)) {
    const needed = Math.floor(gpa / 0x1_0000);
    if (needed !== upper) {
      upper = needed;
      add(4, 0, Uint8Array.of(upper >>> 8, upper));
    }
    add(0, gpa % 0x1_0000, bytes);
  }
  if (entry !== null) {
    add(5, 0, bigEndian(Number(entry), 4));
  }
  add(1, 0, new Uint8Array(0));
  return lines.join("");
}

/** S-records with the shortest addresses that reach all bytes and the entry point. */
export function toSrec(segments: readonly ImageSegment[], entry: bigint | null): string {
  const { end } = extentOf(segments);
  const last = Math.max(Number(end) - 1, Number(entry ?? 0));
  const addressSize = last < 2 ** 16 ? 2 : last < 2 ** 24 ? 3 : 4;
  const lines: string[] = [];
  const add = (type: number, address: Uint8Array, data: Uint8Array): void => {
    const bytes = Buffer.from([address.length + data.length + 1, ...address, ...data, 0]);
    bytes[bytes.length - 1] = ~sumOf(bytes);
    lines.push(`S${type}${bytes.toString("hex").toUpperCase()}\n`);
  };
  add(0, bigEndian(0, 2), new Uint8Array(0));
  for (const { gpa, bytes } of parts(segments, DATA_SIZE)) {
    add(addressSize - 1, bigEndian(gpa, addressSize), bytes);
  }
  add(11 - addressSize, bigEndian(Number(entry ?? 0), addressSize), new Uint8Array(0));
  return lines.join("");
}

/** UF2 with 256 bytes in a block, of a family or of none. Blocks are filled with zeros. */
export function toUf2(segments: readonly ImageSegment[], family: number | undefined): Buffer {
  // Boot loaders write whole pages of flash, so several segments may share a block.
  const pages = new Map<number, Buffer>();
  for (const { gpa, bytes } of parts(segments, UF2_PAYLOAD)) {
    const start = gpa - (gpa % UF2_PAYLOAD);
    const page = pages.get(start) ?? Buffer.alloc(UF2_PAYLOAD);
    page.set(bytes, gpa - start);
    pages.set(start, page);
  }
  const file = Buffer.alloc(512 * pages.size);
  let number = 0;
  for (const [gpa, page] of pages) {
    const at = 512 * number;
    const flags = family === undefined ? 0 : 0x2000;
    const fields = [0x0a324655, 0x9e5d5157, flags, gpa, page.length, number, pages.size, family];
    fields.forEach((value = 0, i) => file.writeUInt32LE(value, at + 4 * i));
    file.set(page, at + 32);
    file.writeUInt32LE(0x0ab16f30, at + 508);
    number++;
  }
  return file;
}

function sumOf(bytes: Uint8Array): number {
  return bytes.reduce((total, byte) => total + byte, 0);
}

function bigEndian(value: number, size: number): Uint8Array {
  const bytes = Buffer.alloc(size);
  bytes.writeUIntBE(value, 0, size);
  return bytes;
}
