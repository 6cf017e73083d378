import { hex } from "../base/printable.js";
import { BadImageError } from "./bad-image.js";
import { BLOCK_SIZE, type BlockRun, bytesOfBlocks, isAscending, joined, sizeOf } from "./blocks.js";
import type { Contents, ImageSegment } from "./image.js";
import { Pieces } from "./pieces.js";

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

/**
 * Reads a UF2 file.
 *
 * @param family - The family whose blocks to use; undefined for that of all blocks.
 * @throws BadImageError with the offset of a block or of its field.
 */
export function parseUf2(file: Uint8Array, family: number | undefined): Contents {
  if (file.length === 0 || file.length % BLOCK_SIZE !== 0) {
    throw new BadImageError(file.length, `the size is not a multiple of ${BLOCK_SIZE} bytes`);
  }
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  const { runs, families } = readBlocks(view, family);
  const blocks = isAscending(runs) ? joined(runs) : null;
  const segments =
    blocks === null ? merged(file, runs) : blocks.map((part) => segmentOf(file, part));
  return { entry: null, segments, blocks, families };
}

/** Checks the blocks, and returns where the data of the chosen family are, and all families. */
function readBlocks(
  view: DataView,
  chosen: number | undefined,
): { runs: BlockRun[]; families: (number | null)[] } {
  const numbers = new BlockNumbers();
  const runs: { gpa: number; start: number; size: number; count: number }[] = [];
  const families = new Set<number | null>();
  let wanted: number | null | undefined = chosen;
  let last: number | null | undefined;
  for (let at = 0; at < view.byteLength; at += BLOCK_SIZE) {
    checkMagic(view, at, MAGIC_0);
    checkMagic(view, at + 4, MAGIC_1);
    checkMagic(view, at + 508, MAGIC_END);
    if (!isUsed(view, at)) {
      continue;
    }
    const family = familyOf(view, at);
    if (family !== last) {
      families.add(family);
      last = family;
      // ??= would replace null, which stands for blocks without a family.
      wanted = wanted === undefined ? family : wanted;
    }
    if (family !== wanted) {
      continue;
    }
    const size = payloadSize(view, at);
    const gpa = view.getUint32(at + 12, true);
    if (gpa + size > 0x1_0000_0000) {
      throw new BadImageError(at + 12, "data past the last address");
    }
    const number = view.getUint32(at + 20, true);
    const count = view.getUint32(at + 24, true);
    const fault = numbers.add(number, count);
    if (fault !== null) {
      throw new BadImageError(at + 20, `block ${number} of ${count}${fault}`);
    }
    const run = runs.at(-1);
    if (
      run !== undefined &&
      run.size === size &&
      run.start + BLOCK_SIZE * run.count === at + 32 &&
      run.gpa + size * run.count === gpa
    ) {
      run.count++;
    } else if (size > 0) {
      runs.push({ gpa, start: at + 32, size, count: 1 });
    }
  }
  checkFamilies([...families], chosen);
  const missing = numbers.missing(view.byteLength / BLOCK_SIZE);
  if (missing !== null) {
    const of = wanted === undefined || wanted === null ? "" : ` of family ${hex(wanted)}`;
    throw new BadImageError(view.byteLength, `${missing} blocks${of} are missing`);
  }
  return { runs, families: [...families] };
}

/** Checks that one family is chosen, and that the file has it. */
function checkFamilies(families: readonly (number | null)[], chosen: number | undefined): void {
  if (chosen !== undefined && !families.includes(chosen)) {
    throw new BadImageError(28, `no blocks of family ${hex(chosen)}`);
  }
  if (chosen === undefined && families.length > 1) {
    throw new BadImageError(
      28,
      `blocks of several families, one of which must be chosen: ${families.map(nameOf).join(", ")}`,
    );
  }
}

/** The segment of data that lie in order. */
function segmentOf(file: Uint8Array, runs: readonly BlockRun[]): ImageSegment {
  let bytes: Uint8Array | undefined;
  return {
    gpa: BigInt(runs[0]!.gpa),
    size: BigInt(sizeOf(runs)),
    // Made when it is first used: loadImage does not need it.
    get bytes() {
      return (bytes ??= bytesOfBlocks(file, runs));
    },
  };
}

/** The segments of data that lie in any order or overlap. */
function merged(file: Uint8Array, runs: readonly BlockRun[]): ImageSegment[] {
  const pieces = new Pieces(sizeOf(runs));
  const starts: number[] = [];
  const blocks: number[] = [];
  for (const { gpa, start, size, count } of runs) {
    for (let i = 0; i < count; i++) {
      const at = start + BLOCK_SIZE * i;
      starts.push(pieces.length);
      blocks.push(at - 32);
      pieces.startAt(gpa + size * i, size);
      pieces.bytes.set(file.subarray(at, at + size), pieces.length);
      pieces.length += size;
    }
  }
  return pieces.segments((index) => {
    const block = blocks[starts.findLastIndex((start) => start <= index)]!;
    throw new BadImageError(block + 12, "other bytes for addresses that have some");
  });
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

/** Checks the numbers of the blocks of a family. A file may number several parts of it apart. */
class BlockNumbers {
  /** The blocks so far that state the same count, by that count. */
  readonly #series = new Map<number, Series>();
  #last: Series | undefined;

  /** Adds a block, and returns what is wrong with its number; null if nothing is. */
  add(number: number, count: number): string | null {
    if (number >= count) {
      return "";
    }
    let series = this.#last;
    if (series?.count !== count) {
      series = this.#series.get(count) ?? { count, next: 0, seen: null };
      this.#series.set(count, series);
      this.#last = series;
    }
    if (series.seen === null) {
      if (number === series.next) {
        series.next++;
        return null;
      }
      series.seen = new Set(Array.from({ length: series.next }, (_, i) => i));
    }
    if (series.seen.has(number)) {
      return " comes twice";
    }
    series.seen.add(number);
    return null;
  }

  /**
   * Which blocks are missing; null if none are. Some tools number the blocks of all families
   * together, so that one family has only some of the numbers.
   *
   * @param total - The blocks of the file.
   */
  missing(total: number): string | null {
    for (const { count, next, seen } of this.#series.values()) {
      const found = seen?.size ?? next;
      if (found !== count && count !== total) {
        return `${count - found} of ${count}`;
      }
    }
    return null;
  }
}

interface Series {
  readonly count: number;
  /** The number of blocks, while their numbers are 0, 1, 2 and so on. */
  next: number;
  /** All numbers, once they are not. */
  seen: Set<number> | null;
}

function nameOf(family: number | null): string {
  return family === null ? "none" : hex(family);
}
