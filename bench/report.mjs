// The figures of bench runs as rows, and the files that hold them.

import { readFileSync } from "node:fs";
import { CPP } from "./names.mjs";

/**
 * Every figure of a run by its name, such as `accesses: 32 bits, in order: native path`.
 *
 * @returns A map from names to `{ value, ratio }`. `ratio` is the figure divided by that of the C++
 *   loop of the same workload; it is undefined for a figure that has no such loop.
 */
export function rowsOf(results) {
  const rows = new Map();
  const visit = (name, value) => {
    if (typeof value === "number") {
      rows.set(name, { value });
    } else if (typeof value === "object" && value !== null) {
      const scale = value[CPP];
      for (const [key, part] of Object.entries(value)) {
        const label = labelOf(value, key, part);
        if (label === null && typeof part === "number") {
          continue;
        }
        visit(label === null ? name : name === "" ? label : `${name}: ${label}`, part);
        if (typeof part === "number" && typeof scale === "number") {
          rows.get(`${name}: ${label}`).ratio = part / scale;
        }
      }
    }
  };
  visit("", results);
  return rows;
}

/**
 * The name of a part of the figures; null for a part that adds nothing to the name of the whole.
 */
function labelOf(whole, key, part) {
  if (!Array.isArray(whole)) {
    // An entry of a list is named by its name or its length.
    return ["ns", "name", "length", "operations"].includes(key) ? null : key;
  }
  return part?.name ?? (part?.length === undefined ? key : `${part.length} bytes`);
}

/** The runs in a file that `npm run bench -- --json FILE` wrote, one for each Node. */
export function readRuns(file) {
  const report = JSON.parse(readFileSync(file, "utf8"));
  return report.runs.map((run) => ({ ...run, date: report.date, command: report.command }));
}

/** The major version of the Node of a run. */
export function majorOf({ machine }) {
  return /^v(\d+)/.exec(machine.node)[1];
}

/** A number with three significant digits, without an exponent. */
export function format(value) {
  const digits = value === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 3));
}
