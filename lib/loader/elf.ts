import { MAX_U64 } from "../base/gpa.js";
import { BadImageError } from "./bad-image.js";

/*
 * Reads ELF64 headers. A file is untrusted: every field is checked before it is used, and a wrong
 * one is a BadImageError with the offset of the field.
 */

/** An instruction set whose executables can be loaded. */
export type ElfMachine = "aarch64" | "riscv" | "x86-64";

/** Options of `loadElf`. */
export interface ElfOptions {
  /** The instruction set that the file must be for; any known one by default. */
  readonly machine?: ElfMachine;
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
  readonly machine: ElfMachine;
  /** `e_flags`, as defined by the ABI of the instruction set. */
  readonly flags: number;
  /**
   * Guest physical address of the entry point, with the bias. It lies in a segment. Null if the
   * file has none, that is, if `e_entry` is 0.
   */
  readonly entry: bigint | null;
  /** In ascending order of address. The file's bytes of two segments never overlap in memory. */
  readonly segments: readonly ElfSegment[];
}

const HEADER_SIZE = 64;
const PROGRAM_HEADER_SIZE = 56;
const MAGIC = 0x7f454c46; // "\x7fELF", as big-endian
const ET_EXEC = 2;
const ET_DYN = 3;
const PN_XNUM = 0xffff;
const PT_LOAD = 1;
const PT_INTERP = 3;

// The instruction sets by `e_machine`.
const MACHINES: ReadonlyMap<number, ElfMachine> = new Map([
  [62, "x86-64"],
  [183, "aarch64"],
  [243, "riscv"],
]);

/** Every {@link ElfMachine}. */
export const ELF_MACHINES: readonly ElfMachine[] = [...MACHINES.values()];

// Offsets of the fields, with the names of the ELF specification.
const EI_CLASS = 4;
const EI_DATA = 5;
const EI_VERSION = 6;
const E_TYPE = 16;
const E_MACHINE = 18;
const E_VERSION = 20;
const E_ENTRY = 24;
const E_PHOFF = 32;
const E_FLAGS = 48;
const E_EHSIZE = 52;
const E_PHENTSIZE = 54;
const E_PHNUM = 56;
const P_TYPE = 0;
const P_FLAGS = 4;
const P_OFFSET = 8;
const P_VADDR = 16;
const P_PADDR = 24;
const P_FILESZ = 32;
const P_MEMSZ = 40;
const P_ALIGN = 48;

/**
 * Reads and checks the headers of an ELF64 file.
 *
 * @param file - All bytes of the file.
 * @param bias - {@link ElfOptions.bias}, checked.
 * @throws {@link BadImageError}
 */
export function parseElf(
  file: Uint8Array,
  { machine, addresses = "physical" }: ElfOptions,
  bias: bigint,
): ElfImage {
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  checkIdentity(view);
  const found = checkMachine(view, machine);
  checkType(view, bias);
  const loaded = readSegments(view, addresses, bias);
  return {
    machine: found,
    flags: view.getUint32(E_FLAGS, true),
    entry: entryPoint(view, loaded, bias),
    segments: loaded.map(({ segment }) => segment),
  };
}

/** A segment with its physical and its virtual address. */
interface Loaded {
  readonly segment: ElfSegment;
  /** `p_paddr`, with the bias. */
  readonly paddr: bigint;
}

function checkIdentity(view: DataView): void {
  if (view.byteLength < 4 || view.getUint32(0) !== MAGIC) {
    throw new BadImageError(0, "not an ELF file");
  }
  if (view.byteLength < HEADER_SIZE) {
    throw new BadImageError(view.byteLength, `the file ends within its ${HEADER_SIZE}-byte header`);
  }
  expectByte(view, EI_CLASS, 2, "not an ELF64 file");
  expectByte(view, EI_DATA, 1, "not little-endian");
  expectByte(view, EI_VERSION, 1, "not of ELF version 1");
  if (view.getUint32(E_VERSION, true) !== 1) {
    throw new BadImageError(E_VERSION, "not of ELF version 1");
  }
  if (view.getUint16(E_EHSIZE, true) < HEADER_SIZE) {
    throw new BadImageError(E_EHSIZE, `the header is smaller than ${HEADER_SIZE} bytes`);
  }
}

function expectByte(view: DataView, offset: number, expected: number, reason: string): void {
  if (view.getUint8(offset) !== expected) {
    throw new BadImageError(offset, reason);
  }
}

function checkMachine(view: DataView, wanted: ElfMachine | undefined): ElfMachine {
  const number = view.getUint16(E_MACHINE, true);
  const machine = MACHINES.get(number);
  if (machine === undefined) {
    throw new BadImageError(E_MACHINE, `for an unknown machine, number ${number}`);
  }
  if (wanted !== undefined && machine !== wanted) {
    throw new BadImageError(E_MACHINE, `for ${machine}, not ${wanted}`);
  }
  return machine;
}

