import { PAGE_SIZE } from "../base/page.js";
import type { GuestMemory } from "../memory/guest-memory.js";
import { type RegionLayout, visibleParts } from "../snapshot/layout.js";
import { surveyOf } from "../snapshot/subject.js";
import type { AddressSpace } from "../space/address-space.js";

/** Adjacent addresses of a running machine that one region shows. */
export interface LiveArea extends RegionLayout {
  /** Null for a device. */
  readonly memory: GuestMemory | null;
  /** Offset in the memory of the window's first byte. */
  readonly offset: number;
  /** Bytes of the memory in the window, after which they repeat. */
  readonly period: number;
  /** Offset in the window of the area's first byte. */
  readonly start: number;
}

/** The visible parts of the regions of a space, by address. */
export function liveAreas(space: AddressSpace): LiveArea[] {
  const { windows, memories } = surveyOf(space);
  return visibleParts(windows).map(({ window, from, to }) => {
    const { kind, name, gpa, region, offset, period } = window;
    return {
      ...{ kind, name, gpa: from, size: to - from },
      memory: region === null ? null : memories[region]!,
      offset: Number(offset),
      period: Number(period),
      start: Number(from - gpa),
    };
  });
}

/** The first and the last page of the memory that have bytes of a page of an area. */
export function memoryPages(area: LiveArea, page: number): readonly [first: number, last: number] {
  const { offset, period, start, size } = area;
  const length = Math.min(PAGE_SIZE, Number(size) - page * PAGE_SIZE);
  const from = (start + page * PAGE_SIZE) % period;
  // A page in which the bytes repeat is said to be all of them.
  const [low, high] = from + length > period ? [0, period] : [from, from + length];
  return [Math.floor((offset + low) / PAGE_SIZE), Math.floor((offset + high - 1) / PAGE_SIZE)];
}
