import { hex } from "../base/printable.js";
import { BadImageError } from "./bad-image.js";
import {
  E_MACHINE,
  E_TYPE,
  E_VERSION,
  EI_CLASS,
  EI_DATA,
  EI_VERSION,
  ElfFields,
  P_TYPE,
} from "./elf-fields.js";
import { type ElfMachine, machineOf } from "./elf-machines.js";
import {
  type ElfSection,
  ElfSymbols,
  firstSectionHeader,
  readSections,
  readSymbols,
} from "./elf-symbols.js";

/*
 * Reads ELF headers. A file is untrusted: every field is checked before it is used, and a wrong one
 * is a BadImageError with the offset of the field.
 */

/** Options of `loadElf`. */
export interface ElfOptions {
  /**
   * The instruction set that the file must be for: a name, or the number `e_machine`. Any by
   * default.
   */
  readonly machine?: ElfMachine | number;
  /**
   * The addresses at which segments are loaded: `"physical"`, the default, for `p_paddr`, which
   * firmware and kernels need, or `"virtual"` for `p_vaddr`.
   */
  readonly addresses?: "physical" | "virtual";
  /**
   * Bytes to add to the addresses of a position-independent file (`ET_DYN`); 0 by default. It must
   * be a multiple of every segment's `p_align`. Relocations are not applied: the start-up code of a
   * static executable does that itself.
   */
  readonly bias?: number | bigint;
  /**
   * `true` loads a program that needs a dynamic linker. {@link ElfImage.interpreter} names the
   * linker, which the caller loads. By default, such a file is refused.
   */
  readonly allowInterpreter?: boolean;
  /** `true` reads the sections and the symbols; `false` by default. */
  readonly symbols?: boolean;
}

/** A `PT_LOAD` segment that is not empty. */
export interface ElfSegment {
  /** Guest physical address of the first byte, with the bias. */
  readonly gpa: bigint;
  /** The virtual address at which the segment was linked, with the bias. */
  readonly vaddr: bigint;
  /**
   * Bytes in memory. Those past {@link ElfSegment.fileSize} have to be zero when the program runs.
   * The docs of `loadElf` list which of them it clears, and which the program clears itself.
   */
  readonly size: bigint;
  /** File offset of its first byte. */
  readonly fileOffset: number;
  /** Bytes in the file: at most {@link ElfSegment.size}. */
  readonly fileSize: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** File offset of its program header. */
  readonly headerOffset: number;
}

/** The contents of an ELF file's headers. */
export interface ElfImage {
  /** The class: ELF32 or ELF64. */
  readonly bits: 32 | 64;
  readonly endian: "little" | "big";
  /**
   * `"exec"` for a file that is linked to fixed addresses, `"dyn"` for a position-independent one.
   */
  readonly type: "exec" | "dyn";
  /** The instruction set; the number `e_machine` for one without a name here. */
  readonly machine: ElfMachine | number;
  /** `e_flags`, as defined by the ABI of the instruction set. */
  readonly flags: number;
  /**
   * Guest physical address of the entry point, with the bias. It lies in a segment. Null if the
   * file has none, that is, if `e_entry` is 0.
   */
  readonly entry: bigint | null;
  /**
   * The path of the dynamic linker that the file asks for (`PT_INTERP`); null if it asks for none.
   */
  readonly interpreter: string | null;
  /** The GNU build id in hexadecimal digits; null if the file has none. */
  readonly buildId: string | null;
  /** In ascending order of address. The file's bytes of two segments never overlap in memory. */
  readonly segments: readonly ElfSegment[];
  /** The sections in the order of the file; null without the option `symbols`. */
  readonly sections: readonly ElfSection[] | null;
  /** The symbols that the file defines; null without the option `symbols`. */
  readonly symbols: ElfSymbols | null;
}

const ET_EXEC = 2;
const ET_DYN = 3;
const PN_XNUM = 0xffff;
const PT_LOAD = 1;
const PT_INTERP = 3;
const PT_NOTE = 4;
const NT_GNU_BUILD_ID = 3;

