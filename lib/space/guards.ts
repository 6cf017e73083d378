import { gpaAt } from "../base/arguments.js";
import type { Gpa } from "../base/gpa.js";
import { pageOf } from "../base/page.js";
import { PageIndex } from "../base/page-index.js";
import { OK } from "../base/result.js";
import type { MemoryMarks } from "../memory/marks.js";
import { CodeGuard, type CodeWriteListener, GuardPart } from "./code-guard.js";
import type { RegionLookup } from "./lookup.js";
import type { Region } from "./regions.js";

/** The armed guards of translated code in one address space. */
export class SpaceGuards {
  readonly #guards = new PageIndex<CodeGuard>();

  constructor(private readonly lookup: RegionLookup) {}

  /** Whether a guard is armed. */
  get active(): boolean {
    return !this.#guards.isEmpty;
  }

  /**
   * Makes a guard. The caller must drop all caches for writes to its bytes, and then arm it.
   *
   * @param guarding - Called for each part that is RAM or ROM.
   * @throws TypeError; RangeError if the range is empty or ends above 2^64.
   */
  make(
    gpa: Gpa,
    length: Gpa,
    pageSize: number,
    listener: CodeWriteListener,
    guarding: (marks: MemoryMarks, offset: number, end: number) => void,
  ): CodeGuard {
    const { lookup } = this;
    const guard = new CodeGuard(gpa, length, pageSize, listener, this.#guards);
    const { start, bytes, parts } = guard;
    for (let done = 0; done < bytes;) {
      const at = gpaAt(start, done);
      const region = lookup.find(at);
      const { offset, room } = lookup;
      if (region === null) {
        done += lookup.map.gapAt(BigInt(at));
        continue;
      }
      const count = Math.min(bytes - done, room);
      if (region.kind !== "mmio" && region.internals.checkRange(offset, count) === OK) {
        const { marks } = region.internals;
        const end = offset + count;
        guarding(marks, offset, end);
        parts.push(new GuardPart(guard, at, marks, offset, end));
      }
      done += count;
    }
    return guard;
  }

  /**
   * Calls the guards whose bytes change together with a region. Their listeners may change the map.
   *
   * @param changes - Whether a place changes where a region is visible, or none.
   */
  call({ gpa, size }: Region, changes: (visible: Region | null) => boolean): void {
    for (const guard of this.#guards.touching(pageOf(gpa), pageOf(gpa + size - 1n))) {
      const low = guard.gpa > gpa ? guard.gpa : gpa;
      const [guardEnd, regionEnd] = [guard.gpa + guard.length, gpa + size];
      const high = guardEnd < regionEnd ? guardEnd : regionEnd;
      if (low < high && guard.armed && this.#visibleIn(low, high).some(changes)) {
        guard.call(low, Number(high - low), "map");
      }
    }
  }

  /** The regions that are visible in a range; null for a part without a region. */
  #visibleIn(gpa: bigint, end: bigint): (Region | null)[] {
    const segments = this.lookup.map.segmentsIn(gpa, end);
    const found: (Region | null)[] = segments.map(({ region }) => region);
    let at = gpa;
    for (const segment of segments) {
      if (segment.gpa > at) {
        found.push(null);
      }
      at = segment.end;
    }
    return at < end ? [...found, null] : found;
  }
}
