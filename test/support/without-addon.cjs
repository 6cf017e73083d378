/*
 * Preloaded, it keeps this package's addon from loading, in the process and in all that it starts.
 */
"use strict";
const Module = require("node:module");

const load = Module._extensions[".node"];
Module._extensions[".node"] = (module, filename) => {
  if (filename.endsWith("pound_guest_memory.node") || /node\.napi[\w.]*\.node$/.test(filename)) {
    throw new Error("the tests run without the addon");
  }
  load(module, filename);
};
const option = `--require=${JSON.stringify(module.filename)}`;
if (!process.env.NODE_OPTIONS?.includes(option)) {
  process.env.NODE_OPTIONS = `${process.env.NODE_OPTIONS ?? ""} ${option}`.trim();
}
