// What an address space calls to take and to restore its snapshots.
export { restoreDevices, restoreSnapshot } from "./restore.js";
export { takeSnapshot } from "./take.js";
