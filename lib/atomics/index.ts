export type { GuestAtomicAccess } from "./access.js";
export { ExclusiveMonitor } from "./exclusive-monitor.js";
