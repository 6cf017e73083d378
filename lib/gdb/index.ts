// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export { aarch64Architecture, riscvArchitecture, type RiscvOptions } from "./architectures.js";
export type { GdbCpu, GdbStop, GdbTranslation } from "../debug/cpu.js";
export type { GdbArchitecture, GdbFeature, GdbRegister } from "../debug/description.js";
export { GdbServer, type GdbServerOptions } from "./server.js";
