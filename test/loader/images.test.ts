import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as zlib from "node:zlib";
import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import {
  BadImageError,
  type ImageOptions,
  loadElf,
  loadImage,
  readImage,
} from "pound-guest-memory/loader";
import { refusalIn } from "../support/bad-image.js";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { makeLinux, makeUf2, makeUimage, signUimage } from "../support/image-files.js";

const MIB = 2 ** 20;

function refusal(file: Uint8Array, options: ImageOptions = {}): BadImageError {
  return refusalIn((memory) => loadImage(memory, file, options));
}

/** The segments of a file, the bytes as one number if they are all the same. */
function segmentsOf(file: Uint8Array, options: ImageOptions = {}): unknown[] {
  return readImage(file, options).segments.map(({ gpa, bytes }) => [
    Number(gpa),
    bytes.length,
    bytes[0],
  ]);
}

const block = (value: number): Buffer => Buffer.alloc(256, value);

describe("readImage of UF2", () => {
  const PICO = 0xe48bff56;
  const one = (value: number, number: number, count: number, family?: number) => ({
    gpa: 0x1000_0000 + 256 * number,
    bytes: block(value),
    number,
    count,
    ...(family === undefined ? {} : { family }),
  });

  it("joins blocks in any order, without those for other storage", () => {
    const file = makeUf2([
      one(2, 1, 3, PICO),
      one(1, 0, 3, PICO),
      { ...one(3, 2, 3, PICO), gpa: 0x2000_0000 },
      { ...one(9, 0, 1, PICO), flags: 1 },
      { ...one(9, 0, 1, PICO), flags: 0x1000 },
    ]);
    expect(readImage(file).families).to.deep.equal([PICO]);
    expect(segmentsOf(file)).to.deep.equal([
      [0x1000_0000, 512, 1],
      [0x2000_0000, 256, 3],
    ]);
  });

  it("loads a file that lies in the memory that it is loaded to", () => {
    const count = 300;
    const blocks = Array.from({ length: count }, (_, i) => one(i & 0xff, i, count, PICO));
    using memory = GuestMemory.allocate(MIB);
    const file = makeUf2(blocks.map((spec, i) => ({ ...spec, gpa: 0x4_0000 + 256 * i })));
    memory.write(0x3_0000, file);
    loadImage(memory, memory.slice(0x3_0000, file.length));
    for (let i = 0; i < count; i++) {
      expect(memory.read(0x4_0000 + 256 * i, 256).equals(block(i & 0xff)), `${i}`).to.equal(true);
    }
  });

  it("loads blocks of several sizes to several regions, and makes the bytes when they are read", () => {
    const sizes = [476, 476, 256, 1, 0, 99];
    let gpa = 4096 - 500;
    const specs = sizes.map((size, number) => {
      const spec = { gpa, bytes: Buffer.alloc(size, number + 1), number, count: sizes.length };
      gpa += size;
      return spec;
    });
    const space = new AddressSpace();
    space.addRom(0, 4096, { fill: 0xff });
    space.addRam(4096, 4096, { fill: 0xa5, trackDirty: true });
    const { segments } = loadImage(space, makeUf2(specs));
    const whole = Buffer.concat(specs.map(({ bytes }) => bytes));
    expect(segments.map(({ gpa: start, size }) => [start, size])).to.deep.equal([
      [BigInt(4096 - 500), BigInt(whole.length)],
    ]);
    expect(Buffer.from(segments[0]!.bytes).equals(whole)).to.equal(true);
    expect(segments[0]!.bytes).to.equal(segments[0]!.bytes);
    const expected = Buffer.alloc(8192, 0xa5);
    expected.fill(0xff, 0, 4096);
    whole.copy(expected, 4096 - 500);
    expect(space.read(0, 8192).equals(expected)).to.equal(true);
  });

  it("needs a choice between several families", () => {
    const file = makeUf2([one(1, 0, 1, PICO), one(2, 0, 2, 7), one(3, 1, 2, 7), one(4, 2, 4)]);
    const error = refusal(file);
    expect(error.reason).to.match(/must be chosen: 0xe48bff56, 0x7, none/);
    expect(segmentsOf(file, { family: 7 })).to.deep.equal([[0x1000_0000, 512, 2]]);
    expect(segmentsOf(file, { family: PICO })).to.deep.equal([[0x1000_0000, 256, 1]]);
    expect(refusal(file, { family: 8 }).reason).to.match(/no blocks of family 0x8/);
  });

  it("ignores the block that works around an erratum of the RP2350", () => {
    const tags = Uint8Array.of(4, 0xe3, 0x57, 0x99);
    const ignored = { ...one(0xef, 0, 2, 0xe48bff57), tags };
    const file = makeUf2([ignored, one(1, 0, 1, 0xe48bff59)]);
    expect(segmentsOf(file)).to.deep.equal([[0x1000_0000, 256, 1]]);
    expect(readImage(file).families).to.deep.equal([0xe48bff59]);
  });

  for (const [what, file, offset, reason] of [
    ["half a block", makeUf2([one(1, 0, 1)]).subarray(0, 300), 300, /multiple of 512/],
    ["a missing block", makeUf2([one(1, 0, 3), one(2, 2, 3)]), 1024, /1 of 3 blocks are missing/],
    ["a block twice", makeUf2([one(1, 0, 2), one(1, 0, 2)]), 532, /comes twice/],
    ["a number above the count", makeUf2([one(1, 3, 3)]), 20, /block 3 of 3/],
    ["too many data", makeUf2([{ ...one(1, 0, 1), bytes: Buffer.alloc(477) }]), 16, /477 bytes/],
    [
      "data over the checksum",
      makeUf2([{ ...one(1, 0, 1), bytes: Buffer.alloc(460), flags: 0x4000 }]),
      16,
      /more than 452/,
    ],
    ["data past 4 GiB", makeUf2([{ ...one(1, 0, 1), gpa: 0xffff_ff01 }]), 12, /last address/],
    [
      "contradicting bytes",
      makeUf2([one(1, 0, 2), { ...one(2, 1, 2), gpa: 0x1000_0010 }]),
      524,
      /other bytes/,
    ],
    [
      "a wrong magic number",
      Buffer.concat([makeUf2([one(1, 0, 2)]), Buffer.alloc(512)]),
      512,
      /magic/,
    ],
  ] as const) {
    it(`refuses ${what}`, () => {
      const error = refusal(file);
      expect(error.reason).to.match(reason);
      expect(error.offset).to.equal(offset);
    });
  }
});

