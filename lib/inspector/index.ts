// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export { type Inspector, type InspectorOptions, serveInspector } from "./server.js";
