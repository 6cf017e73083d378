/** A `PT_LOAD` segment of a test file. */
export interface SegmentSpec {
  readonly vaddr: bigint;
  /** The default is `vaddr`. */
  readonly paddr?: bigint;
  /** Its bytes in the file. */
  readonly bytes: Uint8Array;
  /** Bytes in memory; by default as many as in the file. */
  readonly memsz?: number;
  /** Read (4), write (2), execute (1); 7 by default. */
  readonly flags?: number;
  readonly align?: bigint;
}

/** A symbol of a test file, in its only section with contents. */
export interface SymbolSpec {
  readonly name: string;
  readonly value: bigint;
  readonly size?: number;
  /** `st_info`: binding * 16 + type; a global function (0x12) by default. */
  readonly info?: number;
  /** `st_shndx`; the section `.text` (1) by default. */
  readonly shndx?: number;
}

/** The contents of a test file. */
export interface ElfSpec {
  readonly entry: bigint;
  readonly segments: readonly SegmentSpec[];
  /** `e_machine`; that of x86-64 by default. */
  readonly machine?: number;
  /** `e_type`; `ET_EXEC` (2) by default. */
  readonly type?: number;
  readonly bits?: 32 | 64;
  readonly endian?: "little" | "big";
  /** The path of `PT_INTERP`. */
  readonly interpreter?: string;
  readonly buildId?: Uint8Array;
  /** Adds section headers: null, `.text` (the first segment), `.symtab`, `.strtab`. */
  readonly symbols?: readonly SymbolSpec[];
}

/**
 * Makes an ELF file: the header, the program headers, the bytes of the segments, the sections.
 * 0xffff program headers or more are counted in section header 0.
 */
export function makeElf({
  entry,
  segments,
  machine = 62,
  type = 2,
  bits = 64,
  endian = "little",
  interpreter,
  buildId,
  symbols,
}: ElfSpec): Buffer {
  const [headerSize, programSize, sectionSize] = bits === 64 ? [64, 56, 64] : [52, 32, 40];
  const number = (value: number | bigint, size: 2 | 4 | 8): Buffer => {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt(value));
    const part = bytes.subarray(0, size);
    return endian === "big" ? part.reverse() : part;
  };
  const half = (value: number): Buffer => number(value, 2);
  const long = (value: number): Buffer => number(value, 4);
  const word = (value: number | bigint): Buffer => number(value, bits === 64 ? 8 : 4);

  const parts = segments.map((segment) => ({ type: 1, ...segment }));
  if (interpreter !== undefined) {
    parts.push({ type: 3, vaddr: 0n, bytes: Buffer.from(`${interpreter}\0`) });
  }
  if (buildId !== undefined) {
    const note = [long(4), long(buildId.length), long(3), Buffer.from("GNU\0"), buildId];
    parts.push({ type: 4, vaddr: 0n, bytes: Buffer.concat(note), align: 4n });
  }
  const isMany = parts.length >= 0xffff;
  const hasSections = symbols !== undefined || isMany;

  let offset = headerSize + programSize * parts.length;
  const start = offset;
  const headers = parts.map((part) => {
    const { vaddr, paddr = vaddr, bytes, memsz = bytes.length, flags = 7, align = 1n } = part;
    const at = offset;
    offset += bytes.length;
    const middle = [at, vaddr, paddr, bytes.length, memsz].map(word);
    return Buffer.concat(
      bits === 64
        ? [long(part.type), long(flags), ...middle, word(align)]
        : [long(part.type), ...middle, long(flags), word(align)],
    );
  });

  const sections: Buffer[] = [];
  const contents: Buffer[] = [];
  const names = "\0.text\0.symtab\0.strtab\0";
  const section = ([name, kind, flags, address, at, size, link, info, entry]: readonly (
    number | bigint
  )[]): Buffer =>
    Buffer.concat([
      long(Number(name)),
      long(Number(kind)),
      ...[flags!, address!, at!, size!].map(word),
      long(Number(link)),
      long(Number(info)),
      word(1),
      word(entry!),
    ]);
  if (hasSections) {
    sections.push(section([0, 0, 0, 0, 0, 0, 0, isMany ? parts.length : 0, 0]));
  }
  if (symbols !== undefined) {
    const [first] = segments;
    let strings = names;
    const table = Buffer.concat([
      Buffer.alloc(bits === 64 ? 24 : 16),
      ...symbols.map(({ name, value, size = 0, info = 0x12, shndx = 1 }) => {
        const at = long(Buffer.byteLength(strings));
        strings += `${name}\0`;
        return Buffer.concat(
          bits === 64
            ? [at, Buffer.of(info, 0), half(shndx), word(value), word(size)]
            : [at, word(value), word(size), Buffer.of(info, 0), half(shndx)],
        );
      }),
    ]);
    const text = Buffer.from(strings);
    contents.push(table, text);
    sections.push(
      section([1, 1, 6, first!.vaddr, start, first!.memsz ?? first!.bytes.length, 0, 0, 0]),
      section([7, 2, 0, 0, offset, table.length, 3, 1, bits === 64 ? 24 : 16]),
      section([15, 3, 0, 0, offset + table.length, text.length, 0, 0, 0]),
    );
    offset += table.length + text.length;
  }

  const header = Buffer.concat([
    Buffer.from(`\x7fELF${bits === 64 ? "\x02" : "\x01"}`, "latin1"),
    Buffer.of(endian === "big" ? 2 : 1, 1),
    Buffer.alloc(9),
    ...[half(type), half(machine), long(1)],
    ...[word(entry), word(headerSize), word(hasSections ? offset : 0), long(0)],
    ...[half(headerSize), half(programSize), half(isMany ? 0xffff : parts.length)],
    ...[half(sectionSize), half(sections.length), half(symbols === undefined ? 0 : 3)],
  ]);
  return Buffer.concat([
    header,
    ...headers,
    ...parts.map(({ bytes }) => bytes),
    ...contents,
    ...sections,
  ]);
}
