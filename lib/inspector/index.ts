// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export {
  type DisassembledLine,
  InspectedMachine,
  type InspectedMachineOptions,
} from "./machine.js";
export {
  type Inspector,
  type InspectorOptions,
  type LiveInspectorOptions,
  serveInspector,
} from "./server.js";
