export { type Inspector, type InspectorOptions, serveInspector } from "./server.js";
