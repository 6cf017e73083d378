import { expect } from "chai";
import { AddressSpace, GuestMemory, type MmioDevice } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

const PAGE = 4096;

const NOT_CALLED: MmioDevice = {
  readb: () => expect.fail("called"),
  readl: () => expect.fail("called"),
  writeb: () => expect.fail("called"),
  writel: () => expect.fail("called"),
};

/** RAM at 0, ROM at 1 page, a device of 8 bytes at 2 pages, a hole, and RAM at 4 pages. */
function machine(): AddressSpace {
  const space = new AddressSpace();
  space.addRam(0, PAGE, { trackDirty: true }).memory.fill(0, PAGE, 1);
  space.addRom(PAGE, new Uint8Array(PAGE).fill(2));
  space.addMmio(2 * PAGE, 8, NOT_CALLED);
  space.addRam(4 * PAGE, PAGE, { trackDirty: true }).memory.fill(0, PAGE, 4);
  for (const region of space.regions) {
    if (region.kind === "ram") {
      region.dirty!.drain();
    }
  }
  space.watch({ gpa: 0, length: 8 * PAGE }, () => expect.fail("called"));
  return space;
}

describe("peek and poke", () => {
  it("access RAM and ROM, and report devices and holes as one part", () => {
    const space = machine();
    const target = new Uint8Array(6 * PAGE).fill(0x5a);
    const missing = [
      { offset: 2 * PAGE, length: 2 * PAGE },
      { offset: 5 * PAGE, length: PAGE },
    ];
    expect(space.peek(0, target)).to.deep.equal(missing);
    for (const [page, byte] of [1, 2, 0x5a, 0x5a, 4, 0x5a].entries()) {
      expect(target.subarray(page * PAGE, (page + 1) * PAGE).every((b) => b === byte)).to.equal(
        true,
      );
    }
    expect(space.poke(0, new Uint8Array(6 * PAGE).fill(9))).to.deep.equal(missing);
    expect(space.peek(0n, target)).to.deep.equal(missing);
    for (const [page, byte] of [9, 9, 0x5a, 0x5a, 9, 0x5a].entries()) {
      expect(target.subarray(page * PAGE, (page + 1) * PAGE).every((b) => b === byte)).to.equal(
        true,
      );
    }
  });

  it("mark the pages that poke wrote, and none for peek", () => {
    const space = machine();
    space.peek(0, new Uint8Array(6 * PAGE));
    const [low, , , high] = space.regions;
    const marks = (region: typeof low) =>
      region?.kind === "ram" ? [...region.dirty!.drain()] : undefined;
    expect([marks(low), marks(high)]).to.deep.equal([[], []]);
    space.poke(PAGE - 1, Uint8Array.of(1, 2));
    expect([marks(low), marks(high)]).to.deep.equal([[0], []]);
  });

  it("report each byte on its own where parts alternate", () => {
    const space = machine();
    const view = new Uint8Array(4);
    expect(space.peek(2 * PAGE - 2, view)).to.deep.equal([{ offset: 2, length: 2 }]);
    expect(space.peek(4 * PAGE - 2, view)).to.deep.equal([{ offset: 0, length: 2 }]);
    expect([...view]).to.deep.equal([2, 2, 4, 4]);
    expect(space.peek(5 * PAGE, view)).to.deep.equal([{ offset: 0, length: 4 }]);
    expect(space.peek(4 * PAGE, new Uint8Array(0))).to.deep.equal([]);
    expect(space.peek(9 * PAGE, new Uint8Array(0))).to.deep.equal([]);
  });

  it("report the addresses above 2^64 - 1, which do not exist", () => {
    const space = new AddressSpace();
    space.addRam(2n ** 64n - 4096n, PAGE);
    expect(space.poke(2n ** 64n - 2n, Uint8Array.of(7, 8, 9, 10))).to.deep.equal([
      { offset: 2, length: 2 },
    ]);
    const view = new Uint8Array(4);
    expect(space.peek(2n ** 64n - 3n, view)).to.deep.equal([{ offset: 3, length: 1 }]);
    expect([...view]).to.deep.equal([0, 7, 8, 0]);
    expect(space.peek(2n ** 53n, view)).to.deep.equal([{ offset: 0, length: 4 }]);
  });

  it("report memory that is destroyed or detached", () => {
    const space = new AddressSpace();
    const bytes = new Uint8Array(PAGE).fill(1);
    space.addRam(0, GuestMemory.over(bytes));
    const second = space.addRam(PAGE, PAGE);
    second.memory.destroy();
    const view = new Uint8Array(8);
    expect(space.peek(PAGE - 4, view)).to.deep.equal([{ offset: 4, length: 4 }]);
    expect(space.poke(PAGE - 4, view.fill(3))).to.deep.equal([{ offset: 4, length: 4 }]);
    expect(bytes[PAGE - 4]).to.equal(3);
    structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
    expect(space.peek(PAGE - 4, view)).to.deep.equal([{ offset: 0, length: 8 }]);
  });

  it("copy from and to a view of the RAM itself", () => {
    const space = new AddressSpace();
    const bytes = Uint8Array.from({ length: 2 * PAGE }, (_, i) => (i * 7 + (i >> 8)) & 0xff);
    // The halves of one buffer, in the other order.
    space.addRam(0, GuestMemory.over(bytes.subarray(PAGE)));
    space.addRam(PAGE, GuestMemory.over(bytes.subarray(0, PAGE)));
    const model = Uint8Array.from([...bytes.subarray(PAGE), ...bytes.subarray(0, PAGE)]);
    const target = bytes.subarray(100, 100 + PAGE);
    const seen = model.slice(50, 50 + PAGE);
    expect(space.peek(50, target)).to.deep.equal([]);
    expect(Buffer.compare(target, seen)).to.equal(0);
    const source = Uint8Array.from(bytes.subarray(10, 10 + PAGE));
    expect(space.poke(2048, bytes.subarray(10, 10 + PAGE))).to.deep.equal([]);
    expect(space.read(2048, PAGE).equals(source)).to.equal(true);
  });

  it("are quick over a large range of holes", () => {
    const space = new AddressSpace();
    space.addRam(2n ** 40n, PAGE);
    const view = new Uint8Array(64 * 1024 * 1024);
    expect(space.peek(2n ** 40n - 4096n, view)).to.deep.equal([
      { offset: 0, length: PAGE },
      { offset: 2 * PAGE, length: view.length - 2 * PAGE },
    ]);
  });

  it("refuse invalid arguments", () => {
    const space = machine();
    for (const method of ["peek", "poke"] as const) {
      const call = (gpa: unknown, view: unknown) =>
        thrown(() => space[method](gpa as number, view as Uint8Array));
      for (const gpa of ["0", null, undefined, {}]) {
        expect(call(gpa, new Uint8Array(1))).to.deep.equal(WRONG_TYPE);
        expect(call(0, gpa)).to.deep.equal(WRONG_TYPE);
      }
      for (const gpa of [-1, 0.5, 2 ** 53, 2n ** 64n]) {
        expect(call(gpa, new Uint8Array(1))).to.deep.equal(OUT_OF_RANGE);
      }
      const view = new Uint8Array(4);
      structuredClone(view.buffer, { transfer: [view.buffer] });
      expect(call(0, view)).to.deep.equal(OUT_OF_RANGE);
    }
    expect(space.regionAt(0)).to.have.property("kind", "ram");
  });
});
