export { plainLanes } from "./plain-lanes.js";
import type { AtomicLane, AtomicLanes, Cells } from "../atomics/lane.js";
import { AtomicAccess } from "../atomics/forms.js";
import { PAGE_SIZE } from "../base/page.js";
import type { Gpa } from "../base/gpa.js";
import type { MemoryMarks } from "./marks.js";
import { type GuestMemAccessResult, OK } from "../base/result.js";
import type { Value } from "../base/widths.js";
import { atomics } from "./generic-atomics.js";
import { EMPTY_WINDOW, WINDOW_SIZE, type Window, type Windows } from "./windows.js";

/**
 * The atomic operations of one width through JavaScript's `Atomics` on the typed arrays of the view
 * path.
 *
 * The general lane, native or else of plain-lanes.ts, makes all other accesses and their checks:
 * accesses that fault, addresses that are not numbers, and RAM that typed arrays cannot cover (see
 * `windows.ts`). Unlike the plain
 * accessors, V8 never inlines these operations: each is a call of the runtime. Therefore one class
 * for all widths costs almost nothing.
 */
class ViewLane<T extends Value> implements AtomicLane<T> {
  private first: Cells<T>;
  /** By number of the window, those that were used. */
  private all: Cells<T>[] = [];
  /** The typed array in which `locate` found the value. */
  private cells: Cells<T>;
  private readonly shift: number;

  constructor(
    private readonly general: AtomicLane<T>,
    private readonly windows: Windows,
    private readonly cellsOf: (window: Window) => Cells<T>,
    private readonly marks: MemoryMarks,
  ) {
    this.first = this.cells = cellsOf(windows.at(0));
    this.shift = Math.log2(general.bytes);
  }

  end(): void {
    this.all = [];
    this.first = this.cells = this.cellsOf(EMPTY_WINDOW);
  }

  get bytes(): 1 | 2 | 4 | 8 {
    return this.general.bytes;
  }

  get code(): GuestMemAccessResult {
    return this.general.code;
  }

  load(gpa: Gpa): T | undefined {
    const index = this.locate(gpa);
    return index < 0 ? this.general.load(gpa) : atomics.load(this.cells, index);
  }

  store(gpa: Gpa, value: T): T | undefined {
    const index = this.locateForWrite(gpa);
    return index < 0
      ? this.general.store(gpa, value)
      : this.wrote(gpa, atomics.store(this.cells, index, value));
  }

  exchange(gpa: Gpa, value: T): T | undefined {
    const index = this.locateForWrite(gpa);
    return index < 0
      ? this.general.exchange(gpa, value)
      : this.wrote(gpa, atomics.exchange(this.cells, index, value));
  }

  compareExchange(gpa: Gpa, expected: T, replacement: T): T | undefined {
    const index = this.locateForWrite(gpa);
    if (index < 0) {
      return this.general.compareExchange(gpa, expected, replacement);
    }
    const found = atomics.compareExchange(this.cells, index, expected, replacement);
    return found === expected ? this.wrote(gpa, found) : found;
  }

  add(gpa: Gpa, value: T): T | undefined {
    const index = this.locateForWrite(gpa);
    return index < 0
      ? this.general.add(gpa, value)
      : this.wrote(gpa, atomics.add(this.cells, index, value));
  }

  and(gpa: Gpa, value: T): T | undefined {
    const index = this.locateForWrite(gpa);
    return index < 0
      ? this.general.and(gpa, value)
      : this.wrote(gpa, atomics.and(this.cells, index, value));
  }

  or(gpa: Gpa, value: T): T | undefined {
    const index = this.locateForWrite(gpa);
    return index < 0
      ? this.general.or(gpa, value)
      : this.wrote(gpa, atomics.or(this.cells, index, value));
  }

  xor(gpa: Gpa, value: T): T | undefined {
    const index = this.locateForWrite(gpa);
    return index < 0
      ? this.general.xor(gpa, value)
      : this.wrote(gpa, atomics.xor(this.cells, index, value));
  }

  checkStore(gpa: Gpa): GuestMemAccessResult {
    return this.general.checkStore(gpa);
  }

  /** Marks the page of an operation that has written, and returns the value it found. */
  private wrote(gpa: Gpa, found: T): T {
    this.marks.dirty?.markPage(Math.floor(Number(gpa) / PAGE_SIZE));
    return found;
  }

  /** As `locate`, after the calls of the guards of a write that does not fault. */
  private locateForWrite(gpa: Gpa): number {
    const index = this.locate(gpa);
    if (this.marks.guards === null || index < 0 || this.checkStore(gpa) !== OK) {
      return index;
    }
    this.marks.callGuards(Number(gpa), this.bytes);
    // A listener may have used this lane, or destroyed the memory.
    return this.locate(gpa);
  }

  /** The index of the value at `gpa` in `cells`, or -1 if the general lane must make the access. */
  private locate(gpa: Gpa): number {
    if (typeof gpa !== "number") {
      return -1;
    }
    const low = gpa >>> 0;
    const cells = low === gpa ? this.first : this.cellsAt((gpa - low) / WINDOW_SIZE);
    const index = low >>> this.shift;
    if ((index << this.shift) >>> 0 !== low || index >= cells.length) {
      return -1;
    }
    this.cells = cells;
    return index;
  }

  /**
   * The typed array over a window. It is empty if `number`, which need not be an integer, is not
   * the number of a window.
   */
  private cellsAt(number: number): Cells<T> {
    const found = this.all[number];
    if (found !== undefined) {
      return found;
    }
    const window = Number.isInteger(number) ? this.windows.at(number * WINDOW_SIZE) : EMPTY_WINDOW;
    const cells = this.cellsOf(window);
    if (window !== EMPTY_WINDOW) {
      this.all[number] = cells;
    }
    return cells;
  }
}

/** The atomic accessors of the view path. */
export class ViewAtomics extends AtomicAccess {
  readonly #lanes: readonly { end(): void }[];

  /** @param general - The lanes for the accesses that typed arrays cannot make, and for halves. */
  constructor(general: AtomicLanes, windows: Windows, marks: MemoryMarks) {
    const b = new ViewLane(general.b, windows, ({ u8 }) => u8, marks);
    const w = new ViewLane(general.w, windows, ({ u16 }) => u16, marks);
    const l = new ViewLane(general.l, windows, ({ u32 }) => u32, marks);
    const q = new ViewLane(general.q, windows, ({ u64 }) => u64, marks);
    // JavaScript's Atomics have 64 bits only as bigints, so the general lane has the halves.
    super({ b, w, l, q, halves: general.halves });
    this.#lanes = [b, w, l, q];
  }

  /**
   * Ends the use of the RAM. The general lanes make every later access, and return
   * ERROR_INTERNAL.
   */
  end(): void {
    for (const lane of this.#lanes) {
      lane.end();
    }
  }
}