function checkType(view: DataView, bias: bigint): void {
  const type = view.getUint16(E_TYPE, true);
  if (type !== ET_EXEC && type !== ET_DYN) {
    throw new BadImageError(E_TYPE, `not an executable: ELF type ${type}`);
  }
  if (type === ET_EXEC && bias !== 0n) {
    throw new BadImageError(E_TYPE, "linked to fixed addresses, so no bias can move it");
  }
}

function readSegments(view: DataView, addresses: "physical" | "virtual", bias: bigint): Loaded[] {
  const headers = programHeaders(view);
  const interpreter = headers.find((header) => view.getUint32(header + P_TYPE, true) === PT_INTERP);
  if (interpreter !== undefined) {
    throw new BadImageError(interpreter, "needs a dynamic linker");
  }
  const loads = headers.filter((header) => view.getUint32(header + P_TYPE, true) === PT_LOAD);
  checkAlignment(view, loads, bias);
  const loaded = loads
    .map((header) => readSegment(view, header, addresses, bias))
    // Empty segments take up no memory.
    .filter(({ segment }) => segment.size !== 0n);
  if (loaded.length === 0) {
    throw new BadImageError(E_PHNUM, "no segment to load");
  }
  loaded.sort(({ segment: a }, { segment: b }) => (a.gpa < b.gpa ? -1 : Number(a.gpa > b.gpa)));
  checkDisjoint(loaded.map(({ segment }) => segment));
  return loaded;
}

/** Checks that the bias keeps the alignment of every segment. */
function checkAlignment(view: DataView, loads: readonly number[], bias: bigint): void {
  // Alignments are powers of two, so the largest is a multiple of all others.
  let largest = 1n;
  for (const header of loads) {
    const align = view.getBigUint64(header + P_ALIGN, true);
    if ((align & (align - 1n)) !== 0n) {
      throw new BadImageError(header + P_ALIGN, "an alignment that is no power of two");
    }
    largest = align > largest ? align : largest;
  }
  if (bias % largest === 0n) {
    return;
  }
  const header = loads.find((load) => view.getBigUint64(load + P_ALIGN, true) === largest)!;
  const below = bias - (bias % largest);
  const nearest = [below, below + largest].filter((address) => address <= MAX_U64);
  throw new BadImageError(
    header + P_ALIGN,
    `the bias ${hex(bias)} is no multiple of ${hex(largest)}: ` +
      `the nearest ${nearest.length > 1 ? "are" : "is"} ${nearest.map(hex).join(" and ")}`,
  );
}

/** The file offset of each program header. */
function programHeaders(view: DataView): number[] {
  const count = view.getUint16(E_PHNUM, true);
  if (count === PN_XNUM) {
    throw new BadImageError(E_PHNUM, "more program headers than an executable has");
  }
  if (count > 0 && view.getUint16(E_PHENTSIZE, true) !== PROGRAM_HEADER_SIZE) {
    throw new BadImageError(E_PHENTSIZE, `program headers are not ${PROGRAM_HEADER_SIZE} bytes`);
  }
  const start = view.getBigUint64(E_PHOFF, true);
  if (start + BigInt(count * PROGRAM_HEADER_SIZE) > BigInt(view.byteLength)) {
    throw new BadImageError(E_PHOFF, "the program headers reach past the end of the file");
  }
  return Array.from({ length: count }, (_, i) => Number(start) + i * PROGRAM_HEADER_SIZE);
}

function readSegment(
  view: DataView,
  header: number,
  addresses: "physical" | "virtual",
  bias: bigint,
): Loaded {
  const u64 = (field: number) => view.getBigUint64(header + field, true);
  const fileOffset = u64(P_OFFSET);
  const fileSize = u64(P_FILESZ);
  const size = u64(P_MEMSZ);
  if (fileSize > size) {
    throw new BadImageError(header + P_FILESZ, "a segment is larger in the file than in memory");
  }
  // Linkers write any offset for a segment that has no bytes in the file.
  if (fileSize !== 0n && fileOffset + fileSize > BigInt(view.byteLength)) {
    throw new BadImageError(header + P_OFFSET, "a segment reaches past the end of the file");
  }
  const field = addresses === "physical" ? P_PADDR : P_VADDR;
  const gpa = u64(field) + bias;
  if (gpa + size > MAX_U64 + 1n) {
    throw new BadImageError(header + field, "a segment reaches past the last address");
  }
  const flags = view.getUint32(header + P_FLAGS, true);
  const segment: ElfSegment = {
    gpa,
    vaddr: u64(P_VADDR) + bias,
    size,
    fileOffset: Number(fileOffset),
    fileSize: Number(fileSize),
    readable: (flags & 4) !== 0,
    writable: (flags & 2) !== 0,
    executable: (flags & 1) !== 0,
    headerOffset: header,
  };
  return { segment, paddr: u64(P_PADDR) + bias };
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
function entryPoint(view: DataView, loaded: readonly Loaded[], bias: bigint): bigint | null {
  const raw = view.getBigUint64(E_ENTRY, true);
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
    throw new BadImageError(E_ENTRY, `the entry point ${hex(entry)} is in no segment`);
  }
  return home.segment.gpa + (entry - home.base);
}

function hex(value: bigint): string {
  return `0x${value.toString(16)}`;
}
