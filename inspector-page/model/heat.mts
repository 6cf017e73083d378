import type { HeatInfo } from "../../lib/inspector/protocol.js";
import { formatAddress, formatSize, PAGE, type Region } from "./addresses.mjs";
import type { Subject } from "./subject.mjs";

/** What the colours of the heat map mean. */
export type HeatMode = "changes" | "recency" | "contents" | "difference";

/** Seconds in which the glow of a page that was written fades to half. */
const GLOW = 1.5;

/** The name of a mode, and of the ends of its scale. */
export const HEAT_MODES: Readonly<
  Record<HeatMode, readonly [label: string, low: string, high: string]>
> = {
  changes: ["how often changed", "never", "most"],
  recency: ["how lately changed", "long ago", "last"],
  contents: ["how full", "zero", "full"],
  difference: ["A against B", "equal", "all differ"],
};

/** Lists the modes that the snapshots have data for. The page starts with the first. */
export function heatModes({ compares, generation, isLive }: Subject): HeatMode[] {
  if (isLive) {
    return ["recency", "changes", ...(compares ? (["difference"] as const) : [])];
  }
  return [
    ...(compares ? (["difference"] as const) : []),
    ...(generation > 0 ? (["changes", "recency"] as const) : []),
    "contents",
  ];
}

/**
 * Makes a function that places a cell on the scale of colours: -1 for all zero, 0 for cold, up to 1
 * for hot.
 *
 * @param subject - What is shown.
 */
export function shading(
  heat: HeatInfo,
  mode: HeatMode,
  subject: Subject,
): (cell: number) => number {
  const mostChanges = Math.max(...heat.changes);
  return (cell) => shade(heat, cell, mode, subject, mostChanges);
}

function shade(
  heat: HeatInfo,
  cell: number,
  mode: HeatMode,
  { generation, isLive }: Subject,
  mostChanges: number,
): number {
  const stored = heat.stored[cell] ?? 0;
  const cold = stored === 0 ? -1 : 0;
  const changes = heat.changes[cell] ?? 0;
  switch (mode) {
    case "contents":
      return stored === 0 ? -1 : Math.max(0.15, stored / heat.bucketPages);
    case "difference": {
      const differing = heat.differing[cell] ?? 0;
      return differing === 0 ? cold : 0.35 + 0.65 * (differing / heat.bucketPages);
    }
    case "recency":
      if (isLive) {
        return stored === 0 ? cold : 0.1 + 0.9 * 2 ** (-writtenAgo(heat, cell) / GLOW);
      }
      return changes === 0 ? cold : 0.1 + 0.9 * ((heat.changedIn[cell] ?? 0) / generation);
    case "changes": {
      // Logarithmic: a page that changes in each generation must not make all others look cold.
      const part = Math.log2(1 + changes) / Math.log2(1 + mostChanges);
      return changes === 0 ? cold : 0.2 + 0.8 * part;
    }
  }
}

/** Seconds since the last write to a page of a cell. */
function writtenAgo({ now, changedIn }: HeatInfo, cell: number): number {
  return Math.max(0, now - (changedIn[cell] ?? 0)) / 1000;
}

/** Describes the pages of a cell. */
export function describeCell(
  heat: HeatInfo,
  cell: number,
  region: Region,
  { generation, isLive }: Subject,
): string {
  const first = cell * heat.bucketPages;
  const pages = Math.min(heat.bucketPages, Math.ceil(Number(region.size) / PAGE) - first);
  const from = formatAddress(region.gpa + BigInt(first * PAGE));
  const stored = heat.stored[cell] ?? 0;
  const differing = heat.differing[cell] ?? 0;
  if (isLive) {
    const ago = `last ${writtenAgo(heat, cell).toFixed(1)} s ago`;
    const parts = [pages === 1 ? `page ${from}` : `${formatSize(pages * PAGE)} from ${from}`];
    parts.push(stored === 0 ? "not written" : `written ${heat.changes[cell] ?? 0}×, ${ago}`);
    return [...parts, ...(differing > 0 ? ["written since B"] : [])].join(" · ");
  }
  const parts =
    pages === 1
      ? [`page ${from}`, stored === 0 ? "all zero" : "not zero"]
      : [`${formatSize(pages * PAGE)} from ${from}`, `${stored} of ${pages} pages not zero`];
  const changes = heat.changes[cell] ?? 0;
  if (generation > 0) {
    const times = `${pages === 1 ? "" : "up to "}${changes}×`;
    const last = heat.changedIn[cell] ?? 0;
    parts.push(changes === 0 ? "never changed" : `changed ${times}, last in generation ${last}`);
  }
  if (differing > 0) {
    parts.push(pages === 1 ? "differs" : `${differing} differ`);
  }
  return parts.join(" · ");
}
