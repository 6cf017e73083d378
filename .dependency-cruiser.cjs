/*
 * The folders that each folder of lib/ may import from. ARCHITECTURE.md draws the same map.
 */
const MAY_IMPORT = {
  base: [],
  atomics: ["base"],
  typed: ["base"],
  trace: ["base"],
  native: ["atomics", "base"],
  memory: ["native", "atomics", "base"],
  snapshot: ["memory", "base"],
  space: ["snapshot", "memory", "native", "atomics", "base"],
  mmu: ["space", "native", "atomics", "base"],
  accessors: ["memory", "base"],
  browser: ["accessors", "space", "snapshot", "memory", "atomics", "base"],
  loader: ["space", "memory", "base"],
  crosscheck: ["mmu", "space", "trace", "memory", "native", "base"],
  debug: ["space", "base"],
  gdb: ["debug", "space", "base"],
  include: [],
  inspector: ["debug", "space", "snapshot", "memory", "base"],
  cli: ["crosscheck", "trace", "inspector", "loader", "snapshot", "memory", "base"],
};

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: "no-cycle",
      comment: "Files that import one another, types included, cannot be read one at a time.",
      severity: "error",
      // The replay loop loads itself anew: see freshReplayLoop.
      from: { path: "^lib/", pathNot: "^lib/trace/replay-loop" },
      to: { circular: true },
    },
    ...Object.entries(MAY_IMPORT).map(([folder, allowed]) => ({
      name: `${folder}-imports`,
      comment: `lib/${folder} may import from: ${allowed.join(", ") || "no other folder"}.`,
      severity: "error",
      from: { path: `^lib/${folder}/` },
      to: { path: "^lib/", pathNot: `^lib/(${[folder, ...allowed].join("|")})/` },
    })),
    {
      name: "no-unlisted-folder",
      comment: "A new folder of lib/ needs a line in the table above.",
      severity: "error",
      from: { path: "^lib/[^/]+/", pathNot: `^lib/(${Object.keys(MAY_IMPORT).join("|")})/` },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    combinedDependencies: false,
  },
};
