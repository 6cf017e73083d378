import * as fs from "node:fs";
import { createRequire } from "node:module";
import * as path from "node:path";

/*
 * The modules of Node that the root export uses. In a bundle for browsers, node.browser.ts takes
 * the place of this module: `#node` in package.json.
 */
export { createRequire, fs, path };

/** Whether the other exports are those of Node. */
export const isNode: boolean = true;
