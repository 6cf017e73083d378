// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export type { GuestAtomicAccess } from "./access.js";
export { ExclusiveMonitor } from "./exclusive-monitor.js";
