import * as zlib from "node:zlib";
import { GuestMemory } from "pound-guest-memory";
import { loadElf, loadImage, loadRaw } from "pound-guest-memory/loader";
import { medianMs } from "../measure.mjs";

const SIZE = 2 ** 26;
const BLOCK = 256;
/** Bytes of data in the text files: their text is about 2.5 times as long. */
const TEXT_DATA = 2 ** 23;

/** An ELF file with one segment at address 0. */
function elfOf(bits, data) {
  const [headerSize, programSize] = bits === 64 ? [64, 56] : [52, 32];
  const header = Buffer.alloc(headerSize + programSize);
  const word = (at, value) =>
    bits === 64 ? header.writeBigUInt64LE(BigInt(value), at) : header.writeUInt32LE(value, at);
  header.set([0x7f, 0x45, 0x4c, 0x46, bits / 32, 1, 1]);
  header.writeUInt16LE(2, 16);
  header.writeUInt16LE(243, 18);
  header.writeUInt32LE(1, 20);
  word(24, 0x1000);
  word(bits === 64 ? 32 : 28, headerSize);
  const [ehsize, offset, filesz, memsz] = bits === 64 ? [52, 8, 32, 40] : [40, 4, 16, 20];
  header.writeUInt16LE(headerSize, ehsize);
  header.writeUInt16LE(programSize, ehsize + 2);
  header.writeUInt16LE(1, ehsize + 4);
  header.writeUInt32LE(1, headerSize);
  header.writeUInt32LE(7, headerSize + (bits === 64 ? 4 : 24));
  word(headerSize + offset, header.length);
  word(headerSize + filesz, data.length);
  word(headerSize + memsz, data.length);
  return Buffer.concat([header, data]);
}

function uimageOf(data) {
  const header = Buffer.alloc(64);
  header.writeUInt32BE(0x27051956, 0);
  header.writeUInt32BE(data.length, 12);
  header.writeUInt32BE(zlib.crc32(data), 24);
  header[30] = 2;
  header.writeUInt32BE(zlib.crc32(header), 4);
  return Buffer.concat([header, data]);
}

function linuxOf(data) {
  const file = Buffer.from(data);
  file.fill(0, 0, 64);
  file.writeBigUInt64LE(BigInt(file.length), 16);
  file.write("ARM\x64", 56, "latin1");
  return file;
}

function uf2Of(data) {
  const count = data.length / BLOCK;
  const file = Buffer.alloc(512 * count);
  for (let i = 0; i < count; i++) {
    const at = 512 * i;
    [0x0a324655, 0x9e5d5157, 0x2000, BLOCK * i, BLOCK, i, count, 0xe48bff56].forEach((value, k) =>
      file.writeUInt32LE(value, at + 4 * k),
    );
    file.set(data.subarray(BLOCK * i, BLOCK * (i + 1)), at + 32);
    file.writeUInt32LE(0x0ab16f30, at + 508);
  }
  return file;
}

/** Intel HEX or S-records with some bytes of data in a record. */
function textOf(format, data, size) {
  const lines = [];
  const add = (mark, bytes, sum) => {
    bytes[bytes.length - 1] = sum(bytes.reduce((total, byte) => total + byte, 0));
    lines.push(`${mark}${bytes.toString("hex").toUpperCase()}\n`);
  };
  for (let at = 0; at < data.length; at += size) {
    const part = data.subarray(at, at + size);
    const address = [at >>> 24, at >>> 16, at >>> 8, at];
    if (format === "srec") {
      add("S3", Buffer.from([size + 5, ...address, ...part, 0]), (sum) => ~sum);
      continue;
    }
    if (at % 0x1_0000 === 0) {
      add(":", Buffer.from([2, 0, 0, 4, ...address.slice(0, 2), 0]), (sum) => -sum);
    }
    add(":", Buffer.from([size, ...address.slice(2), 0, ...part, 0]), (sum) => -sum);
  }
  lines.push(format === "srec" ? "S70500000000FA\n" : ":00000001FF\n");
  return Buffer.from(lines.join(""));
}

function print(heading, results, describe) {
  console.log(`\n${heading}`);
  for (const [name, ms] of Object.entries(results)) {
    console.log(`  ${name.padEnd(42)} ${ms.toFixed(1).padStart(8)} ms  ${describe(ms, name)}`);
  }
}

/**
 * Milliseconds to load a file of each format. A binary file should take as long as one copy of its
 * bytes. Two formats cannot: the checksum of a uImage takes longer than a copy, and a UF2 file has
 * its data in small pieces.
 */
export async function loading() {
  const data = Buffer.alloc(SIZE);
  for (let i = 0; i < SIZE; i++) {
    data[i] = (i * 7) ^ (i >> 9);
  }
  const memory = GuestMemory.allocate(SIZE);
  const bytes = memory.buffer;
  const files = { elf32: elfOf(32, data), elf64: elfOf(64, data), linux: linuxOf(data) };
  const uf2 = uf2Of(data);
  const target = Buffer.alloc(uf2.length, 1);
  const binary = await medianMs(
    {
      "one copy of the data": () => bytes.set(data),
      loadRaw: () => loadRaw(memory, 0, data),
      ELF32: () => loadElf(memory, files.elf32),
      ELF64: () => loadElf(memory, files.elf64),
      "Linux Image": () => loadImage(memory, files.linux, { gpa: 0 }),
      ...(zlib.crc32 && {
        uImage: (
          (file) => () =>
            loadImage(memory, file)
        )(uimageOf(data)),
        "the checksum of the data alone": () => zlib.crc32(data),
      }),
      UF2: () => loadImage(memory, uf2),
      "one copy of the UF2 file": () => target.set(uf2),
      "a copy of each block's data": () => {
        for (let at = 0; at < SIZE; at += BLOCK) {
          bytes.set(new Uint8Array(uf2.buffer, uf2.byteOffset + 2 * at + 32, BLOCK), at);
        }
      },
    },
    { rounds: 9, warmup: 2 },
  );
  const copy = binary["one copy of the data"];
  print(
    `images of ${SIZE / 2 ** 20} MiB (x: one copy of the data, divided by it)`,
    binary,
    (ms) => `${(copy / ms).toFixed(2)}x`,
  );
  const texts = Object.fromEntries(
    [
      ["Intel HEX", "hex", 16],
      ["S-records", "srec", 16],
      ["S-records", "srec", 32],
    ].map(([name, format, size]) => [
      `${name}, ${size} bytes in a record`,
      textOf(format, data.subarray(0, TEXT_DATA), size),
    ]),
  );
  const text = await medianMs(
    Object.fromEntries(
      Object.entries(texts).map(([name, file]) => [name, () => loadImage(memory, file)]),
    ),
    { rounds: 9, warmup: 2 },
  );
  print(`text files of ${TEXT_DATA / 2 ** 20} MiB of data`, text, (ms, name) => {
    const mib = texts[name].length / 2 ** 20;
    return `${((1000 * mib) / ms).toFixed(0)} MiB of text a second`;
  });
  memory.destroy();
  return { binary, text };
}
