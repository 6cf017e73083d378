import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { loadElf } from "pound-guest-memory/loader";
import { refusalOf } from "../support/bad-image.js";
import { thrown } from "../support/errors.js";
import { makeElf } from "../support/elf-file.js";

const BAD_IMAGE = { name: "BadImageError", code: "ERR_BAD_IMAGE" };

function bytes(length: number, value: number): Buffer {
  return Buffer.alloc(length, value);
}

describe("loadElf of a kernel", () => {
  // The layout of Linux's vmlinux for x86-64: a physical entry point, and per-CPU data at virtual
  // 0.
  const KERNEL = 0xffff_ffff_8100_0000n;
  const vmlinux = (entry: bigint): Buffer =>
    makeElf({
      entry,
      segments: [
        {
          vaddr: KERNEL,
          paddr: 0x100_0000n,
          bytes: bytes(0x2000, 0x11),
          flags: 5,
          align: 0x20_0000n,
        },
        { vaddr: KERNEL + 0x2000n, paddr: 0x100_2000n, bytes: bytes(0x1000, 0x22), flags: 6 },
        { vaddr: 0n, paddr: 0x100_3000n, bytes: bytes(0x1000, 0x33), flags: 6 },
        {
          vaddr: KERNEL + 0x4000n,
          paddr: 0x100_4000n,
          bytes: bytes(0x1000, 0x44),
          memsz: 0x3000,
        },
      ],
    });
  const SIZE = 0x110_0000;

  function ram(): GuestMemory {
    const memory = GuestMemory.allocate(SIZE);
    memory.fill(0, SIZE, 0xa5);
    return memory;
  }

  it("accepts an entry point that is a physical or a virtual address", () => {
    for (const entry of [0x100_0040n, KERNEL + 0x40n]) {
      using memory = ram();
      const image = loadElf(memory, vmlinux(entry), { machine: "x86-64" });
      expect(image.entry).to.equal(0x100_0040n);
      for (const [gpa, value] of [
        [0x0ff_ffff, 0xa5],
        [0x100_0000, 0x11],
        [0x100_2000, 0x22],
        [0x100_3000, 0x33],
        [0x100_4fff, 0x44],
        // The .bss. No memory is mapped at its virtual address.
        [0x100_5000, 0],
        [0x100_6fff, 0],
        [0x100_7000, 0xa5],
      ] as const) {
        expect(memory.readb(gpa), gpa.toString(16)).to.equal(value);
      }
    }
  });

  it("converts a physical entry point where segments are loaded at virtual addresses", () => {
    const space = new AddressSpace();
    space.addRam(KERNEL, 0x10000);
    space.addRam(0n, 0x1000);
    const image = loadElf(space, vmlinux(0x100_0040n), { addresses: "virtual" });
    expect(image.entry).to.equal(KERNEL + 0x40n);
  });

  it("prefers the segment with code where two claim the entry point", () => {
    using memory = ram();
    const file = makeElf({
      entry: 0x1010n,
      segments: [
        { vaddr: 0x1000n, paddr: 0x3000n, bytes: bytes(0x100, 1), flags: 6 },
        { vaddr: KERNEL, paddr: 0x1000n, bytes: bytes(0x100, 2), flags: 5 },
      ],
    });
    expect(loadElf(memory, file).entry).to.equal(0x1010n);
  });

  it("treats an entry point of 0 as none, and refuses one outside all segments", () => {
    using memory = ram();
    expect(loadElf(memory, vmlinux(0n)).entry).to.equal(null);
    expect(refusalOf(() => loadElf(memory, vmlinux(0x123n << 32n))).offset).to.equal(24);
  });

  it("refuses a .bss at addresses without memory", () => {
    using memory = GuestMemory.allocate(0x100_6000);
    const { offset, reason } = refusalOf(() => loadElf(memory, vmlinux(0n)));
    expect(offset).to.equal(64 + 3 * 56);
    expect(reason).to.match(/no memory at 0x1006000/);
    expect(memory.buffer.every((byte) => byte === 0)).to.equal(true);
  });
});

