export { BadImageError } from "./bad-image.js";
export type { ElfImage, ElfOptions, ElfSegment } from "./elf.js";
export type { ElfMachine } from "./elf-machines.js";
export type { ElfSection, ElfSymbol, ElfSymbols, SymbolMatch } from "./elf-symbols.js";
export type { Compression, Image, ImageFormat, ImageSegment } from "./image.js";
export { loadElf, loadImage, loadRaw } from "./load.js";
export type { LoadTarget } from "./place.js";
export { type ImageOptions, readImage } from "./read.js";
