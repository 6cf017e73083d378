/** The bytes of a page table whose entries are all the same, little-endian on every host. */
export function tableOf(entry: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(entry);
  return Buffer.alloc(4096, bytes);
}
