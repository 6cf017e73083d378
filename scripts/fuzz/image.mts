import { gzipSync } from "node:zlib";
import { AddressSpace } from "pound-guest-memory";
import { BadImageError, loadImage } from "pound-guest-memory/loader";
import {
  makeLinux,
  makeUf2,
  makeUimage,
  signUimage,
  SREC_EXAMPLE,
} from "../../test/support/image-files.js";
import type { Field, Randomness, Target } from "./framework.mjs";

const RAM = 2 ** 20;
const space = new AddressSpace();
const ram = space.addRam(0, RAM).memory;
space.addRam(0x8000_0000, 2 ** 22);
const untouched = Buffer.alloc(RAM, 0xa5);
ram.write(0, untouched);

const HEX = [
  ":10010000214601360121470136007EFE09D2190140",
  ":100110002146017E17C20001FF5F16002148011928",
  ":020000021000EC",
  ":0400000001020304F2",
  ":020000040008F2",
  ":01FFFF00AA57",
  ":0400000500000100F6",
  ":00000001FF",
  "",
].join("\n");
const SREC = [...SREC_EXAMPLE, ""].join("\r\n");

function seeds(): Buffer[] {
  const bytes = Buffer.alloc(256, 7);
  // The data of a uImage of two files: the list of their sizes, and the files.
  const several = Buffer.concat([Buffer.from("000000640000006400000000", "hex"), bytes]);
  const blocks = [0, 1, 2].map((number) => ({
    gpa: 0x1000 + 256 * number,
    bytes,
    number,
    count: 3,
  }));
  return [
    Buffer.from(HEX),
    Buffer.from(HEX),
    Buffer.from(SREC),
    Buffer.from(SREC),
    makeUf2(blocks),
    makeUf2([...blocks, ...blocks].map((block, i) => ({ ...block, family: i < 3 ? 1 : 2 }))),
    makeUf2(blocks.map((block) => ({ ...block, tags: Uint8Array.of(8, 1, 2, 3, 4, 5, 6, 7) }))),
    makeUimage({ load: 0x100, entry: 0x140, data: bytes }),
    makeUimage({ load: 0x100, entry: 0x140, data: gzipSync(bytes), compression: 1 }),
    makeUimage({ load: 0x100, entry: 0x140, data: several, type: 4 }),
    makeLinux("arm64", 0n, 0x3000n, 0x400),
    makeLinux("riscv", 0x20_0000n, 0x3000n, 0x400),
    gzipSync(HEX),
  ];
}

/** The fields of the headers. They lie at multiples of 4; those of UF2 start each 512 bytes. */
function fields(file: Buffer): Field[] {
  const all: Field[] = [];
  for (let start = 0; start < file.length; start += 512) {
    for (let offset = start; offset < start + 64; offset += 4) {
      all.push({ offset, size: 4 });
    }
  }
  return all;
}

/** Corrects checksums and magic numbers. */
function repair(file: Buffer): Buffer {
  const [first] = file;
  if (first === 0x3a || first === 0x53) {
    return Buffer.from(file.toString("latin1").replace(/^([:S])(.*)$/gm, repairRecord), "latin1");
  }
  if (first === 0x27) {
    return signUimage(file);
  }
  if (first === 0x55) {
    for (let at = 0; at + 512 <= file.length; at += 512) {
      file.writeUInt32LE(0x0a324655, at);
      file.writeUInt32LE(0x9e5d5157, at + 4);
      file.writeUInt32LE(0x0ab16f30, at + 508);
    }
  }
  return file;
}

function repairRecord(line: string, mark: string, rest: string): string {
  const digits = (mark === ":" ? rest : rest.slice(1)).replace(/\r$/, "");
  if (!/^([0-9a-f]{2}){2,}$/i.test(digits)) {
    return line;
  }
  const bytes = Buffer.from(digits, "hex").subarray(0, -1);
  bytes[0] = mark === ":" ? bytes.length - 4 : bytes.length;
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  const check = Buffer.of(mark === ":" ? -sum & 255 : ~sum & 255);
  const type = mark === ":" ? "" : rest.slice(0, 1);
  return mark + type + Buffer.concat([bytes, check]).toString("hex");
}

function run(file: Buffer, _path: string, random: Randomness): void {
  const gpa = [undefined, 0, 0x8000_0000, 0x100][random.below(4)];
  const family = [undefined, undefined, 1][random.below(3)];
  try {
    loadImage(space, file, {
      maxSize: 2 ** 24,
      ...(gpa === undefined ? {} : { gpa }),
      ...(family === undefined ? {} : { family }),
    });
  } catch (error) {
    if (ram.compare(0, untouched) !== 0) {
      throw new Error("a file that is refused changed memory", { cause: error });
    }
    throw error;
  }
  ram.write(0, untouched);
}

function isRefusal(error: unknown): boolean {
  return error instanceof BadImageError;
}

export default { seeds, fields, repair, run, isRefusal } satisfies Target;
