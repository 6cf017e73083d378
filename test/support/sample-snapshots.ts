import { join } from "node:path";
import { AddressSpace } from "pound-guest-memory";
import { saveSnapshot, type Snapshot } from "pound-guest-memory/snapshot";

export const DRAM = 0x4000_0000;
export const HIGH = 0x1_0000_0000;
export const HIGH_SIZE = 4 * 2 ** 30;
/** The offset, in the high RAM, of the bytes that lie across its last two pages. */
export const LAST = HIGH_SIZE - 4096 - 3;

/** The files of two snapshots of a chain: ROM, a device, and 5 MiB and 4 GiB of RAM. */
export interface Samples {
  readonly older: string;
  readonly newer: string;
  readonly snapshots: readonly [older: Snapshot, newer: Snapshot];
}

/** Writes the sample snapshots into a folder. */
export async function writeSamples(folder: string): Promise<Samples> {
  const space = new AddressSpace();
  space.addRom(0, Buffer.from("boot code of a few bytes"), { name: "rom" });
  space.addMmio(0x9000, 0x100, {}, { name: "uart" });
  space.addRam(DRAM, 5 * 2 ** 20 + 100, { name: "dram", trackDirty: true });
  space.addRam(HIGH, HIGH_SIZE, { name: "high", trackDirty: true });
  space.write(DRAM + 4096 - 4, Buffer.from("straddle"));
  space.write(DRAM + 0x10_0000, Buffer.from("needle one"));
  space.write(DRAM + 5 * 2 ** 20 + 90, Buffer.from("needle two"));
  space.write(HIGH + LAST, Buffer.from("the end of it"));
  const older = space.snapshot();
  space.writel(DRAM + 0x20_0000, 0x4048_f5c3);
  space.writel(DRAM + 0x20_0020, 1);
  space.write(HIGH + LAST, Buffer.from("THE end of it"));
  const newer = space.snapshot(older);
  const paths = { older: join(folder, "older.snap"), newer: join(folder, "newer.snap") };
  // The tests copy them, which would fill the holes of mappable files.
  await saveSnapshot(older, paths.older, { mappable: false });
  await saveSnapshot(newer, paths.newer, { mappable: false });
  return { ...paths, snapshots: [older, newer] };
}
