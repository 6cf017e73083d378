import { BadImageError } from "./bad-image.js";
import { type ElfFields, SH_NAME, SH_TYPE, ST_NAME } from "./elf-fields.js";

/** A section of an ELF file. */
export interface ElfSection {
  readonly name: string;
  /** `sh_type`. */
  readonly type: number;
  /** Virtual address of its first byte, with the bias; 0 if it is not loaded. */
  readonly address: bigint;
  /** Bytes in memory. */
  readonly size: bigint;
  /** File offset of its first byte. */
  readonly fileOffset: number;
  /** Whether it takes up memory when the program runs (`SHF_ALLOC`). */
  readonly allocated: boolean;
}

/** A symbol of an ELF file. */
export interface ElfSymbol {
  readonly name: string;
  /**
   * Virtual address, with the bias. Bit 0, which marks a Thumb function of ARM, is cleared. For
   * `SHN_ABS`, it is the value, without the bias.
   */
  readonly address: bigint;
  /** Size in bytes; 0 if the file has none. */
  readonly size: bigint;
  readonly kind: "function" | "object" | "other";
  /** Whether other object files could refer to it, that is, whether it is not local. */
  readonly global: boolean;
  /** The section that contains it; null for an absolute value. */
  readonly section: ElfSection | null;
}

/** The symbol at an address. */
export interface SymbolMatch {
  readonly symbol: ElfSymbol;
  /** Bytes from the address of the symbol to the address that was looked up. */
  readonly offset: bigint;
}

/** A range of guest physical addresses and the virtual address of its first byte. */
interface Range {
  readonly gpa: bigint;
  readonly vaddr: bigint;
  readonly size: bigint;
}

const SHT_SYMTAB = 2;
const SHT_STRTAB = 3;
const SHT_NOBITS = 8;
const SHT_DYNSYM = 11;
const SHF_ALLOC = 2n;
const SHN_UNDEF = 0;
const SHN_LORESERVE = 0xff00;
const SHN_ABS = 0xfff1;
const SHN_XINDEX = 0xffff;
const STT_OBJECT = 1;
const STT_FUNC = 2;
const STT_SECTION = 3;
const STT_FILE = 4;
const STT_TLS = 6;
const STT_GNU_IFUNC = 10;
const EM_ARM = 40;

/** Symbols with lookup by name and by address. */
export class ElfSymbols implements Iterable<ElfSymbol> {
  readonly #symbols: readonly ElfSymbol[];
  readonly #ranges: readonly Range[];
  #names: Map<string, ElfSymbol> | undefined;
  #sized: Nested | undefined;
  #labels: readonly ElfSymbol[] | undefined;

  /** @internal */
  constructor(symbols: readonly ElfSymbol[], ranges: readonly Range[]) {
    this.#symbols = symbols;
    this.#ranges = ranges;
  }

  /** The number of symbols. */
  get size(): number {
    return this.#symbols.length;
  }

  /** The symbols in the order of the file. */
  [Symbol.iterator](): IterableIterator<ElfSymbol> {
    return this.#symbols[Symbol.iterator]();
  }

  /** The symbol with a name; a global one if several have it. Null if there is none. */
  find(name: string): ElfSymbol | null {
    if (this.#names === undefined) {
      this.#names = new Map();
      for (const symbol of this.#symbols) {
        const other = this.#names.get(symbol.name);
        if (other === undefined || (symbol.global && !other.global)) {
          this.#names.set(symbol.name, symbol);
        }
      }
    }
    return this.#names.get(name) ?? null;
  }

  /**
   * The symbol at a virtual address: the innermost one whose size covers it; otherwise the nearest
   * symbol without a size below it in the same section. Null if there is neither.
   */
  at(vaddr: bigint | number): SymbolMatch | null {
    const address = BigInt(vaddr);
    this.#sized ??= new Nested(this.#placed(true));
    this.#labels ??= this.#placed(false);
    const symbol = this.#sized.at(address) ?? labelAt(this.#labels, address);
    return symbol && { symbol, offset: address - symbol.address };
  }

  /** The symbol at a guest physical address, which lies in a loaded segment. */
  atGpa(gpa: bigint | number): SymbolMatch | null {
    const address = BigInt(gpa);
    const range = this.#ranges.find(
      ({ gpa: start, size }) => address >= start && address - start < size,
    );
    return range === undefined ? null : this.at(address - range.gpa + range.vaddr);
  }

  /** The symbols that mark a place in memory, sorted by address. */
  #placed(sized: boolean): ElfSymbol[] {
    return this.#symbols
      .filter(({ section, size }) => section?.allocated === true && size > 0n === sized)
      .sort(
        (a, b) =>
          compare(a.address, b.address) ||
          // The preferred one of several at an address is the last: the smallest, then a global
          // one.
          compare(b.size, a.size) ||
          Number(a.global) - Number(b.global),
      );
  }
}