/** Whether a file starts as ELF files do. */
export function isElf(file: Uint8Array): boolean {
  return file[0] === 0x7f && file[1] === 0x45 && file[2] === 0x4c && file[3] === 0x46;
}

/**
 * Reads and checks the headers of an ELF file.
 *
 * @param file - All bytes of the file.
 * @param bias - {@link ElfOptions.bias}, checked.
 * @throws {@link BadImageError}
 */
export function parseElf(
  file: Uint8Array,
  { machine, addresses = "physical", allowInterpreter = false, symbols = false }: ElfOptions,
  bias: bigint,
): ElfImage {
  const fields = identify(file);
  const number = fields.u16(E_MACHINE);
  const found = machineOf(number);
  if (machine !== undefined && machine !== found && machine !== number) {
    const wanted = typeof machine === "number" ? machineOf(machine) : machine;
    throw new BadImageError(E_MACHINE, `for ${nameOf(found)}, not ${nameOf(wanted)}`);
  }
  const type = typeOf(fields, bias);
  const headers = programHeaders(fields);
  const interpreter = headers.find((header) => fields.u32(header + P_TYPE) === PT_INTERP);
  if (interpreter !== undefined && !allowInterpreter) {
    throw new BadImageError(interpreter, "needs a dynamic linker");
  }
  const loaded = readSegments(fields, headers, addresses, bias);
  const segments = loaded.map(({ segment }) => segment);
  const sections = symbols ? readSections(fields, bias) : null;
  return {
    bits: fields.bits,
    endian: fields.endian,
    type,
    machine: found,
    flags: fields.u32(fields.layout.header.e_flags),
    entry: entryPoint(fields, loaded, bias),
    interpreter: interpreter === undefined ? null : interpreterOf(fields, interpreter),
    buildId: buildIdOf(fields, headers),
    segments,
    sections: sections && sections.sections,
    symbols: sections && new ElfSymbols(readSymbols(fields, sections, number, bias), segments),
  };
}

/** A segment with its physical and its virtual address. */
interface Loaded {
  readonly segment: ElfSegment;
  /** `p_paddr`, with the bias. */
  readonly paddr: bigint;
}

function identify(file: Uint8Array): ElfFields {
  if (!isElf(file)) {
    throw new BadImageError(0, "not an ELF file");
  }
  const fields = new ElfFields(file, file[EI_CLASS] === 2 ? 64 : 32, orderOf(file));
  const { size, e_ehsize: sizeField } = fields.layout.header;
  if (file.length < size) {
    throw new BadImageError(file.length, `the file ends within its ${size}-byte header`);
  }
  if (file[EI_CLASS] !== 1 && file[EI_CLASS] !== 2) {
    throw new BadImageError(EI_CLASS, "neither ELF32 nor ELF64");
  }
  if (file[EI_DATA] !== 1 && file[EI_DATA] !== 2) {
    throw new BadImageError(EI_DATA, "neither little-endian nor big-endian");
  }
  if (file[EI_VERSION] !== 1) {
    throw new BadImageError(EI_VERSION, "not of ELF version 1");
  }
  if (fields.u32(E_VERSION) !== 1) {
    throw new BadImageError(E_VERSION, "not of ELF version 1");
  }
  if (fields.u16(sizeField) < size) {
    throw new BadImageError(sizeField, `the header is smaller than ${size} bytes`);
  }
  return fields;
}

function orderOf(file: Uint8Array): "little" | "big" {
  return file[EI_DATA] === 2 ? "big" : "little";
}

function nameOf(machine: ElfMachine | number): string {
  return typeof machine === "number" ? `machine number ${machine}` : machine;
}

function typeOf(fields: ElfFields, bias: bigint): "exec" | "dyn" {
  const type = fields.u16(E_TYPE);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw new BadImageError(E_TYPE, `not an executable: ELF type ${type}`);
  }
  if (type === ET_EXEC && bias !== 0n) {
    throw new BadImageError(E_TYPE, "linked to fixed addresses, so no bias can move it");
  }
  return type === ET_EXEC ? "exec" : "dyn";
}

