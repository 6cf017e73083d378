// TypeScript 6 loads the types of Node only where a reference or a tsconfig.json names them.
/// <reference types="node" preserve="true" />
export { BadImageError } from "./bad-image.js";
export type { ElfImage, ElfMachine, ElfOptions, ElfSegment } from "./elf.js";
export { loadElf, loadRaw } from "./load.js";
export type { LoadTarget } from "./place.js";