/** Ranges that may contain one another, sorted by address. */
class Nested {
  readonly #symbols: readonly ElfSymbol[];
  /** For each symbol, the index of the last one before it that ends after its start; or -1. */
  readonly #parents: Int32Array;

  constructor(symbols: readonly ElfSymbol[]) {
    this.#symbols = symbols;
    this.#parents = new Int32Array(symbols.length);
    const open: number[] = [];
    symbols.forEach(({ address }, i) => {
      while (open.length > 0 && endOf(symbols[open.at(-1)!]!) <= address) {
        open.pop();
      }
      this.#parents[i] = open.at(-1) ?? -1;
      open.push(i);
    });
  }

  at(address: bigint): ElfSymbol | null {
    let i = lastBelow(this.#symbols, address);
    while (i >= 0 && endOf(this.#symbols[i]!) <= address) {
      i = this.#parents[i]!;
    }
    return this.#symbols[i] ?? null;
  }
}

function labelAt(labels: readonly ElfSymbol[], address: bigint): ElfSymbol | null {
  const label = labels[lastBelow(labels, address)];
  const section = label?.section;
  return label && section && address - section.address < section.size ? label : null;
}

/** The index of the last symbol at or below an address; -1 if there is none. */
function lastBelow(sorted: readonly ElfSymbol[], address: bigint): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle]!.address <= address) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low - 1;
}

function endOf({ address, size }: ElfSymbol): bigint {
  return address + size;
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}

/** The sections of a file and their headers. */
export interface Sections {
  readonly sections: readonly ElfSection[];
  /** The file offset of each section header. */
  readonly headers: readonly number[];
}

/**
 * The file offset of section header 0, which has the counts that are too large for the header of
 * the file; null if the file has no section headers.
 *
 * @throws BadImageError if it does not lie in the file.
 */
export function firstSectionHeader(fields: ElfFields): number | null {
  const { header, section } = fields.layout;
  const start = fields.word(header.e_shoff);
  if (start === 0n) {
    return null;
  }
  if (fields.u16(header.e_shentsize) !== section.size) {
    throw new BadImageError(header.e_shentsize, `section headers are not ${section.size} bytes`);
  }
  if (start + BigInt(section.size) > BigInt(fields.bytes.length)) {
    throw new BadImageError(header.e_shoff, "the section headers reach past the end of the file");
  }
  return Number(start);
}

/**
 * Reads all section headers.
 *
 * @throws BadImageError if one is malformed.
 */
export function readSections(fields: ElfFields, bias: bigint): Sections {
  const { header, section: layout } = fields.layout;
  const first = firstSectionHeader(fields);
  if (first === null) {
    return { sections: [], headers: [] };
  }
  // Section header 0 has the numbers that do not fit in 16 bits.
  const count = BigInt(fields.u16(header.e_shnum)) || fields.word(first + layout.sh_size);
  if (BigInt(first) + count * BigInt(layout.size) > BigInt(fields.bytes.length)) {
    throw new BadImageError(header.e_shoff, "the section headers reach past the end of the file");
  }
  const headers = Array.from({ length: Number(count) }, (_, i) => first + i * layout.size);
  const short = fields.u16(header.e_shstrndx);
  const index = short === SHN_XINDEX ? fields.u32(first + layout.sh_link) : short;
  const names = stringsOf(fields, headers, index);
  const sections = headers.map((at): ElfSection => {
    const allocated = (flagsOf(fields, at) & SHF_ALLOC) !== 0n;
    const offset = fields.word(at + layout.sh_offset);
    return {
      name: names(fields.u32(at + SH_NAME), at + SH_NAME),
      type: fields.u32(at + SH_TYPE),
      address: allocated ? fields.word(at + layout.sh_addr) + bias : 0n,
      size: fields.word(at + layout.sh_size),
      fileOffset: Number(offset),
      allocated,
    };
  });
  return { sections, headers };
}

/** `sh_flags`, which follows `sh_type` in both classes. */
function flagsOf(fields: ElfFields, header: number): bigint {
  return fields.word(header + 8);
}

