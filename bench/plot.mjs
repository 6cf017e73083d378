// Draws docs/performance.svg from the figures that `npm run bench -- --json FILE` wrote.

import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as vega from "vega";
import * as vegaLite from "vega-lite";
import { CPP } from "./names.mjs";
import { majorOf, readRuns } from "./report.mjs";

const TARGET = fileURLToPath(new URL("../docs/performance.svg", import.meta.url));
/** The Node that figures are quoted for, if the file has it. */
const LTS = "24";
/** The two workloads of the chart: the accesses of a real program, and the bare access. */
const SHOWN = ["recorded trace of gzip, 8 to 32 bits", "32 bits, in order"];
/** Ways that do not fit on the scale. The table has them. */
const LEFT_OUT = /^ffi-rs/;

const [file] = process.argv.slice(2);
const runs = readRuns(file);
const { date, machine, command, results } = runs.find((run) => majorOf(run) === LTS) ?? runs[0];

const bars = results.accesses
  .filter(({ name }) => SHOWN.includes(name))
  .flatMap(({ name: workload, ns }) =>
    Object.entries(ns)
      .filter(([way]) => !LEFT_OUT.test(way))
      .map(([way, value]) => ({
        workload,
        way,
        ns: value,
        label: `${value.toFixed(1)} ns, ${(value / ns[CPP]).toFixed(1)}x`,
        kind: /^(view|native) path/.test(way) ? "ours" : way === CPP ? "limit" : "other",
      })),
  );

const y = { field: "way", type: "nominal", sort: null, title: null, axis: { labelLimit: 320 } };
const specification = {
  background: "white",
  padding: 12,
  title: {
    text: "Nanoseconds per access, and times the C++ accessors looped in C++ (shorter is better; logarithmic)",
    subtitle: `${machine.cpu}, ${machine.cores} cores, Node ${machine.node}, ${date.slice(0, 10)}: ${command}`,
    anchor: "start",
  },
  vconcat: SHOWN.map((workload) => ({
    title: { text: workload, anchor: "start", fontSize: 12 },
    width: 520,
    data: { values: bars.filter((bar) => bar.workload === workload) },
    layer: [
      {
        mark: { type: "bar", height: { band: 0.7 } },
        encoding: {
          y,
          x: {
            field: "ns",
            type: "quantitative",
            scale: { type: "log", domain: [0.25, 400], nice: false },
            axis: { title: null, values: [0.5, 1, 2, 5, 10, 20, 50, 100, 200], grid: true },
          },
          // A logarithmic scale has no zero, so bars start at its lower end.
          x2: { datum: 0.25 },
          color: {
            field: "kind",
            type: "nominal",
            scale: { domain: ["limit", "ours", "other"], range: ["#666666", "#2563a8", "#c9b28f"] },
            legend: null,
          },
        },
      },
      {
        mark: { type: "text", align: "left", dx: 4, fontSize: 10 },
        encoding: {
          y,
          x: { field: "ns", type: "quantitative" },
          text: { field: "label", type: "nominal" },
        },
      },
    ],
  })),
};

const compiled = vegaLite.compile(specification).spec;
const view = new vega.View(vega.parse(compiled), { renderer: "none" });
writeFileSync(TARGET, await view.toSVG());
console.log(`wrote ${TARGET}`);