function readSegments(
  fields: ElfFields,
  headers: readonly number[],
  addresses: "physical" | "virtual",
  bias: bigint,
): Loaded[] {
  const loads = headers.filter((header) => fields.u32(header + P_TYPE) === PT_LOAD);
  checkAlignment(fields, loads, bias);
  const loaded = loads
    .map((header) => readSegment(fields, header, addresses, bias))
    // Empty segments take up no memory.
    .filter(({ segment }) => segment.size !== 0n);
  if (loaded.length === 0) {
    throw new BadImageError(fields.layout.header.e_phnum, "no segment to load");
  }
  loaded.sort(({ segment: a }, { segment: b }) => (a.gpa < b.gpa ? -1 : Number(a.gpa > b.gpa)));
  checkDisjoint(loaded.map(({ segment }) => segment));
  return loaded;
}

/** Checks that the bias keeps the alignment of every segment. */
function checkAlignment(fields: ElfFields, loads: readonly number[], bias: bigint): void {
  const { p_align: field } = fields.layout.program;
  // Alignments are powers of two, so the largest is a multiple of all others.
  let largest = 1n;
  for (const header of loads) {
    const align = fields.word(header + field);
    if ((align & (align - 1n)) !== 0n) {
      throw new BadImageError(header + field, "an alignment that is no power of two");
    }
    largest = align > largest ? align : largest;
  }
  if (bias % largest === 0n) {
    return;
  }
  const header = loads.find((load) => fields.word(load + field) === largest)!;
  const below = bias - (bias % largest);
  const nearest = [below, below + largest].filter((address) => address < fields.addresses);
  throw new BadImageError(
    header + field,
    `the bias ${hex(bias)} is no multiple of ${hex(largest)}: ` +
      (nearest.length > 1
        ? `the nearest are ${nearest.map(hex).join(" and ")}`
        : `the nearest is ${hex(nearest[0] ?? fields.addresses - largest)}`),
  );
}

/** The file offset of each program header. */
function programHeaders(fields: ElfFields): number[] {
  const { header, program, section } = fields.layout;
  let count = fields.u16(header.e_phnum);
  if (count === PN_XNUM) {
    const first = firstSectionHeader(fields);
    if (first === null) {
      throw new BadImageError(header.e_phnum, "no section header has the number of segments");
    }
    count = fields.u32(first + section.sh_info);
  }
  if (count > 0 && fields.u16(header.e_phentsize) !== program.size) {
    throw new BadImageError(header.e_phentsize, `program headers are not ${program.size} bytes`);
  }
  const start = fields.word(header.e_phoff);
  if (start + BigInt(count * program.size) > BigInt(fields.bytes.length)) {
    throw new BadImageError(header.e_phoff, "the program headers reach past the end of the file");
  }
  return Array.from({ length: count }, (_, i) => Number(start) + i * program.size);
}

function readSegment(
  fields: ElfFields,
  header: number,
  addresses: "physical" | "virtual",
  bias: bigint,
): Loaded {
  const { program } = fields.layout;
  const fileOffset = fields.word(header + program.p_offset);
  const fileSize = fields.word(header + program.p_filesz);
  const size = fields.word(header + program.p_memsz);
  if (fileSize > size) {
    throw new BadImageError(
      header + program.p_filesz,
      "a segment is larger in the file than in memory",
    );
  }
  // Linkers write any offset for a segment that has no bytes in the file.
  if (fileSize !== 0n && fileOffset + fileSize > BigInt(fields.bytes.length)) {
    throw new BadImageError(
      header + program.p_offset,
      "a segment reaches past the end of the file",
    );
  }
  const field = addresses === "physical" ? program.p_paddr : program.p_vaddr;
  const gpa = fields.word(header + field) + bias;
  if (gpa + size > fields.addresses) {
    throw new BadImageError(header + field, "a segment reaches past the last address");
  }
  const flags = fields.u32(header + program.p_flags);
  const segment: ElfSegment = {
    gpa,
    vaddr: fields.word(header + program.p_vaddr) + bias,
    size,
    fileOffset: Number(fileOffset),
    fileSize: Number(fileSize),
    readable: (flags & 4) !== 0,
    writable: (flags & 2) !== 0,
    executable: (flags & 1) !== 0,
    headerOffset: header,
  };
  return { segment, paddr: fields.word(header + program.p_paddr) + bias };
}

