export { BadImageError } from "./bad-image.js";
export type { ElfImage, ElfMachine, ElfOptions, ElfSegment } from "./elf.js";
export { loadElf, loadRaw } from "./load.js";
export type { LoadTarget } from "./place.js";
