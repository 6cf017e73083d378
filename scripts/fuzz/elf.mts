import { readdirSync, readFileSync } from "node:fs";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { BadImageError, loadElf } from "pound-guest-memory/loader";
import { makeElf } from "../../test/support/elf-file.js";
import type { Field, Randomness, Target } from "./framework.mjs";

const FIXTURES = new URL("../../test/fixtures/elf/", import.meta.url);
const RAM = 2 ** 21;
const HIGH = 0xffff_ffff_8100_0000n;

const memory = GuestMemory.allocate(RAM);
const untouched = Buffer.alloc(RAM, 0xa5);
memory.write(0, untouched);
const space = new AddressSpace();
space.addRom(0, new Uint8Array(0x1000), { name: "rom" });
space.addMmio(0x8000, 0x1000, {}, { name: "uart" });
space.addRam(0x10000, 0x20_0000, { trackDirty: true });
space.addRam(2n ** 64n - 0x10000n, 0x10000);

function seeds(): Buffer[] {
  const fixtures = readdirSync(FIXTURES).filter((name) => name.endsWith(".elf"));
  const bytes = Buffer.from("bytes of a segment");
  return [
    ...fixtures.map((name) => readFileSync(new URL(name, FIXTURES))),
    makeElf({
      entry: 0x1_0000n,
      segments: [
        { vaddr: HIGH, paddr: 0x1_0000n, bytes, flags: 5, align: 0x1000n },
        { vaddr: 0n, paddr: 0x1_1000n, bytes, flags: 6 },
        { vaddr: HIGH + 0x2000n, paddr: 0x1_2000n, bytes, memsz: 0x2000, flags: 6 },
      ],
    }),
    makeElf({
      entry: 0n,
      machine: 183,
      segments: [
        { vaddr: 0x10_0000n, paddr: 0x2_0000n, bytes, memsz: 0x4000, flags: 6 },
        { vaddr: 0x2_0020n, bytes, flags: 5 },
      ],
    }),
  ];
}

function fields(file: Buffer): Field[] {
  if (file.length < 64) {
    return [];
  }
  const all: Field[] = [
    ...([16, 18, 52, 54, 56] as const).map((offset) => ({ offset, size: 2 as const })),
    ...([24, 32] as const).map((offset) => ({ offset, size: 8 as const })),
  ];
  const start = Number(file.readBigUInt64LE(32));
  const count = file.readUInt16LE(56);
  for (let at = start, left = count; left > 0 && at + 56 <= file.length; left--, at += 56) {
    all.push({ offset: at, size: 4 }, { offset: at + 4, size: 4 });
    for (let offset = at + 8; offset < at + 56; offset += 8) {
      all.push({ offset, size: 8 });
    }
  }
  return all;
}

/** Restores the fields without which every file is refused. ELF files have no checksums. */
function repair(file: Buffer): Buffer {
  file.write("\x7fELF\x02\x01\x01".slice(0, file.length), "latin1");
  return file;
}

function run(file: Buffer, _path: string, random: Randomness): void {
  const addresses = random.below(2) === 0 ? "physical" : "virtual";
  const bias = [0, 0, 0x1000, 0x10000][random.below(4)]!;
  if (random.below(2) === 0) {
    loadElf(space, file, { addresses, bias });
    return;
  }
  try {
    loadElf(memory, file, { addresses, bias });
  } catch (error) {
    if (memory.compare(0, untouched) !== 0) {
      throw new Error("a file that is refused changed memory", { cause: error });
    }
    throw error;
  }
  memory.write(0, untouched);
}

function isRefusal(error: unknown): boolean {
  return error instanceof BadImageError;
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
