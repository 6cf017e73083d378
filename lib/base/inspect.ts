/** `inspect.custom` of `node:util`, which is a registered symbol so that it needs no import. */
export const INSPECT: unique symbol = Symbol.for("nodejs.util.inspect.custom");
