import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { BadImageError, loadElf, loadImage, loadRaw } from "pound-guest-memory/loader";
import { makeElf } from "../support/elf-file.js";

const PAGE = 4096;
const image = Buffer.from(Array.from({ length: 2 * PAGE }, (_, i) => (i * 7 + (i >> 8)) & 0xff));

describe("loading to windows of a memory", () => {
  it("writes the bytes that a window shows, and no byte beside", () => {
    using memory = GuestMemory.allocate(8 * PAGE);
    memory.fill(0, 8 * PAGE, 0xa5);
    const space = new AddressSpace();
    space.addRom(0x10000, memory, { offset: 3 * PAGE, length: 2 * PAGE });
    loadRaw(space, 0x10000, image);
    const expected = Buffer.alloc(8 * PAGE, 0xa5);
    image.copy(expected, 3 * PAGE);
    expect(memory.buffer.equals(expected)).to.equal(true);
    expect(space.read(0x10000, 2 * PAGE).equals(image)).to.equal(true);
    expect(() => loadRaw(space, 0x10001, image)).to.throw(BadImageError, /no memory at 0x12000/);
    expect(memory.buffer.equals(expected)).to.equal(true);
  });

  it("writes to the bank that is selected", () => {
    using memory = GuestMemory.allocate(4 * PAGE);
    const space = new AddressSpace();
    const bank = space.addRom(0, memory, { length: PAGE });
    bank.select(2 * PAGE);
    loadImage(space, image.subarray(0, PAGE), { format: "raw", gpa: 0 });
    expect(memory.read(2 * PAGE, PAGE).equals(image.subarray(0, PAGE))).to.equal(true);
    expect(memory.read(0, 2 * PAGE).equals(Buffer.alloc(2 * PAGE))).to.equal(true);
  });

  it("crosses mirrors of a memory", () => {
    using memory = GuestMemory.allocate(PAGE);
    const space = new AddressSpace();
    space.addRam(0, memory, { repeat: 4 });
    loadRaw(space, PAGE + 0x800, image.subarray(0, PAGE));
    expect(space.read(PAGE + 0x800, PAGE).equals(image.subarray(0, PAGE))).to.equal(true);
    expect(space.read(0, 0x800).equals(image.subarray(0x800, PAGE))).to.equal(true);
  });

  it("writes to the region with the highest priority, and refuses a device on top of RAM", () => {
    const space = new AddressSpace();
    const below = space.addRam(0, 4 * PAGE);
    const above = space.addRom(PAGE, PAGE, { priority: 1 });
    const elf = makeElf({
      entry: 0x800n,
      segments: [{ vaddr: 0x800n, paddr: 0x800n, bytes: image, flags: 5 }],
    });
    loadElf(space, elf);
    expect(space.read(0x800, image.length).equals(image)).to.equal(true);
    expect(above.memory.buffer.equals(image.subarray(0x800, 0x1800))).to.equal(true);
    expect(below.memory.read(PAGE, PAGE).equals(Buffer.alloc(PAGE))).to.equal(true);
    below.memory.fill(0, 4 * PAGE, 0);
    space.addMmio(0x2000, 8, {}, { name: "uart", priority: 2 });
    expect(() => loadElf(space, elf)).to.throw(BadImageError, /uart is a device at 0x2000/);
    expect(below.memory.buffer.equals(Buffer.alloc(4 * PAGE))).to.equal(true);
  });
});
