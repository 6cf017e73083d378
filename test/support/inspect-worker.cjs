// Runs the worker of the example from its source.
require("tsx/cjs");
require("../../examples/frontend/inspect-worker.ts");
