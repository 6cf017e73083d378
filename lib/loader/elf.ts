import { MAX_U64 } from "../gpa.js";
import { BadImageError } from "./bad-image.js";

/*
 * Reads ELF64 headers. A file is untrusted: nothing it says is used before it has been checked, and
 * whatever is wrong is a BadImageError with the offset of the field that says so.
 */

/** An instruction set that `parseElf` knows, by the name users know it by. */
export type ElfMachine = "aarch64" | "riscv" | "x86-64";

/** How to read an ELF file. */
export interface ElfOptions {
  /** The instruction set the file must be for; any known one by default. */
  readonly machine?: ElfMachine;
  /**
   * Where segments go: by `p_paddr`, as firmware and kernels want, or by `p_vaddr`. `"physical"` by
   * default.
   */
  readonly addresses?: "physical" | "virtual";
  /**
   * Bytes that a position-independent file (`ET_DYN`) is moved up by; 0 by default. Its relocations
   * are its own business: the code of a static one applies them as it starts.
   */
  readonly bias?: number | bigint;
}

/** A `PT_LOAD` segment that takes up memory. */
export interface ElfSegment {
  /** Guest physical address of the first byte, with the bias. */
  readonly gpa: bigint;
  /** The virtual address that the code was linked to, with the bias. */
  readonly vaddr: bigint;
  /** Bytes in memory. Those past {@link ElfSegment.fileSize} are zero. */
  readonly size: bigint;
  /** Where its bytes start in the file. */
  readonly fileOffset: number;
  /** Bytes in the file: at most {@link ElfSegment.size}. */
  readonly fileSize: number;
  readonly readable: boolean;
  readonly writable: boolean;
  readonly executable: boolean;
  /** Where its program header starts in the file. */
  readonly headerOffset: number;
}

/** What an ELF file asks for. */
export interface ElfImage {
  readonly machine: ElfMachine;
  /** `e_flags`: what the instruction set's ABI says of the code. */
  readonly flags: number;
  /** Guest physical address to start at, with the bias. It lies in a segment. */
  readonly entry: bigint;
  /** In ascending order of address; they do not overlap. */
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

// By `e_machine`.
const MACHINES: ReadonlyMap<number, ElfMachine> = new Map([
  [62, "x86-64"],
  [183, "aarch64"],
  [243, "riscv"],
]);

/** Every {@link ElfMachine}. */
export const ELF_MACHINES: readonly ElfMachine[] = [...MACHINES.values()];

// Offsets of the fields, as the ELF specification names them.
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
  const segments = readSegments(view, addresses, bias);
  return {
    machine: found,
    flags: view.getUint32(E_FLAGS, true),
    entry: entryPoint(view, segments, bias),
    segments,
  };
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

function readSegments(
  view: DataView,
  addresses: "physical" | "virtual",
  bias: bigint,
): ElfSegment[] {
  const segments: ElfSegment[] = [];
  for (const header of programHeaders(view)) {
    const type = view.getUint32(header + P_TYPE, true);
    if (type === PT_INTERP) {
      throw new BadImageError(header, "needs a dynamic linker");
    }
    if (type === PT_LOAD) {
      const segment = readSegment(view, header, addresses, bias);
      // Empty ones put nothing anywhere.
      if (segment.size !== 0n) {
        segments.push(segment);
      }
    }
  }
  if (segments.length === 0) {
    throw new BadImageError(E_PHNUM, "no segment to load");
  }
  segments.sort((a, b) => (a.gpa < b.gpa ? -1 : Number(a.gpa > b.gpa)));
  checkDisjoint(segments);
  return segments;
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
): ElfSegment {
  const u64 = (field: number) => view.getBigUint64(header + field, true);
  const fileOffset = u64(P_OFFSET);
  const fileSize = u64(P_FILESZ);
  const size = u64(P_MEMSZ);
  const align = u64(P_ALIGN);
  if (fileSize > size) {
    throw new BadImageError(header + P_FILESZ, "a segment is larger in the file than in memory");
  }
  // Where no byte comes from the file, linkers let the offset be anything.
  if (fileSize !== 0n && fileOffset + fileSize > BigInt(view.byteLength)) {
    throw new BadImageError(header + P_OFFSET, "a segment reaches past the end of the file");
  }
  if ((align & (align - 1n)) !== 0n) {
    throw new BadImageError(header + P_ALIGN, "an alignment that is no power of two");
  }
  if (align !== 0n && bias % align !== 0n) {
    throw new BadImageError(header + P_ALIGN, `the bias is no multiple of 0x${align.toString(16)}`);
  }
  const field = addresses === "physical" ? P_PADDR : P_VADDR;
  const gpa = u64(field) + bias;
  if (gpa + size > MAX_U64 + 1n) {
    throw new BadImageError(header + field, "a segment reaches past the last address");
  }
  const flags = view.getUint32(header + P_FLAGS, true);
  return {
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
}

function checkDisjoint(sorted: readonly ElfSegment[]): void {
  for (const [i, segment] of sorted.entries()) {
    const next = sorted[i + 1];
    if (next !== undefined && segment.gpa + segment.size > next.gpa) {
      throw new BadImageError(next.headerOffset, "two segments overlap");
    }
  }
}

/** The entry point, which the file gives as a virtual address, as a guest physical one. */
function entryPoint(view: DataView, segments: readonly ElfSegment[], bias: bigint): bigint {
  const entry = view.getBigUint64(E_ENTRY, true) + bias;
  const home = segments.find(({ vaddr, size }) => entry >= vaddr && entry - vaddr < size);
  if (home === undefined) {
    throw new BadImageError(E_ENTRY, `the entry point 0x${entry.toString(16)} is in no segment`);
  }
  return home.gpa + (entry - home.vaddr);
}
