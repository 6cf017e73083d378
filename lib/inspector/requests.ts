import { hex } from "../base/printable.js";
import type { RegionLayout } from "../snapshot/layout.js";
import { type ByteSource, type Comparison, locate, type Place } from "./byte-source.js";
import { findDifference } from "./difference.js";
import { Budget, type Direction, type Found } from "./find.js";
import type { HeatRange } from "./heat.js";
import type { Parameters } from "./parameters.js";
import type { FindInfo } from "./protocol.js";
import { badParameter, RequestError } from "./request-error.js";
import { MAX_PATTERN, searchBytes } from "./search.js";

// What the requests about snapshots and about a running machine have in common.

/** The most bytes of one response. */
const MAX_BYTES = 65_536;
/** The most buckets of one response. */
const MAX_BUCKETS = 16_384;
/** Limits of one search request: the pages it reads, and its time in milliseconds. */
const SEARCH_PAGES = 32_768;
const SEARCH_MS = 250;

const DIRECTIONS: readonly Direction[] = ["forward", "backward"];

/** The place of the parameter `gpa`. */
export function placeOf(query: Parameters, regions: readonly RegionLayout[]): Place {
  const gpa = query.address("gpa");
  const place = locate(regions, gpa);
  if (place === null) {
    throw new RequestError(404, "ERR_UNMAPPED", `no RAM or ROM is at ${hex(gpa)}`);
  }
  return place;
}

/** @param side - The source that the parameters choose. */
export function readBytes(
  query: Parameters,
  regions: readonly RegionLayout[],
  side: () => ByteSource,
): Promise<Buffer> {
  const length = query.integer("length", 1, MAX_BYTES);
  const place = placeOf(query, regions);
  if (place.offset + length > Number(regions[place.region]!.size)) {
    throw badParameter("the bytes must lie in one region");
  }
  return side().read(place, length);
}

/**
 * @param regions - The number of regions.
 * @param pageCount - The number of pages of a region.
 */
export function heatRange(
  query: Parameters,
  regions: number,
  pageCount: (region: number) => number,
): HeatRange {
  const region = query.integer("region", 0, regions - 1);
  const total = pageCount(region);
  const from = query.integer("from", 0, Math.max(0, total - 1));
  const pages = query.integer("pages", 0, total - from);
  const buckets = query.integer("buckets", 1, MAX_BUCKETS);
  return { region, from, pages, buckets };
}

/** @param side - The source that the parameters choose. */
export async function search(
  query: Parameters,
  side: () => ByteSource,
  signal: AbortSignal,
): Promise<FindInfo> {
  const pattern = query.bytes("pattern", MAX_PATTERN);
  const { from, direction } = startOf(query);
  return toInfo(await searchBytes(side(), pattern, from, direction, newBudget(signal)));
}

export async function difference(
  query: Parameters,
  comparison: Comparison,
  signal: AbortSignal,
): Promise<FindInfo> {
  const { from, direction } = startOf(query);
  return toInfo(await findDifference(comparison, from, direction, newBudget(signal)));
}

function startOf(query: Parameters): { from: bigint; direction: Direction } {
  return { from: query.address("from"), direction: query.choice("direction", DIRECTIONS) };
}

function newBudget(signal: AbortSignal): Budget {
  return new Budget(SEARCH_PAGES, SEARCH_MS, signal);
}

function toInfo({ match, next }: Found): FindInfo {
  return { match: match === null ? null : hex(match), next: next === null ? null : hex(next) };
}
