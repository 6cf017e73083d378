import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { type ElfSymbols, loadElf } from "pound-guest-memory/loader";
import { refusalOf } from "../support/bad-image.js";
import { makeElf, type ElfSpec } from "../support/elf-file.js";

const text = Buffer.from("the bytes of the code");
const data = Buffer.from("data");

function spec(changes: Partial<ElfSpec> = {}): ElfSpec {
  return {
    entry: 0xc000_1004n,
    segments: [
      { vaddr: 0xc000_1000n, paddr: 0x1000n, bytes: text, flags: 5, align: 0x1000n },
      { vaddr: 0xc000_2000n, paddr: 0x2000n, bytes: data, memsz: 0x100, flags: 6 },
    ],
    ...changes,
  };
}

function load(file: Buffer, options: Parameters<typeof loadElf>[2] = {}) {
  const memory = GuestMemory.allocate(0x4000);
  memory.fill(0, 0x4000, 0xa5);
  return { memory, image: loadElf(memory, file, options) };
}

describe("loadElf of every class and byte order", () => {
  for (const bits of [32, 64] as const) {
    for (const endian of ["little", "big"] as const) {
      it(`loads ELF${bits} of ${endian}-endian machines`, () => {
        const { memory, image } = load(makeElf(spec({ bits, endian, machine: 8 })));
        expect(image).to.deep.include({ bits, endian, type: "exec", machine: "mips" });
        expect(image.entry).to.equal(0x1004n);
        const expected = Buffer.alloc(0x4000, 0xa5);
        text.copy(expected, 0x1000);
        expected.fill(0, 0x2000, 0x2100);
        data.copy(expected, 0x2000);
        expect(memory.buffer.equals(expected)).to.equal(true);
        memory.destroy();
      });

      it(`reads interpreter, build id, sections, symbols of ELF${bits}, ${endian}-endian`, () => {
        const file = makeElf(
          spec({
            bits,
            endian,
            interpreter: "/lib/ld.so.1",
            buildId: Buffer.from("c0ffee", "hex"),
            symbols: [{ name: "_start", value: 0xc000_1004n, size: 8 }],
          }),
        );
        expect(refusalOf(() => load(file)).reason).to.equal("needs a dynamic linker");
        const plain = load(file, { allowInterpreter: true }).image;
        expect(plain).to.deep.include({
          interpreter: "/lib/ld.so.1",
          buildId: "c0ffee",
          sections: null,
          symbols: null,
        });
        const { image } = load(file, { allowInterpreter: true, symbols: true });
        expect(image.sections!.map(({ name }) => name)).to.deep.equal([
          "",
          ".text",
          ".symtab",
          ".strtab",
        ]);
        expect(image.sections![1]).to.deep.include({
          type: 1,
          address: 0xc000_1000n,
          size: BigInt(text.length),
          allocated: true,
        });
        expect([...image.symbols!]).to.deep.equal([
          {
            name: "_start",
            address: 0xc000_1004n,
            size: 8n,
            kind: "function",
            global: true,
            section: image.sections![1],
          },
        ]);
      });

      it(`counts more than 65535 segments of ELF${bits}, ${endian}-endian`, () => {
        const segments = Array.from({ length: 70_000 }, (_, i) => ({
          vaddr: BigInt(i * 2),
          bytes: Buffer.of(i % 251),
        }));
        using memory = GuestMemory.allocate(140_000);
        const image = loadElf(memory, makeElf({ entry: 0n, segments, bits, endian }));
        expect(image.segments).to.have.length(70_000);
        expect(memory.readb(2 * 69_999)).to.equal(69_999 % 251);
      });
    }
  }

  it("names known machines and passes others as a number", () => {
    for (const [number, name] of [
      [3, "x86"],
      [4, "m68k"],
      [20, "ppc"],
      [40, "arm"],
      [83, "avr"],
      [0xfeed, 0xfeed],
    ] as const) {
      const file = makeElf(spec({ machine: number }));
      expect(load(file).image.machine).to.equal(name);
      expect(load(file, { machine: number }).image.machine).to.equal(name);
      expect(load(file, { machine: name }).image.machine).to.equal(name);
    }
  });

  it("refuses segments of ELF32 above 4 GiB, moved or not", () => {
    const space = new AddressSpace();
    space.addRam(0xffff_f000, 0x2000);
    const segments = [{ vaddr: 0xffff_fff0n, bytes: Buffer.alloc(16, 1), align: 0x10n }];
    const file = makeElf({ entry: 0n, segments, bits: 32, type: 3 });
    expect(loadElf(space, file).segments[0]!.gpa).to.equal(0xffff_fff0n);
    expect(refusalOf(() => loadElf(space, file, { bias: 0x10 })).reason).to.match(/last address/);
    const odd = refusalOf(() => loadElf(space, file, { bias: 0xffff_ffff }));
    expect(odd.reason).to.match(/the nearest is 0xfffffff0$/);
  });

  it("refuses a path of a linker or a name that does not end", () => {
    const endless = makeElf(spec({ interpreter: "/lib/ld.so" }));
    endless[endless.length - 1] = 0x41;
    expect(refusalOf(() => load(endless, { allowInterpreter: true })).offset).to.equal(64 + 2 * 56);
    const file = makeElf(spec({ symbols: [{ name: "main", value: 0xc000_1000n }] }));
    const strings = file.indexOf("main\0");
    file[strings + 4] = 0x41;
    expect(load(file).image.symbols).to.equal(null);
    expect(refusalOf(() => load(file, { symbols: true })).reason).to.match(/a name reaches past/);
  });

  it("reads sections without names and files without sections", () => {
    const file = makeElf(spec({ symbols: [{ name: "main", value: 0xc000_1000n, size: 4 }] }));
    file.writeUInt16LE(0, 62);
    const { image } = load(file, { symbols: true });
    expect(image.sections!.map(({ name }) => name)).to.deep.equal(["", "", "", ""]);
    expect(image.symbols!.find("main")?.address).to.equal(0xc000_1000n);
    const bare = load(makeElf(spec()), { symbols: true }).image;
    expect(bare.sections).to.deep.equal([]);
    expect(bare.symbols!.size).to.equal(0);
  });

  it("refuses names that overlap so much that they would exhaust memory", () => {
    const symbols = [
      { name: "n".repeat(20_000), value: 0xc000_1000n },
      ...Array.from({ length: 20_000 }, () => ({ name: "", value: 0xc000_1000n })),
    ];
    const file = makeElf(spec({ symbols }));
    const name = file.indexOf("nnnn") - file.indexOf("\0.text\0.symtab");
    const table = Number(file.readBigUInt64LE(Number(file.readBigUInt64LE(40)) + 2 * 64 + 24));
    for (let i = 1; i <= 20_000; i++) {
      file.writeUInt32LE(name + i - 1, table + 24 * i);
    }
    expect(refusalOf(() => load(file, { symbols: true })).reason).to.match(/overlap too much/);
  });
});

