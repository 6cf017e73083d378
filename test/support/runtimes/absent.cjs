/*
 * In place of what only Node has: an object whose use, as a function or a class, throws an Error
 * `ERR_NO_NODE`, by which harness.mjs skips the test. Each property is such an object again.
 */
"use strict";

function member(name) {
  const fail = () => {
    throw Object.assign(new Error(`only Node has ${name}`), { code: "ERR_NO_NODE" });
  };
  // A function that `new` accepts.
  return new Proxy(function () {}, {
    apply: fail,
    construct: fail,
    get: (_, key) =>
      typeof key === "symbol" || key === "then" ? undefined : member(`${name}.${key}`),
  });
}

/** In place of a module. esbuild's imports look for properties in the prototype. */
exports.absent = (module) =>
  Object.create(
    new Proxy(
      {},
      {
        get: (_, key) => {
          if (module === "node:path" && key === "join") {
            return (...parts) => parts.join("/");
          }
          return typeof key === "symbol" || ["__esModule", "then"].includes(key)
            ? undefined
            : member(`${module}.${key}`);
        },
      },
    ),
  );
