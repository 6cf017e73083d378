import { BadImageError } from "./bad-image.js";
import type { Contents } from "./image.js";
import { Pieces } from "./pieces.js";

const BLOCK = 512;
const MAGIC_0 = 0x0a324655;
const MAGIC_1 = 0x9e5d5157;
const MAGIC_END = 0x0ab16f30;
const MAX_PAYLOAD = 476;
/** Bytes of the checksum at the end of the payload, which describes flash, not the file. */
const MD5_SIZE = 24;

const NOT_MAIN_FLASH = 1;
const FILE_CONTAINER = 0x1000;
const HAS_FAMILY = 0x2000;
const HAS_MD5 = 0x4000;
const HAS_TAGS = 0x8000;
/** The tag of blocks that the RP2350's boot ROM and tools ignore. */
const TAG_IGNORE = 0x9957e3;

/** Whether a file starts with a UF2 block. */
export function isUf2(file: Uint8Array): boolean {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  return (
    file.length >= 8 && view.getUint32(0, true) === MAGIC_0 && view.getUint32(4, true) === MAGIC_1
  );
}

/** The blocks of one numbering: those of a family that state the same count. */
interface Series {
  readonly family: number | null;
  readonly count: number;
  readonly seen: Set<number>;
}

/**
 * Reads a UF2 file.
 *
 * @param family - The family whose blocks to use; undefined for that of all blocks.
 * @throws BadImageError with the offset of a block or of its field.
 */
export function parseUf2(file: Uint8Array, family: number | undefined): Contents {
  if (file.length % BLOCK !== 0) {
    throw new BadImageError(file.length, `a size that is no multiple of ${BLOCK} bytes`);
  }
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const families = familiesOf(view);
  if (family === undefined && families.length > 1) {
    throw new BadImageError(
      28,
      `blocks of several families, one of which must be chosen: ${families.map(hex).join(", ")}`,
    );
  }
  if (family !== undefined && !families.includes(family)) {
    throw new BadImageError(28, `no blocks of family ${hex(family)}`);
  }
  const pieces = new Pieces(file.length);
  const series = new Map<string, Series>();
  let last: Series | undefined;
  const starts: number[] = [];
  const blocks: number[] = [];
  for (let at = 0; at < file.length; at += BLOCK) {
    if (!isUsed(view, at) || (family !== undefined && familyOf(view, at) !== family)) {
      continue;
    }
    const size = payloadSize(view, at);
    const gpa = view.getUint32(at + 12, true);
    if (gpa + size > 0x1_0000_0000) {
      throw new BadImageError(at + 12, "data past the last address");
    }
    last = addToSeries(series, last, view, at);
    starts.push(pieces.length);
    blocks.push(at);
    pieces.startAt(gpa, size);
    pieces.bytes.set(file.subarray(at + 32, at + 32 + size), pieces.length);
    pieces.length += size;
  }
  checkSeries(series, file.length);
  const segments = pieces.segments((index) => {
    const block = blocks[starts.findLastIndex((start) => start <= index)]!;
    throw new BadImageError(block + 12, "other bytes for addresses that have some");
  });
  return { entry: null, segments, families };
}

/** The families of all blocks with data, in the order of the file. Checks the magic numbers. */
function familiesOf(view: DataView): (number | null)[] {
  const found = new Set<number | null>();
  for (let at = 0; at < view.byteLength; at += BLOCK) {
    checkMagic(view, at, MAGIC_0);
    checkMagic(view, at + 4, MAGIC_1);
    checkMagic(view, at + 508, MAGIC_END);
    if (isUsed(view, at)) {
      found.add(familyOf(view, at));
    }
  }
  return [...found];
}

function checkMagic(view: DataView, at: number, value: number): void {
  if (view.getUint32(at, true) !== value) {
    throw new BadImageError(at, "not the magic number of a block");
  }
}

/** Whether the data of a block goes to the memory of the chip. */
function isUsed(view: DataView, at: number): boolean {
  const flags = view.getUint32(at + 8, true);
  return (flags & (NOT_MAIN_FLASH | FILE_CONTAINER)) === 0 && !hasTag(view, at, TAG_IGNORE);
}

function familyOf(view: DataView, at: number): number | null {
  return (view.getUint32(at + 8, true) & HAS_FAMILY) === 0 ? null : view.getUint32(at + 28, true);
}

function payloadSize(view: DataView, at: number): number {
  const size = view.getUint32(at + 16, true);
  const most = MAX_PAYLOAD - ((view.getUint32(at + 8, true) & HAS_MD5) === 0 ? 0 : MD5_SIZE);
  if (size > most) {
    throw new BadImageError(at + 16, `a block with ${size} bytes of data, more than ${most}`);
  }
  return size;
}

/** Whether a block has an extension tag. The tags follow the data, each at a multiple of 4. */
function hasTag(view: DataView, at: number, wanted: number): boolean {
  if ((view.getUint32(at + 8, true) & HAS_TAGS) === 0) {
    return false;
  }
  const end = at + 32 + MAX_PAYLOAD;
  for (let tag = at + 32 + Math.ceil(payloadSize(view, at) / 4) * 4; tag + 4 <= end;) {
    const word = view.getUint32(tag, true);
    const size = word & 0xff;
    if (size < 4) {
      return false;
    }
    if (word >>> 8 === wanted) {
      return true;
    }
    tag += Math.ceil(size / 4) * 4;
  }
  return false;
}

/**
 * Adds a block to its series, and returns the series.
 *
 * @param last - The series of the block before, which is usually the same.
 */
function addToSeries(
  series: Map<string, Series>,
  last: Series | undefined,
  view: DataView,
  at: number,
): Series {
  const number = view.getUint32(at + 20, true);
  const count = view.getUint32(at + 24, true);
  const family = familyOf(view, at);
  let blocks = last;
  if (blocks?.family !== family || blocks.count !== count) {
    const key = `${family} ${count}`;
    blocks = series.get(key) ?? { family, count, seen: new Set() };
    series.set(key, blocks);
  }
  if (number >= count) {
    throw new BadImageError(at + 20, `block ${number} of ${count}`);
  }
  if (blocks.seen.has(number)) {
    throw new BadImageError(at + 20, `block ${number} of ${count} comes twice`);
  }
  blocks.seen.add(number);
  return blocks;
}

/** Checks that no block is missing. Some tools number the blocks of all families together. */
function checkSeries(series: ReadonlyMap<string, Series>, fileSize: number): void {
  for (const { family, count, seen } of series.values()) {
    if (seen.size !== count && count !== fileSize / BLOCK) {
      throw new BadImageError(
        fileSize,
        `${count - seen.size} of ${count} blocks${family === null ? "" : ` of family ${hex(family)}`} are missing`,
      );
    }
  }
}

function hex(family: number | null): string {
  return family === null ? "none" : `0x${family.toString(16)}`;
}