describe("readImage of uImage", () => {
  const data = block(7);

  it("reads the name, the entry and the data, compressed or not", () => {
    const plain = readImage(makeUimage({ load: 0x100, entry: 0x140, data }));
    expect(plain).to.deep.include({ format: "uimage", name: "test", entry: 0x140n });
    expect(plain.compression).to.deep.equal([]);
    const packed = makeUimage({
      load: 0x100,
      entry: 0x140,
      data: zlib.gzipSync(data),
      compression: 1,
    });
    const image = readImage(packed);
    expect(image.compression).to.deep.equal(["gzip"]);
    expect(Buffer.from(image.segments[0]!.bytes).equals(data)).to.equal(true);
  });

  it("loads at the address of the header or at another, and moves the entry along", () => {
    const file = makeUimage({ load: 0x100, entry: 0x140, data });
    using memory = GuestMemory.allocate(4096);
    expect(loadImage(memory, file).entry).to.equal(0x140n);
    expect(memory.readb(0x100)).to.equal(7);
    expect(loadImage(memory, file, { gpa: 0x800 }).entry).to.equal(0x840n);
    expect(memory.readb(0x8ff)).to.equal(7);
    expect(readImage(makeUimage({ load: 0, entry: 0, data, type: 3 })).entry).to.equal(null);
  });

  it("takes the entry point of a kernel that runs anywhere as an offset", () => {
    const file = makeUimage({ load: 0x100, entry: 0x40, data, type: 14 });
    expect(readImage(file, { gpa: 0x8000 }).entry).to.equal(0x8040n);
  });

  it("loads the kernel of several files, and returns all of them", () => {
    // mkimage -A ppc -O linux -T multi -C none -a 0x400000 -e 0x400010 -n multi -d
    // kernel:ramdisk:dtb
    const file = Buffer.from(
      "270519568c3359256b0796bc000000270040000000400010f5a65ba3050704006d756c7469" +
        "00".repeat(27) +
        "0000000c000000080000000300000000" +
        Buffer.from("kernel bytesramdisk!dtb").toString("hex"),
      "hex",
    );
    const space = new AddressSpace();
    space.addRam(0x40_0000, 4096, { fill: 0xa5 });
    const image = loadImage(space, file);
    expect(image).to.deep.include({ format: "uimage", name: "multi", entry: 0x40_0010n });
    expect(image.parts.map((part) => Buffer.from(part).toString())).to.deep.equal([
      "kernel bytes",
      "ramdisk!",
      "dtb",
    ]);
    expect(space.read(0x40_0000, 16).toString("latin1")).to.equal("kernel bytes\xa5\xa5\xa5\xa5");
    // The compression of the header is that of the kernel.
    const kernel = zlib.gzipSync(data);
    const sizes = Buffer.alloc(12);
    sizes.writeUInt32BE(kernel.length, 0);
    sizes.writeUInt32BE(3, 4);
    const gap = Buffer.alloc(-kernel.length & 3);
    const packed = Buffer.concat([sizes, kernel, gap, Buffer.from("dtb")]);
    const { segments, parts, compression } = readImage(
      makeUimage({ load: 0x100, entry: 0x100, data: packed, type: 4, compression: 1 }),
    );
    expect(compression).to.deep.equal(["gzip"]);
    expect(Buffer.from(segments[0]!.bytes).equals(data)).to.equal(true);
    expect(parts[0]).to.deep.equal(Uint8Array.from(kernel));
    expect(Buffer.from(parts[1]!).toString()).to.equal("dtb");
  });

  /** A file with a list of sizes and 256 bytes of data. */
  function multi(sizes: readonly number[]): Buffer {
    const list = Buffer.alloc(4 * sizes.length + 4);
    sizes.forEach((size, i) => list.writeUInt32BE(size, 4 * i));
    return makeUimage({ load: 0, entry: 0, data: Buffer.concat([list, data]), type: 4 });
  }

  const good = makeUimage({ load: 0x100, entry: 0x140, data });
  const broken = (offset: number): Buffer => {
    const copy = Buffer.from(good);
    copy[offset]! ^= 1;
    return copy;
  };
  for (const [what, file, offset, reason] of [
    ["a wrong header", broken(20), 4, /checksum of the header/],
    ["wrong data", broken(100), 24, /checksum of the data/],
    ["truncated data", good.subarray(0, 200), 12, /past the end/],
    ["a truncated header", good.subarray(0, 40), 40, /64-byte header/],
    ["several files without an end", signUimage(multi([256]).subarray(0, 68)), 64, /has no end/],
    ["several files that are none", multi([]), 64, /that has none/],
    ["several files past the end", multi([4, 400]), 68, /file 1 reaches past the end/],
    ["lzma", makeUimage({ load: 0, entry: 0, data, compression: 3 }), 31, /by lzma/],
    ["a kernel without address", makeUimage({ load: 0, entry: 0, data, type: 14 }), 16, /gpa/],
    ["damaged gzip", makeUimage({ load: 0, entry: 0, data, compression: 1 }), 64, /damaged gzip/],
  ] as const) {
    it(`refuses ${what}`, () => {
      const error = refusal(file);
      expect(error.reason).to.match(reason);
      expect(error.offset).to.equal(offset);
    });
  }
});