/** The bytes of a segment in the file; null if they reach past its end. */
function contentsOf(fields: ElfFields, header: number): Buffer | null {
  const { p_offset: offsetField, p_filesz: sizeField } = fields.layout.program;
  const offset = fields.word(header + offsetField);
  const size = fields.word(header + sizeField);
  const { bytes } = fields;
  return offset + size > BigInt(bytes.length)
    ? null
    : Buffer.from(bytes.buffer, bytes.byteOffset + Number(offset), Number(size));
}

function interpreterOf(fields: ElfFields, header: number): string {
  const path = contentsOf(fields, header);
  const end = path?.indexOf(0) ?? -1;
  if (end <= 0 || end > 4096) {
    throw new BadImageError(header, "no path of a dynamic linker");
  }
  return path!.toString("utf8", 0, end);
}

/** Notes are only information, so a malformed one ends the search and is no error. */
function buildIdOf(fields: ElfFields, headers: readonly number[]): string | null {
  for (const header of headers) {
    const notes = fields.u32(header + P_TYPE) === PT_NOTE ? contentsOf(fields, header) : null;
    if (notes === null) {
      continue;
    }
    const align = fields.word(header + fields.layout.program.p_align) === 8n ? 8 : 4;
    const roundUp = (size: number): number => Math.ceil(size / align) * align;
    const start = notes.byteOffset - fields.bytes.byteOffset;
    for (let at = 0; at + 12 <= notes.length;) {
      const nameSize = fields.u32(start + at);
      const size = fields.u32(start + at + 4);
      const descriptor = roundUp(at + 12 + nameSize);
      if (descriptor + size > notes.length) {
        break;
      }
      const isGnu = notes.toString("latin1", at + 12, at + 12 + nameSize) === "GNU\0";
      if (isGnu && fields.u32(start + at + 8) === NT_GNU_BUILD_ID) {
        return notes.toString("hex", descriptor, descriptor + size);
      }
      at = roundUp(descriptor + size);
    }
  }
  return null;
}

/**
 * The number of bytes of guest memory, from its address on, that only this segment may use. A
 * segment that is loaded at its link address claims all its bytes. One that is loaded elsewhere
 * claims only those in the file: linkers give `.bss` a load address too, but put other sections
 * there.
 */
export function claimedSize({ gpa, vaddr, size, fileSize }: ElfSegment): bigint {
  return gpa === vaddr ? size : BigInt(fileSize);
}

function checkDisjoint(sorted: readonly ElfSegment[]): void {
  let end = 0n;
  for (const segment of sorted) {
    const claimed = claimedSize(segment);
    if (claimed === 0n) {
      continue;
    }
    if (segment.gpa < end) {
      throw new BadImageError(segment.headerOffset, "two segments overlap");
    }
    end = segment.gpa + claimed;
  }
}

/**
 * The entry point as a guest physical address. `e_entry` is usually a virtual address. Kernels that
 * start with the MMU off have a physical one, which may also be a virtual address of another
 * segment.
 */
function entryPoint(fields: ElfFields, loaded: readonly Loaded[], bias: bigint): bigint | null {
  const { e_entry: field } = fields.layout.header;
  const raw = fields.word(field);
  if (raw === 0n) {
    return null;
  }
  const entry = raw + bias;
  const homes = [
    ...loaded.map(({ segment }) => ({ segment, base: segment.vaddr })),
    ...loaded.map(({ segment, paddr }) => ({ segment, base: paddr })),
  ].filter(({ segment, base }) => entry >= base && entry - base < segment.size);
  const home = homes.find(({ segment }) => segment.executable) ?? homes[0];
  if (home === undefined) {
    throw new BadImageError(field, `the entry point ${hex(entry)} is in no segment`);
  }
  return home.segment.gpa + (entry - home.base);
}
