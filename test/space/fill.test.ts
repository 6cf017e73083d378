import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { nativeOf } from "../support/paths.js";

describe("addRam and addRom with fill", () => {
  for (const options of [{}, { arena: 2 ** 20 }]) {
    it(`set every byte of new memory, ${"arena" in options ? "in an arena" : "alone"}`, () => {
      const space = new AddressSpace(options);
      const ram = space.addRam(0, 8192, { fill: 0xa5, trackDirty: true });
      space.addRom(0x10000, 8192n, { fill: 0xff });
      space.addRom(0x20000, 4096);
      expect(space.read(0, 8192).equals(Buffer.alloc(8192, 0xa5))).to.equal(true);
      expect(space.read(0x10000, 8192).equals(Buffer.alloc(8192, 0xff))).to.equal(true);
      expect(space.read(0x20000, 4096).equals(Buffer.alloc(4096))).to.equal(true);
      expect(nativeOf(space).readl(4)).to.equal(0xa5a5a5a5);
      expect(nativeOf(space).readl(0x10004)).to.equal(0xffff_ffff);
      expect(space.tryWriteb(0x10000, 0)).not.to.equal(0);
      expect([...ram.dirty!.drain()]).to.deep.equal([]);
    });
  }

  it("refuse a fill that is no byte, and one for bytes that exist", () => {
    const space = new AddressSpace();
    using memory = GuestMemory.allocate(4096);
    for (const fill of [-1, 256, 0.5, NaN]) {
      expect(thrown(() => space.addRam(0, 4096, { fill }))).to.deep.equal(OUT_OF_RANGE);
      expect(thrown(() => space.addRom(0, 4096, { fill }))).to.deep.equal(OUT_OF_RANGE);
    }
    const wrong = { fill: "255" as unknown as number };
    expect(thrown(() => space.addRam(0, 4096, wrong))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => space.addRam(0, memory, { fill: 0 }))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => space.addRom(0, memory, { fill: 0 }))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => space.addRom(0, new Uint8Array(4096), { fill: 1 }))).to.deep.equal(
      WRONG_TYPE,
    );
    expect(thrown(() => space.addRom(0, 0))).to.deep.equal(OUT_OF_RANGE);
    expect(space.regions).to.deep.equal([]);
  });
});
