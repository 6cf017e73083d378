import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import {
  BadImageError,
  loadElf,
  type ElfMachine,
  type ElfSegment,
} from "pound-guest-memory/loader";
import { refusalIn } from "../support/bad-image.js";
import { FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const FIXTURES = join(__dirname, "../fixtures/elf");
const RAM_SIZE = 2 * 1024 * 1024;

const MACHINES: Partial<Record<ElfMachine, string>> = {
  riscv: "riscv64",
  aarch64: "aarch64",
  "x86-64": "x86_64",
};

function fixture(name: string): Buffer {
  return readFileSync(join(FIXTURES, `${name}.elf`));
}

/** RAM filled with a byte that no file has, so that every written byte shows. */
function filledRam(size = RAM_SIZE): GuestMemory {
  const memory = GuestMemory.allocate(size);
  memory.fill(0, size, 0xa5);
  return memory;
}

/** The error of a load that is refused. */
function refusal(file: Uint8Array, options: Parameters<typeof loadElf>[2] = {}): BadImageError {
  return refusalIn((memory) => loadElf(memory, file, options), RAM_SIZE);
}

/** A copy of the file with some bytes changed. */
function patched(file: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(file);
  change(copy);
  return copy;
}

/** File offsets of the `PT_LOAD` headers, found without the loader. */
function loadHeaders(file: Buffer): number[] {
  const start = Number(file.readBigUInt64LE(32));
  return Array.from({ length: file.readUInt16LE(56) }, (_, i) => start + 56 * i).filter(
    (header) => file.readUInt32LE(header) === 1,
  );
}

describe("loadElf", () => {
  for (const [machine, name] of Object.entries(MACHINES) as [ElfMachine, string][]) {
    for (const [kind, suffix, bias] of [
      ["an executable", "", 0],
      ["a static position-independent executable", "-pie", 0x40000],
    ] as const) {
      it(`loads ${kind} for ${machine}, each segment's bytes and zeros after them`, () => {
        const file = fixture(name + suffix);
        using memory = filledRam();
        const image = loadElf(memory, file, { machine, bias });
        expect(image.machine).to.equal(machine);

        const expected = Buffer.alloc(RAM_SIZE, 0xa5);
        for (const header of loadHeaders(file)) {
          const at = Number(file.readBigUInt64LE(header + 24)) + bias;
          const from = Number(file.readBigUInt64LE(header + 8));
          const bytes = Number(file.readBigUInt64LE(header + 32));
          expected.fill(0, at, at + Number(file.readBigUInt64LE(header + 40)));
          file.copy(expected, at, from, from + bytes);
        }
        expect(memory.buffer.equals(expected)).to.be.true;
        expect(memory.buffer.includes("initialised data")).to.be.true;
        expect(memory.buffer.includes("read-only data")).to.be.true;

        expect(image.entry).to.equal(file.readBigUInt64LE(24) + BigInt(bias));
        const home = image.segments.find(
          ({ gpa, size }) => image.entry! >= gpa && image.entry! < gpa + size,
        );
        expect(home?.executable).to.be.true;
        expect(image.segments.some(({ writable, executable }) => writable && !executable)).to.be
          .true;
      });
    }
  }

  it("loads segments at physical addresses by default, and moves the entry with them", () => {
    const file = fixture("riscv64");
    const moved = patched(file, (copy) => {
      for (const header of loadHeaders(copy)) {
        copy.writeBigUInt64LE(copy.readBigUInt64LE(header + 24) - 0x80000n, header + 24);
      }
    });
    using memory = filledRam();
    const physical = loadElf(memory, moved);
    expect(physical.entry).to.equal(file.readBigUInt64LE(24) - 0x80000n);
    expect(memory.buffer.indexOf("initialised data")).to.be.below(0x100000);

    using other = filledRam();
    const virtual = loadElf(other, moved, { addresses: "virtual" });
    expect(virtual.entry).to.equal(file.readBigUInt64LE(24));
    expect(other.buffer.indexOf("initialised data")).to.be.above(0x100000);
  });

  it("loads a file that lies in the target RAM", () => {
    const file = fixture("riscv64");
    using plain = filledRam();
    loadElf(plain, file);
    using memory = filledRam();
    // The file overlaps the second segment's address, where a direct copy would destroy its bytes.
    memory.write(0x100f80, file);
    loadElf(memory, memory.slice(0x100f80, file.length));
    for (const { gpa, size } of loadElf(plain, file).segments) {
      expect(memory.compare(gpa, plain.read(gpa, size))).to.equal(0);
    }
  });

  describe("refuses, with the offset of the field at fault,", () => {
    const file = fixture("riscv64");
    const [first, second] = loadHeaders(file) as [number, number];
    const cases: [string, Buffer, number, RegExp][] = [
      ["an empty file", Buffer.alloc(0), 0, /not an ELF/],
      ["a file of another kind", Buffer.from("MZ".padEnd(100, "\0")), 0, /not an ELF/],
      ["a file that ends in the header", file.subarray(0, 63), 63, /ends within/],
      ["an unknown class", patched(file, (f) => f.writeUInt8(3, 4)), 4, /neither ELF32/],
      ["an unknown order", patched(file, (f) => f.writeUInt8(0, 5)), 5, /neither little-endian/],
      ["an unknown version", patched(file, (f) => f.writeUInt8(2, 6)), 6, /version/],
      ["an unknown version", patched(file, (f) => f.writeUInt32LE(2, 20)), 20, /version/],
      ["object files", patched(file, (f) => f.writeUInt16LE(1, 16)), 16, /not an executable/],
      ["a short header", patched(file, (f) => f.writeUInt16LE(52, 52)), 52, /header is smaller/],
      [
        "program headers of another size",
        patched(file, (f) => f.writeUInt16LE(32, 54)),
        54,
        /are not 56 bytes/,
      ],
      ["no program headers", patched(file, (f) => f.writeUInt16LE(0, 56)), 56, /no segment/],
      [
        "a count in section headers that are missing",
        patched(file, (f) => {
          f.writeUInt16LE(0xffff, 56);
          f.writeBigUInt64LE(0n, 40);
        }),
        56,
        /no section header/,
      ],
      [
        "a count that the file is too short for",
        patched(file, (f) => {
          f.writeUInt16LE(0xffff, 56);
          f.writeUInt32LE(0xffff_ffff, Number(f.readBigUInt64LE(40)) + 44);
        }),
        32,
        /past the end of the file/,
      ],
      [
        "program headers past the end",
        patched(file, (f) => f.writeBigUInt64LE(2n ** 64n - 1n, 32)),
        32,
        /past the end of the file/,
      ],
      ["a dynamic program", patched(file, (f) => f.writeUInt32LE(3, first)), first, /linker/],
      [
        "more bytes in the file than in memory",
        patched(file, (f) => f.writeBigUInt64LE(1n, first + 40)),
        first + 32,
        /larger in the file/,
      ],
      [
        "a segment past the end of the file",
        patched(file, (f) => f.writeBigUInt64LE(BigInt(file.length), first + 8)),
        first + 8,
        /past the end of the file/,
      ],
      [
        "a segment that wraps around",
        patched(file, (f) => f.writeBigUInt64LE(2n ** 64n - 16n, second + 24)),
        second + 24,
        /past the last address/,
      ],
      [
        "an odd alignment",
        patched(file, (f) => f.writeBigUInt64LE(3n, second + 48)),
        second + 48,
        /power of two/,
      ],
      [
        "segments that overlap",
        patched(file, (f) => f.writeBigUInt64LE(0x100010n, second + 24)),
        second,
        /overlap/,
      ],
      [
        "an entry point outside",
        patched(file, (f) => f.writeBigUInt64LE(0x10n, 24)),
        24,
        /entry point 0x10/,
      ],
      [
        "a segment outside of RAM",
        patched(file, (f) => f.writeBigUInt64LE(BigInt(RAM_SIZE - 8), second + 24)),
        second,
        /no memory at 0x200000/,
      ],
      [
        "a segment larger than anything",
        patched(file, (f) => f.writeBigUInt64LE(2n ** 62n, second + 40)),
        second,
        /no memory at 0x200000/,
      ],
    ];
    for (const [what, bad, offset, reason] of cases) {
      it(`${what} (offset ${offset})`, () => {
        const error = refusal(bad);
        expect(error.reason).to.match(reason);
        expect(error.offset).to.equal(offset);
        expect(error.code).to.equal("ERR_BAD_IMAGE");
        expect(error.message).to.include(`0x${offset.toString(16)}`);
      });
    }

    it("another machine than the one that is wanted", () => {
      const error = refusal(file, { machine: "aarch64" });
      expect(error.offset).to.equal(18);
      expect(error.reason).to.equal("for riscv, not aarch64");
      expect(refusal(file, { machine: 0xfeed }).reason).to.equal(
        "for riscv, not machine number 65261",
      );
    });

    it("a bias for a file that cannot move, or one that is not aligned", () => {
      expect(refusal(file, { bias: 0x1000 }).offset).to.equal(16);
      const pie = fixture("riscv64-pie");
      expect(refusal(pie, { bias: 0x1001n }).offset).to.equal(loadHeaders(pie)[0]! + 48);
      expect(refusal(pie, { bias: 2n ** 64n - 0x1000n }).reason).to.match(/past the last address/);
    });
  });

  describe("into an address space", () => {
    const file = fixture("riscv64");
    const [code, data] = loadElf(GuestMemory.allocate(RAM_SIZE), file).segments as [
      ElfSegment,
      ElfSegment,
    ];

    it("fills RAM and ROM, across regions that adjoin, and marks the pages that changed", () => {
      const space = new AddressSpace();
      space.addRom(0x100000, new Uint8Array(0x1000), { name: "flash" });
      const low = space.addRam(0x101000, 0x1000, { trackDirty: true });
      const high = space.addRam(0x102000, 0x3000, { trackDirty: true });
      const image = loadElf(space, file);

      expect(image.segments).to.deep.equal([code, data]);
      const bytes = file.subarray(code.fileOffset, code.fileOffset + code.fileSize);
      expect(space.read(code.gpa, code.size).equals(bytes)).to.be.true;
      const expected = Buffer.alloc(Number(data.size));
      file.copy(expected, 0, data.fileOffset, data.fileOffset + data.fileSize);
      expect(space.read(data.gpa, data.size).equals(expected)).to.be.true;
      // 0x101178 to 0x1021b8.
      expect([...low.dirty!.drain()]).to.deep.equal([0]);
      expect([...high.dirty!.drain()]).to.deep.equal([0]);
    });

    it("refuses what touches a device or nothing, and changes nothing", () => {
      const space = new AddressSpace();
      const ram = space.addRam(0x100000, 0x2000, { trackDirty: true });
      for (const reason of [/no memory at 0x102000/, /uart is a device at 0x102000/]) {
        let error: unknown;
        try {
          loadElf(space, file);
        } catch (caught) {
          error = caught;
        }
        expect(error).to.be.instanceOf(BadImageError);
        expect((error as BadImageError).offset).to.equal(data.headerOffset);
        expect((error as BadImageError).reason).to.match(reason);
        expect(ram.memory.buffer.every((byte) => byte === 0)).to.be.true;
        expect([...ram.dirty!.drain()]).to.deep.equal([]);
        if (space.regions.length === 1) {
          space.addMmio(0x102000, 0x1000, {}, { name: "uart" });
        }
      }
    });
  });

  it("accepts empty segments, whatever their other fields are", () => {
    const file = fixture("riscv64");
    const header = loadHeaders(file)[1]!;
    const bad = patched(file, (copy) => {
      copy.writeBigUInt64LE(0n, header + 32);
      copy.writeBigUInt64LE(0n, header + 40);
      copy.writeBigUInt64LE(2n ** 40n, header + 8);
      copy.writeBigUInt64LE(2n ** 63n, header + 24);
    });
    using memory = filledRam();
    expect(loadElf(memory, bad).segments).to.have.length(1);
  });

  it("throws a TypeError or RangeError for wrong arguments", () => {
    using memory = filledRam();
    const file = fixture("riscv64");
    const load = loadElf as (...args: unknown[]) => unknown;
    for (const target of [undefined, null, 4, {}, { regionAt: 4 }]) {
      expect(thrown(() => load(target, file))).to.deep.equal(WRONG_TYPE);
    }
    for (const notBytes of [undefined, null, "\x7fELF", [0x7f], new ArrayBuffer(64)]) {
      expect(thrown(() => load(memory, notBytes))).to.deep.equal(WRONG_TYPE);
    }
    const detached = new Uint8Array(file);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    expect(thrown(() => load(memory, detached))).to.deep.equal(OUT_OF_RANGE);
    for (const options of [null, 4, "riscv"]) {
      expect(thrown(() => load(memory, file, options))).to.deep.equal(WRONG_TYPE);
    }
    for (const options of [
      { machine: "z80" },
      { addresses: "real" },
      { bias: "4" },
      { symbols: 1 },
      { allowInterpreter: "yes" },
    ]) {
      expect(thrown(() => load(memory, file, options))).to.deep.equal(WRONG_TYPE);
    }
    for (const machine of [-1, 0.5, 65536]) {
      expect(thrown(() => load(memory, file, { machine }))).to.deep.equal(OUT_OF_RANGE);
    }
    for (const bias of [-1, 0.5, 2n ** 64n]) {
      expect(thrown(() => load(memory, file, { bias }))).to.deep.equal(OUT_OF_RANGE);
    }
  });

  it("faults if RAM is destroyed", () => {
    const memory = filledRam();
    memory.destroy();
    expect(thrown(() => loadElf(memory, fixture("riscv64")))).to.deep.equal(FAULT);
  });

  it("loads or refuses any file, and does not change RAM if it refuses one", () => {
    const whole = Object.values(MACHINES).flatMap((name) => [
      fixture(name),
      fixture(`${name}-pie`),
    ]);
    // Most changes are in the headers.
    const change = fc.record({
      at: fc.oneof(fc.nat(63), fc.nat(64 + 8 * 56), fc.nat(16383)),
      bytes: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 8 }),
        fc.constantFrom(
          Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0),
          new Uint8Array(8).fill(0xff),
          Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0x80),
        ),
      ),
    });
    using memory = GuestMemory.allocate(RAM_SIZE);
    const before = Buffer.alloc(RAM_SIZE, 0xa5);
    memory.write(0, before);
    let loaded = 0;
    let refused = 0;
    fc.assert(
      fc.property(
        fc.constantFrom(...whole),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        fc.option(fc.nat(20000), { nil: undefined }),
        fc.constantFrom("physical" as const, "virtual" as const),
        fc.constantFrom(0, 0x1000),
        (file, changes, length, addresses, bias) => {
          const bad = Buffer.from(file.subarray(0, length));
          for (const { at, bytes } of changes) {
            bad.set(bytes.subarray(0, Math.max(0, bad.length - at)), Math.min(at, bad.length));
          }
          try {
            const { segments, entry } = loadElf(memory, bad, { addresses, bias });
            loaded++;
            const inside = segments.some(
              ({ gpa, size }) => entry !== null && entry >= gpa && entry < gpa + size,
            );
            expect(inside || entry === null).to.be.true;
            for (const { gpa, fileSize } of segments) {
              // A segment without bytes of the file need not be in RAM.
              expect(fileSize === 0 || gpa + BigInt(fileSize) <= RAM_SIZE).to.be.true;
            }
            memory.write(0, before);
          } catch (error) {
            if (!(error instanceof BadImageError)) {
              throw error;
            }
            refused++;
            expect(error.offset).to.be.within(0, Math.max(bad.length, 64));
            expect(error.reason).not.to.equal("");
            expect(memory.compare(0, before)).to.equal(0);
          }
        },
      ),
      { numRuns: 3000 },
    );
    expect(loaded).to.be.above(100);
    expect(refused).to.be.above(100);
  });
});
