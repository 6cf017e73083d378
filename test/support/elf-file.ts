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

/** The contents of a test file. */
export interface ElfSpec {
  readonly entry: bigint;
  readonly segments: readonly SegmentSpec[];
  /** `e_machine`; that of x86-64 by default. */
  readonly machine?: number;
  /** `e_type`; `ET_EXEC` (2) by default. */
  readonly type?: number;
}

/** Makes an ELF64 file: the header, the program headers, the bytes of the segments. */
export function makeElf({ entry, segments, machine = 62, type = 2 }: ElfSpec): Buffer {
  const head = Buffer.alloc(64 + 56 * segments.length);
  head.write("\x7fELF\x02\x01\x01", "latin1");
  head.writeUInt16LE(type, 16);
  head.writeUInt16LE(machine, 18);
  head.writeUInt32LE(1, 20);
  head.writeBigUInt64LE(entry, 24);
  head.writeBigUInt64LE(64n, 32);
  head.writeUInt16LE(64, 52);
  head.writeUInt16LE(56, 54);
  head.writeUInt16LE(segments.length, 56);
  let offset = head.length;
  segments.forEach(({ vaddr, paddr, bytes, memsz, flags = 7, align = 1n }, i) => {
    const at = 64 + 56 * i;
    head.writeUInt32LE(1, at);
    head.writeUInt32LE(flags, at + 4);
    head.writeBigUInt64LE(BigInt(offset), at + 8);
    head.writeBigUInt64LE(vaddr, at + 16);
    head.writeBigUInt64LE(paddr ?? vaddr, at + 24);
    head.writeBigUInt64LE(BigInt(bytes.length), at + 32);
    head.writeBigUInt64LE(BigInt(memsz ?? bytes.length), at + 40);
    head.writeBigUInt64LE(align, at + 48);
    offset += bytes.length;
  });
  return Buffer.concat([head, ...segments.map(({ bytes }) => bytes)]);
}
