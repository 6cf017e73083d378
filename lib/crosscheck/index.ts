// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export {
  crosscheck,
  type CrosscheckOptions,
  type CrosscheckResult,
  crosscheckSmall,
  type MakeMemory,
  recheck,
} from "./crosscheck.js";
export type { Difference, Side } from "./difference.js";
export {
  crosscheckMmu,
  type MmuCrosscheckOptions,
  type MmuCrosscheckResult,
  type MmuDifference,
} from "./mmu.js";
export type { CheckedMmu, MakeMmu } from "./mmu-machine.js";
export { type MmuOp, type MmuOpSource, randomMmuOps, type RandomMmuOptions } from "./mmu-ops.js";
export { decodeOpLog, encodeOpLog, type OpLog, OpRecorder } from "./op-log.js";
export type { Outcome } from "./run-op.js";
export {
  exhaustiveOps,
  lackeyOps,
  listedOps,
  type OpSource,
  randomOps,
  type RandomOptions,
} from "./sources.js";
