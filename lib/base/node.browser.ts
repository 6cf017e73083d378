/* As node.ts, in a bundle for browsers. Nothing may use the members of these objects there. */
export const fs = {};
export const createRequire = null;
export const path = {};
export const isNode: boolean = false;
