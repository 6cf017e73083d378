import type { AtomicLane, AtomicLanes, Cells } from "../atomics/lane.js";
import { QuadHalves } from "../atomics/quad-halves.js";
import { SwappedLane } from "../atomics/swapped-lane.js";
import { toAddress } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";
import { HOST_IS_LITTLE_ENDIAN } from "../base/host.js";
import { PAGE_SIZE } from "../base/page.js";
import { GuestMemAccessResult } from "../base/result.js";
import { BYTE, LONG, type Out, QUAD, type Value, type Width, WORD } from "../base/widths.js";
import type { GeneralAccess } from "./general-access.js";
import { atomics } from "./generic-atomics.js";
import type { MemoryMarks } from "./marks.js";

const { OK, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;

/** Makes a typed array of one element. */
type CellAt<T extends Value> = new (buffer: ArrayBufferLike, offset: number, length: 1) => Cells<T>;

/** What a lane needs to know of its memory. */
interface LaneMemory {
  readonly general: GeneralAccess;
  readonly marks: MemoryMarks;
}

/**
 * The atomic operations of one width without the addon, with all checks of an access. It assumes
 * that the host address of a buffer is a multiple of 8, because JavaScript does not see it.
 */
class PlainLane<T extends Value> implements AtomicLane<T> {
  code: GuestMemAccessResult = OK;

  constructor(
    readonly bytes: 1 | 2 | 4 | 8,
    private readonly cellAt: CellAt<T>,
    private readonly memory: LaneMemory,
  ) {}

  load(gpa: Gpa): T | undefined {
    const cell = this.locate(gpa);
    return cell === undefined ? undefined : atomics.load(cell, 0);
  }

  store(gpa: Gpa, value: T): T | undefined {
    return this.write(gpa, (cell) => atomics.store(cell, 0, value));
  }

  exchange(gpa: Gpa, value: T): T | undefined {
    return this.write(gpa, (cell) => atomics.exchange(cell, 0, value));
  }

  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined {
    const cell = this.locateForWrite(gpa);
    if (cell === undefined) {
      return undefined;
    }
    const found = atomics.compareExchange(cell, 0, expected, replacement);
    if (found === expected) {
      this.mark(gpa);
    }
    return found;
  }

  add(gpa: Gpa, value: T): T | undefined {
    return this.write(gpa, (cell) => atomics.add(cell, 0, value));
  }

  and(gpa: Gpa, value: T): T | undefined {
    return this.write(gpa, (cell) => atomics.and(cell, 0, value));
  }

  or(gpa: Gpa, value: T): T | undefined {
    return this.write(gpa, (cell) => atomics.or(cell, 0, value));
  }

  xor(gpa: Gpa, value: T): T | undefined {
    return this.write(gpa, (cell) => atomics.xor(cell, 0, value));
  }

  checkStore(gpa: Gpa): GuestMemAccessResult {
    return this.locate(gpa) === undefined ? this.code : OK;
  }

  private write(gpa: Gpa, operate: (cell: Cells<T>) => T): T | undefined {
    const cell = this.locateForWrite(gpa);
    if (cell === undefined) {
      return undefined;
    }
    const found = operate(cell);
    this.mark(gpa);
    return found;
  }

  /** Marks the page of a write. Call it after the write, as DirtyBitmap requires. */
  private mark(gpa: Gpa): void {
    this.memory.marks.dirty?.markPage(Math.floor(Number(gpa) / PAGE_SIZE));
  }

  /** As `locate`, and calls the guards of a write that does not fault. */
  private locateForWrite(gpa: Gpa): Cells<T> | undefined {
    const cell = this.locate(gpa);
    return cell !== undefined && this.memory.marks.callGuards(Number(gpa), this.bytes)
      ? this.locate(gpa)
      : cell;
  }

  /** The value at an address; undefined, with the result in `code`, if the access faults. */
  private locate(gpa: Gpa): Cells<T> | undefined {
    const address = toAddress(gpa);
    const { general } = this.memory;
    this.code = general.checkRange(address, this.bytes);
    if (this.code !== OK) {
      return undefined;
    }
    if (address % this.bytes !== 0) {
      this.code = FAULT_UNALIGNED;
      return undefined;
    }
    const { buffer, byteOffset } = general.windows.at(address).data;
    if (byteOffset % this.bytes !== 0) {
      // The host has no atomic access to such an address.
      this.code = ERROR_INTERNAL;
      return undefined;
    }
    return new this.cellAt(buffer, byteOffset + (address >>> 0), 1);
  }
}

function lane<T extends Value, A extends Out>(
  width: Width<T, A>,
  cellAt: CellAt<T>,
  memory: LaneMemory,
): AtomicLane<T> {
  const lane = new PlainLane(width.bytes, cellAt, memory);
  return HOST_IS_LITTLE_ENDIAN ? lane : new SwappedLane(lane, width);
}

/** The lanes of a memory without the addon. */
export function plainLanes(memory: LaneMemory): AtomicLanes {
  const q = lane(QUAD, BigUint64Array, memory);
  return {
    b: lane(BYTE, Uint8Array, memory),
    w: lane(WORD, Uint16Array, memory),
    l: lane(LONG, Uint32Array, memory),
    q,
    halves: new QuadHalves(q),
  };
}
