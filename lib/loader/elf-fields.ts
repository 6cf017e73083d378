/*
 * The fields of ELF headers, for both classes and both byte orders. The names are those of the ELF
 * specification.
 */

/** The offsets of the fields of one ELF class. */
interface Layout {
  /** Bytes of an address, an offset or a size. */
  readonly wordSize: 4 | 8;
  readonly header: {
    readonly size: number;
    readonly e_entry: number;
    readonly e_phoff: number;
    readonly e_shoff: number;
    readonly e_flags: number;
    readonly e_ehsize: number;
    readonly e_phentsize: number;
    readonly e_phnum: number;
    readonly e_shentsize: number;
    readonly e_shnum: number;
    readonly e_shstrndx: number;
  };
  readonly program: {
    readonly size: number;
    readonly p_flags: number;
    readonly p_offset: number;
    readonly p_vaddr: number;
    readonly p_paddr: number;
    readonly p_filesz: number;
    readonly p_memsz: number;
    readonly p_align: number;
  };
  readonly section: {
    readonly size: number;
    readonly sh_addr: number;
    readonly sh_offset: number;
    readonly sh_size: number;
    readonly sh_link: number;
    readonly sh_info: number;
    readonly sh_entsize: number;
  };
  readonly symbol: {
    readonly size: number;
    readonly st_info: number;
    readonly st_shndx: number;
    readonly st_value: number;
    readonly st_size: number;
  };
}

const ELF32: Layout = {
  wordSize: 4,
  header: {
    size: 52,
    e_entry: 24,
    e_phoff: 28,
    e_shoff: 32,
    e_flags: 36,
    e_ehsize: 40,
    e_phentsize: 42,
    e_phnum: 44,
    e_shentsize: 46,
    e_shnum: 48,
    e_shstrndx: 50,
  },
  program: {
    size: 32,
    p_flags: 24,
    p_offset: 4,
    p_vaddr: 8,
    p_paddr: 12,
    p_filesz: 16,
    p_memsz: 20,
    p_align: 28,
  },
  section: {
    size: 40,
    sh_addr: 12,
    sh_offset: 16,
    sh_size: 20,
    sh_link: 24,
    sh_info: 28,
    sh_entsize: 36,
  },
  symbol: { size: 16, st_info: 12, st_shndx: 14, st_value: 4, st_size: 8 },
};

const ELF64: Layout = {
  wordSize: 8,
  header: {
    size: 64,
    e_entry: 24,
    e_phoff: 32,
    e_shoff: 40,
    e_flags: 48,
    e_ehsize: 52,
    e_phentsize: 54,
    e_phnum: 56,
    e_shentsize: 58,
    e_shnum: 60,
    e_shstrndx: 62,
  },
  program: {
    size: 56,
    p_flags: 4,
    p_offset: 8,
    p_vaddr: 16,
    p_paddr: 24,
    p_filesz: 32,
    p_memsz: 40,
    p_align: 48,
  },
  section: {
    size: 64,
    sh_addr: 16,
    sh_offset: 24,
    sh_size: 32,
    sh_link: 40,
    sh_info: 44,
    sh_entsize: 56,
  },
  symbol: { size: 24, st_info: 4, st_shndx: 6, st_value: 8, st_size: 16 },
};

// Offsets that both classes share.
export const EI_CLASS = 4;
export const EI_DATA = 5;
export const EI_VERSION = 6;
export const E_TYPE = 16;
export const E_MACHINE = 18;
export const E_VERSION = 20;
export const P_TYPE = 0;
export const SH_NAME = 0;
export const SH_TYPE = 4;
export const ST_NAME = 0;

/** Reads the fields of one file. An offset must lie in the file. */
export class ElfFields {
  readonly bits: 32 | 64;
  readonly endian: "little" | "big";
  readonly layout: Layout;
  /** The number of addresses: 2^32 or 2^64. */
  readonly addresses: bigint;
  readonly #view: DataView;
  readonly #little: boolean;

  constructor(
    readonly bytes: Uint8Array,
    bits: 32 | 64,
    endian: "little" | "big",
  ) {
    this.bits = bits;
    this.endian = endian;
    this.layout = bits === 64 ? ELF64 : ELF32;
    this.addresses = 1n << BigInt(bits);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#little = endian === "little";
  }

  u16(offset: number): number {
    return this.#view.getUint16(offset, this.#little);
  }

  u32(offset: number): number {
    return this.#view.getUint32(offset, this.#little);
  }

  /** An address, an offset or a size, of the width of the class. */
  word(offset: number): bigint {
    return this.layout.wordSize === 8
      ? this.#view.getBigUint64(offset, this.#little)
      : BigInt(this.#view.getUint32(offset, this.#little));
  }
}
