// The comments of the accessors link to these.
export type { GuestAtomicAccess } from "../atomics/access.js";
export { GuestMemoryFault } from "../base/errors.js";
export { Aarch64PageTables, type Aarch64Privilege } from "./aarch64.js";
export type { MmuFault } from "./fault.js";
export { Mmu, type MmuOptions } from "./mmu.js";
export type { NativeMmuAccess } from "./native-access.js";
export { type RiscvPageTableOptions, RiscvPageTables, type RiscvPrivilege } from "./riscv.js";
export type { TranslationKind } from "./tlb.js";
export type { VirtualAddress } from "./virtual-address.js";
export type { GuestFault, Translation, Walk } from "./walk.js";