describe("symbols of an ELF file", () => {
  function symbolsOf(changes: Partial<ElfSpec>): ElfSymbols {
    return load(makeElf(spec(changes)), { symbols: true, bias: changes.type === 3 ? 0x1000 : 0 })
      .image.symbols!;
  }
  const AT = 0xc000_1000n;
  const nameAt = (symbols: ElfSymbols, address: bigint): string | undefined => {
    const match = symbols.at(address);
    return match === null ? undefined : `${match.symbol.name}+${match.offset}`;
  };

  it("finds the innermost symbol with a size, then a label", () => {
    const symbols = symbolsOf({
      symbols: [
        { name: "outer", value: AT + 2n, size: 10 },
        { name: "inner", value: AT + 4n, size: 2 },
        { name: "label", value: AT + 5n, info: 0 },
        { name: "tail", value: AT + 14n, info: 0 },
        { name: "$x", value: AT + 4n, info: 0 },
        { name: "file.c", value: 0n, info: 4, shndx: 0xfff1 },
        { name: "elsewhere", value: 0n, shndx: 0 },
        { name: "SIZE", value: AT + 4n, info: 0x10, shndx: 0xfff1 },
      ],
    });
    expect([...symbols].map(({ name }) => name)).to.deep.equal([
      "outer",
      "inner",
      "label",
      "tail",
      "SIZE",
    ]);
    for (const [offset, name] of [
      [1n, undefined],
      [2n, "outer+0"],
      [3n, "outer+1"],
      [4n, "inner+0"],
      [5n, "inner+1"],
      [6n, "outer+4"],
      [11n, "outer+9"],
      [12n, "label+7"],
      [14n, "tail+0"],
      [20n, "tail+6"],
      [21n, undefined],
    ] as const) {
      expect(nameAt(symbols, AT + offset), String(offset)).to.equal(name);
    }
    expect(symbols.atGpa(0x1005)?.symbol.name).to.equal("inner");
    expect(symbols.atGpa(0x9000)).to.equal(null);
    expect(symbols.find("SIZE")).to.deep.include({ address: AT + 4n, section: null });
    expect(symbols.find("none")).to.equal(null);
    expect(symbols.size).to.equal(5);
  });

  it("agrees with a linear search, whatever overlaps", () => {
    let state = 1;
    const below = (n: number): number => (state = (state * 48271) % 2147483647) % n;
    for (let round = 0; round < 50; round++) {
      const list = Array.from({ length: 12 }, (_, i) => ({
        name: `s${i}`,
        value: AT + BigInt(below(20)),
        size: 1 + below(12),
      }));
      const symbols = symbolsOf({ symbols: list });
      for (let offset = 0n; offset < 34n; offset++) {
        const address = AT + offset;
        const last = list
          .filter(({ value, size }) => value <= address && address < value + BigInt(size))
          .reduce<bigint | null>((max, { value }) => ((max ?? 0n) > value ? max : value), null);
        expect(symbols.at(address)?.symbol.address ?? null).to.equal(last);
      }
    }
  });

  it("moves with the bias, clears the Thumb bit and prefers global names", () => {
    const symbols = symbolsOf({
      machine: 40,
      bits: 32,
      type: 3,
      entry: 0n,
      segments: [{ vaddr: 0n, bytes: text }],
      symbols: [
        { name: "twice", value: 2n, size: 2, info: 2 },
        { name: "twice", value: 9n, size: 2 },
      ],
    });
    expect(symbols.find("twice")).to.deep.include({ address: 0x1008n, global: true });
    expect(nameAt(symbols, 0x1003n)).to.equal("twice+1");
  });
});