describe("loadElf of firmware that runs from ROM", () => {
  // The layout that GNU ld makes of ".data >RAM AT>FLASH", ".bss >RAM" and ".tail >FLASH".
  const FLASH = 0x800_0000n;
  const RAM = 0x2000_0000n;
  const file = (bssOfItsOwn: boolean): Buffer =>
    makeElf({
      entry: FLASH + 4n,
      machine: 183,
      segments: [
        { vaddr: FLASH, bytes: bytes(0x100, 1), flags: 5 },
        {
          vaddr: RAM,
          paddr: FLASH + 0x100n,
          bytes: bytes(0x40, 2),
          memsz: bssOfItsOwn ? 0x40 : 0x4_0000,
        },
        ...(bssOfItsOwn
          ? [{ vaddr: RAM + 0x40n, paddr: FLASH + 0x140n, bytes: bytes(0, 0), memsz: 0x3_ffc0 }]
          : []),
        { vaddr: FLASH + 0x140n, bytes: bytes(0x40, 3), flags: 4 },
      ],
    });

  for (const bssOfItsOwn of [false, true]) {
    it(`loads .data to ROM and .bss nowhere, ${bssOfItsOwn ? "two segments" : "one"}`, () => {
      const space = new AddressSpace();
      // The flash is smaller than .bss, and has old contents.
      space.addRom(FLASH, bytes(0x1_0000, 0xff));
      space.addRam(RAM, 0x4_0000);
      space.write(RAM, bytes(0x4_0000, 0xa5));
      const image = loadElf(space, file(bssOfItsOwn));
      expect(image.entry).to.equal(FLASH + 4n);
      const flash = Buffer.concat([bytes(0x100, 1), bytes(0x40, 2), bytes(0x40, 3)]);
      expect(space.read(FLASH, 0x180).equals(flash)).to.equal(true);
      expect(space.read(FLASH + 0x180n, 0xfe80).every((byte) => byte === 0xff)).to.equal(true);
      expect(space.read(RAM, 0x4_0000).every((byte) => byte === 0xa5)).to.equal(true);
    });
  }

  it("needs no memory at the link addresses if other bytes are at the load address", () => {
    const space = new AddressSpace();
    space.addRom(FLASH, bytes(0x1_0000, 0xff));
    loadElf(space, file(false));
    expect(space.readb(FLASH + 0x140n)).to.equal(3);
    expect(space.readb(FLASH + 0x180n)).to.equal(0xff);
  });

  it("refuses segments whose bytes in the file overlap, and a .bss over other segments", () => {
    using memory = GuestMemory.allocate(0x10000);
    const two = (first: object, second: object): Buffer =>
      makeElf({
        entry: 0n,
        segments: [
          { vaddr: 0x1000n, bytes: bytes(0x100, 1), ...first },
          { vaddr: 0x1100n, bytes: bytes(0x100, 2), ...second },
        ],
      });
    expect(loadElf(memory, two({}, {})).segments).to.have.length(2);
    for (const [first, second] of [
      [{ memsz: 0x101 }, {}],
      [{ vaddr: 0x9000n, paddr: 0x1001n }, {}],
      [{}, { vaddr: 0x9000n, paddr: 0x10ffn }],
      [{ memsz: 0x200 }, { bytes: bytes(0, 0), memsz: 0x10 }],
    ]) {
      expect(refusalOf(() => loadElf(memory, two(first!, second!))).reason).to.match(/overlap/);
    }
  });

  it("takes time in proportion to the size of the file, whatever its segments are", () => {
    using memory = GuestMemory.allocate(0x100_0000);
    // The .bss of each extends over all segments after it.
    const segments = Array.from({ length: 60_000 }, (_, i) => ({
      vaddr: 0x1_0000_0000n + BigInt(i * 0x1000),
      paddr: BigInt(i * 16),
      bytes: bytes(8, i),
      memsz: 0xf0_0000 - i * 16,
    }));
    loadElf(memory, makeElf({ entry: 0n, segments }));
    expect(memory.readb(59_999 * 16)).to.equal(59_999 % 256);
  });
});

describe("loadElf with a bias", () => {
  // The layout of U-Boot for arm64: position-independent, aligned to 64 KiB.
  const file = makeElf({
    entry: 0x10n,
    machine: 183,
    type: 3,
    segments: [
      { vaddr: 0n, bytes: bytes(0x100, 1), align: 0x1000n },
      { vaddr: 0x1_0000n, bytes: bytes(0x100, 2), align: 0x1_0000n },
    ],
  });

  it("names the nearest valid bias if one breaks an alignment", () => {
    const space = new AddressSpace();
    space.addRam(0x4000_0000, 0x100_0000);
    const { offset, reason } = refusalOf(() => loadElf(space, file, { bias: 0x4020_1000 }));
    expect(offset).to.equal(64 + 56 + 48);
    expect(reason).to.include("0x10000").and.to.include("0x40200000 and 0x40210000");
    for (const bias of [0x4020_0000, 0x4021_0000]) {
      expect(loadElf(space, file, { bias }).entry).to.equal(BigInt(bias) + 0x10n);
    }
    const top = refusalOf(() => loadElf(space, file, { bias: 2n ** 64n - 1n }));
    expect(top.reason).to.match(/is 0xffffffffffff0000$/);
  });
});

describe("a loader", () => {
  it("reports the end of the address range like any other address without memory", () => {
    const space = new AddressSpace();
    space.addRam(2n ** 64n - 4096n, 4096);
    const file = makeElf({
      entry: 0n,
      segments: [{ vaddr: 2n ** 64n - 16n, bytes: bytes(17, 1) }],
    });
    expect(thrown(() => loadElf(space, file))).to.deep.equal(BAD_IMAGE);
  });
});