describe("readImage of a Linux Image", () => {
  for (const [machine, offset] of [
    ["arm64", 0n],
    ["riscv", 0x20_0000n],
  ] as const) {
    it(`loads ${machine} relative to the start of RAM, where its .bss fits too`, () => {
      const file = makeLinux(machine, offset, 0x3000n, 0x1000);
      const space = new AddressSpace();
      const base = 0x8000_0000n;
      const ram = space.addRam(base, 4 * MIB);
      space.fill(base, 4 * MIB, 0xa5);
      const image = loadImage(space, file, { gpa: base });
      expect(image).to.deep.include({ format: "linux", entry: base + offset });
      expect(image.segments[0]!.size).to.equal(0x3000n);
      expect(space.read(base + offset, 0x1000).equals(file)).to.equal(true);
      expect(space.readb(base + offset + 0x1000n)).to.equal(0xa5);
      space.remove(ram);
      space.addRam(base, Number(offset) + 0x2000);
      expect(() => loadImage(space, file, { gpa: base })).to.throw(BadImageError, /does not fit/);
    });
  }

  it("puts an old kernel of arm64 at 0x80000, and refuses a base that is not aligned", () => {
    const file = makeLinux("arm64", 0n, 0n, 0x1000);
    expect(readImage(file, { gpa: 0 }).entry).to.equal(0x8_0000n);
    expect(refusal(file).reason).to.match(/the option gpa/);
    expect(refusal(file, { gpa: 0x8000_1000 }).reason).to.match(/0x80000000 and 0x80200000/);
  });
});