/**
 * Reads the symbol table, or the dynamic one of a file that was stripped.
 *
 * @throws BadImageError if it is malformed.
 */
export function readSymbols(
  fields: ElfFields,
  { sections, headers }: Sections,
  machine: number,
  bias: bigint,
): ElfSymbol[] {
  const { section: layout, symbol } = fields.layout;
  const header =
    headers[sections.findIndex(({ type }) => type === SHT_SYMTAB)] ??
    headers[sections.findIndex(({ type }) => type === SHT_DYNSYM)];
  if (header === undefined) {
    return [];
  }
  if (fields.word(header + layout.sh_entsize) !== BigInt(symbol.size)) {
    throw new BadImageError(header + layout.sh_entsize, `symbols are not ${symbol.size} bytes`);
  }
  const table = contentsOf(fields, header);
  const names = stringsOf(fields, headers, fields.u32(header + layout.sh_link));
  const symbols: ElfSymbol[] = [];
  for (let at = table.start; at + symbol.size <= table.end; at += symbol.size) {
    const info = fields.bytes[at + symbol.st_info]!;
    const type = info & 15;
    const index = fields.u16(at + symbol.st_shndx);
    const isAbsolute = index === SHN_ABS;
    if (
      index === SHN_UNDEF ||
      (index >= SHN_LORESERVE && !isAbsolute && index !== SHN_XINDEX) ||
      type === STT_SECTION ||
      type === STT_FILE ||
      type === STT_TLS
    ) {
      continue;
    }
    const name = names(fields.u32(at + ST_NAME), at + ST_NAME);
    // Assemblers for ARM, AArch64 and RISC-V mark code and data with symbols such as $x.
    if (name === "" || /^\$[a-z](\.|$)/.test(name)) {
      continue;
    }
    const isFunction = type === STT_FUNC || type === STT_GNU_IFUNC;
    let value = fields.word(at + symbol.st_value);
    if (machine === EM_ARM && isFunction) {
      value &= ~1n;
    }
    symbols.push({
      name,
      address: isAbsolute ? value : value + bias,
      size: fields.word(at + symbol.st_size),
      kind: isFunction ? "function" : type === STT_OBJECT ? "object" : "other",
      global: info >> 4 !== 0,
      section: isAbsolute ? null : (sections[index] ?? sectionAt(sections, value + bias)),
    });
  }
  return symbols;
}

/** The section of a symbol whose section number does not fit in 16 bits. */
function sectionAt(sections: readonly ElfSection[], address: bigint): ElfSection | null {
  return (
    sections.find(
      ({ allocated, address: start, size }) =>
        allocated && address >= start && address - start < size,
    ) ?? null
  );
}

/** The range of the file that a section covers. */
function contentsOf(fields: ElfFields, header: number): { start: number; end: number } {
  const { sh_offset: offsetField, sh_size: sizeField } = fields.layout.section;
  const start = fields.word(header + offsetField);
  const end = start + fields.word(header + sizeField);
  if (fields.u32(header + SH_TYPE) === SHT_NOBITS || end > BigInt(fields.bytes.length)) {
    throw new BadImageError(header + offsetField, "a section reaches past the end of the file");
  }
  return { start: Number(start), end: Number(end) };
}

/**
 * A function that reads the strings of a string table. A file may let many names share their ends,
 * so that decoding all of them takes the square of the size of the table. Linkers share few.
 */
function stringsOf(
  fields: ElfFields,
  headers: readonly number[],
  section: number,
): (index: number, field: number) => string {
  const header = headers[section];
  // Section 0 stands for no section: the names are empty.
  if (header === undefined || section === 0) {
    return () => "";
  }
  if (fields.u32(header + SH_TYPE) !== SHT_STRTAB) {
    throw new BadImageError(header + SH_TYPE, "not a string table");
  }
  const { start, end } = contentsOf(fields, header);
  const table = Buffer.from(fields.bytes.buffer, fields.bytes.byteOffset + start, end - start);
  const known = new Map<number, string>();
  let budget = 8 * table.length + 4096;
  return (index, field) => {
    const seen = known.get(index);
    if (seen !== undefined) {
      return seen;
    }
    const stop = index < table.length ? table.indexOf(0, index) : -1;
    if (stop < 0) {
      throw new BadImageError(field, "a name reaches past the end of its string table");
    }
    budget -= stop - index;
    if (budget < 0) {
      throw new BadImageError(field, "the names overlap too much");
    }
    const name = table.toString("utf8", index, stop);
    known.set(index, name);
    return name;
  };
}
