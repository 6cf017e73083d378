import { readdirSync, readFileSync } from "node:fs";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { BadImageError, type ElfImage, loadElf } from "pound-guest-memory/loader";
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
    ...([32, 64] as const).flatMap((bits) =>
      (["little", "big"] as const).map((endian) =>
        makeElf({
          entry: 0x2_0004n,
          bits,
          endian,
          machine: 8,
          interpreter: "/lib/ld.so.1",
          buildId: Buffer.from("c0ffee", "hex"),
          segments: [{ vaddr: 0x2_0000n, bytes, flags: 5 }],
          symbols: [
            { name: "start", value: 0x2_0004n, size: 8 },
            { name: "label", value: 0x2_0006n, info: 0 },
          ],
        }),
      ),
    ),
  ];
}

/** The fields, whose offsets depend on the class. The values that are written are little-endian. */
function fields(file: Buffer): Field[] {
  if (file.length < 64) {
    return [];
  }
  const is64 = file[4] === 2;
  const isBig = file[5] === 2;
  const [word, program, section, symbol] = is64 ? [8, 56, 64, 24] : [4, 32, 40, 16];
  const half = (at: number): number => (isBig ? file.readUInt16BE(at) : file.readUInt16LE(at));
  const long = (at: number): number => {
    if (at + 4 > file.length) {
      return 0;
    }
    return isBig ? file.readUInt32BE(at) : file.readUInt32LE(at);
  };
  // The low half of a word: no seed is larger than that.
  const low = (at: number): number => long(is64 && isBig ? at + 4 : at);
  const size = word as 4 | 8;
  const all: Field[] = [16, 18].map((offset) => ({ offset, size: 2 as const }));
  for (const offset of [24, 24 + word, 24 + 2 * word]) {
    all.push({ offset, size });
  }
  const tail = 24 + 3 * word + 4;
  for (let offset = tail; offset < tail + 12; offset += 2) {
    all.push({ offset, size: 2 });
  }
  const addRows = (start: number, count: number, row: number): void => {
    for (let at = start, left = Math.min(count, 64); left > 0; left--, at += row) {
      for (let offset = at; offset < at + row; offset += 4) {
        all.push({ offset, size: 4 });
      }
    }
  };
  addRows(low(24 + word), half(tail + 4), program);
  const sections = low(24 + 2 * word);
  addRows(sections, half(tail + 8), section);
  addRows(low(sections + 2 * section + (is64 ? 24 : 16)), 3, symbol);
  return all;
}

/** Restores the fields without which every file is refused. ELF files have no checksums. */
function repair(file: Buffer): Buffer {
  const [bits, order] = [file[4] === 1 ? "\x01" : "\x02", file[5] === 2 ? "\x02" : "\x01"];
  file.write(`\x7fELF${bits}${order}\x01`.slice(0, file.length), "latin1");
  return file;
}

function run(file: Buffer, _path: string, random: Randomness): void {
  const addresses = random.below(2) === 0 ? "physical" : "virtual";
  const bias = [0, 0, 0x1000, 0x10000][random.below(4)]!;
  const flag = (): boolean => random.below(4) !== 0;
  const options = { addresses, bias, symbols: flag(), allowInterpreter: flag() } as const;
  if (random.below(2) === 0) {
    look(loadElf(space, file, options));
    return;
  }
  try {
    look(loadElf(memory, file, options));
  } catch (error) {
    if (memory.compare(0, untouched) !== 0) {
      throw new Error("a file that is refused changed memory", { cause: error });
    }
    throw error;
  }
  memory.write(0, untouched);
}

function look({ symbols, segments }: ElfImage): void {
  symbols?.find("start");
  for (const { gpa, vaddr } of segments) {
    symbols?.at(vaddr + 5n);
    symbols?.atGpa(gpa);
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof BadImageError;
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