describe("loadImage", () => {
  const elf = readFileSync(join(__dirname, "../fixtures/elf/riscv64.elf"));

  it("loads an ELF file as loadElf does, compressed once or twice, with its options", () => {
    using plain = GuestMemory.allocate(2 * MIB);
    const expected = loadElf(plain, elf);
    for (const [file, compression] of [
      [elf, []],
      [zlib.gzipSync(elf), ["gzip"]],
      [zlib.gzipSync(zlib.gzipSync(elf)), ["gzip", "gzip"]],
    ] as const) {
      using memory = GuestMemory.allocate(2 * MIB);
      const image = loadImage(memory, file, { machine: "riscv" });
      expect(image).to.deep.include({ format: "elf", compression, entry: expected.entry });
      expect(image.elf).to.deep.equal(expected);
      expect(memory.buffer.equals(plain.buffer)).to.equal(true);
    }
    expect(refusal(elf, { machine: "arm" }).reason).to.equal("for riscv, not arm");
  });

  it("decodes zstd where Node can, and says so where it cannot", () => {
    const compress: unknown = Reflect.get(zlib, "zstdCompressSync");
    if (typeof compress === "function") {
      const file = (compress as (bytes: Buffer) => Buffer)(elf);
      expect(readImage(file)).to.deep.include({ format: "elf", compression: ["zstd"] });
    } else {
      const magic = Buffer.from("28b52ffd00", "hex");
      expect(refusal(magic).reason).to.equal("compressed by zstd, which this Node cannot decode");
    }
  });

  it("loads what it does not know as a raw image at gpa, and any file by format raw", () => {
    using memory = GuestMemory.allocate(4096);
    const image = loadImage(memory, Buffer.from("some bytes"), { gpa: 0x10 });
    expect(image).to.deep.include({ format: "raw", entry: null });
    expect(memory.read(0x10, 10).toString()).to.equal("some bytes");
    const packed = zlib.gzipSync("some bytes");
    loadImage(memory, packed, { gpa: 0x100, format: "raw" });
    expect(memory.read(0x100, packed.length).equals(packed)).to.equal(true);
    expect(refusal(Buffer.from("some bytes")).reason).to.match(/the option gpa/);
    expect(refusal(Buffer.from("some bytes"), { gpa: 4090 }).reason).to.match(/does not fit/);
  });

  it("bounds the size of what a file decompresses to, and refuses damaged files", () => {
    const bomb = zlib.gzipSync(Buffer.alloc(8 * MIB));
    expect(refusal(bomb, { maxSize: MIB, gpa: 0 }).reason).to.match(/more than 1048576 bytes/);
    expect(refusal(bomb.subarray(0, 1000)).reason).to.match(/damaged gzip data/);
    // A bound above the largest buffer of the runtime is valid.
    const { segments } = readImage(zlib.gzipSync("abc"), { maxSize: 2 ** 32, gpa: 0 });
    expect(segments[0]!.bytes.toString()).to.equal("abc");
  });

  it("reads a file as the format that is named, or refuses it", () => {
    for (const format of ["elf", "hex", "srec", "uf2", "uimage", "linux"] as const) {
      expect(refusal(Buffer.alloc(512, 0x20), { format, gpa: 0 }).reason).to.be.a("string");
    }
  });

  it("throws a TypeError or RangeError for wrong arguments", () => {
    using memory = GuestMemory.allocate(4096);
    const load = loadImage as (...args: unknown[]) => unknown;
    for (const options of [
      null,
      4,
      { format: "exe" },
      { gpa: "0" },
      { family: "7" },
      { maxSize: "1" },
      { symbols: 1 },
    ]) {
      expect(thrown(() => load(memory, elf, options))).to.deep.equal(WRONG_TYPE);
    }
    for (const options of [
      { gpa: -1 },
      { family: 2 ** 32 },
      { maxSize: 0 },
      { maxSize: 2 ** 33 },
    ]) {
      expect(thrown(() => load(memory, elf, options))).to.deep.equal(OUT_OF_RANGE);
    }
    expect(thrown(() => load(memory, "file"))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => load({}, elf))).to.deep.equal(WRONG_TYPE);
  });
});
