/**
 * Makes a DLL that Zig has linked reproducible, and hides what it exports besides the addon's
 * functions: Zig has no option against the timestamp, and its libunwind declares its functions as
 * exported.
 *
 * @param names - The functions that stay, in alphabetical order. No other name lies between them.
 */
export function finishDll(dll: Buffer, names: readonly string[]): void {
  const coff = dll.readUInt32LE(0x3c) + 4;
  const sections = dll.readUInt16LE(coff + 2);
  const optional = coff + 20;
  const firstSection = optional + dll.readUInt16LE(coff + 16);
  dll.writeUInt32LE(0, coff + 4);

  /** The offset in the file of an address relative to the image. */
  const offsetOf = (rva: number): number => {
    for (let i = 0; i < sections; i++) {
      const at = firstSection + 40 * i;
      const start = dll.readUInt32LE(at + 12);
      if (rva >= start && rva < start + dll.readUInt32LE(at + 16)) {
        return rva - start + dll.readUInt32LE(at + 20);
      }
    }
    throw new Error(`no section has the address 0x${rva.toString(16)}`);
  };

  // The export directory: counts, and the addresses of the tables of names and of their ordinals.
  const directory = offsetOf(dll.readUInt32LE(optional + 112));
  const count = dll.readUInt32LE(directory + 24);
  const table = dll.readUInt32LE(directory + 32);
  const exported = Array.from({ length: count }, (_, i) => {
    const at = offsetOf(dll.readUInt32LE(offsetOf(table) + 4 * i));
    return dll.toString("latin1", at, dll.indexOf(0, at));
  });
  const first = exported.indexOf(names[0]!);
  if (exported.slice(first, first + names.length).join() !== names.join()) {
    throw new Error(`it exports ${exported.join(", ")}`);
  }
  dll.writeUInt32LE(names.length, directory + 24);
  dll.writeUInt32LE(table + 4 * first, directory + 32);
  dll.writeUInt32LE(dll.readUInt32LE(directory + 36) + 2 * first, directory + 36);
}
