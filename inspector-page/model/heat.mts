import type { HeatInfo } from "../../lib/inspector/protocol.js";
import { formatAddress, formatSize, PAGE, type Region } from "./addresses.mjs";
import type { Subject } from "./subject.mjs";

/** What the colours of the heat map mean. */
export type HeatMode = "changes" | "recency" | "contents" | "difference";

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
export function heatModes({ compares, generation }: Subject): HeatMode[] {
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
 * @param generation - The generation of the snapshot that is shown.
 */
export function shading(
  heat: HeatInfo,
  mode: HeatMode,
  generation: number,
): (cell: number) => number {
  const mostChanges = Math.max(...heat.changes);
  return (cell) => shade(heat, cell, mode, generation, mostChanges);
}

function shade(
  heat: HeatInfo,
  cell: number,
  mode: HeatMode,
  generation: number,
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
      return changes === 0 ? cold : 0.1 + 0.9 * ((heat.changedIn[cell] ?? 0) / generation);
    case "changes": {
      // Logarithmic: a page that changes in each generation must not make all others look cold.
      const part = Math.log2(1 + changes) / Math.log2(1 + mostChanges);
      return changes === 0 ? cold : 0.2 + 0.8 * part;
    }
  }
}

/** Describes the pages of a cell. */
export function describeCell(
  heat: HeatInfo,
  cell: number,
  region: Region,
  generation: number,
): string {
  const first = cell * heat.bucketPages;
  const pages = Math.min(heat.bucketPages, Math.ceil(Number(region.size) / PAGE) - first);
  const from = formatAddress(region.gpa + BigInt(first * PAGE));
  const stored = heat.stored[cell] ?? 0;
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
  const differing = heat.differing[cell] ?? 0;
  if (differing > 0) {
    parts.push(pages === 1 ? "differs" : `${differing} differ`);
  }
  return parts.join(" · ");
}
