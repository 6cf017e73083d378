import { expect } from "chai";
import { BadImageError, GuestMemory, loadRaw } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

describe("loadRaw", () => {
  it("puts every byte where it should go, from any view", () => {
    using memory = GuestMemory.allocate(64);
    loadRaw(memory, 3n, Buffer.from("raw image"));
    loadRaw(memory, 60, new DataView(Uint8Array.of(9, 1, 2, 3, 4, 9).buffer, 1, 4));
    const expected = Buffer.alloc(64);
    expected.write("raw image", 3);
    expected.set([1, 2, 3, 4], 60);
    expect(memory.buffer.equals(expected)).to.be.true;
  });

  it("moves an image that already lies in RAM", () => {
    using memory = GuestMemory.allocate(64);
    memory.write(0, Buffer.from("0123456789"));
    loadRaw(memory, 2, memory.slice(0, 10));
    expect(memory.read(0, 12).toString()).to.equal("010123456789");
  });

  it("refuses an image that does not fit, with the offset of the first byte that has no place", () => {
    using memory = GuestMemory.allocate(64);
    for (const [gpa, offset] of [
      [60, 4],
      [64, 0],
      [2n ** 64n - 1n, 0],
    ] as const) {
      let error: unknown;
      try {
        loadRaw(memory, gpa, new Uint8Array(10).fill(1));
      } catch (caught) {
        error = caught;
      }
      expect(error).to.be.instanceOf(BadImageError);
      expect((error as BadImageError).offset).to.equal(offset);
      expect(memory.buffer.every((byte) => byte === 0)).to.be.true;
    }
  });

  it("takes an empty image anywhere", () => {
    using memory = GuestMemory.allocate(64);
    loadRaw(memory, 2n ** 40n, new Uint8Array(0));
  });

  it("throws a TypeError or RangeError for wrong arguments", () => {
    using memory = GuestMemory.allocate(64);
    const load = loadRaw as (...args: unknown[]) => unknown;
    expect(thrown(() => load(memory, "0", new Uint8Array(1)))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => load(memory, 0, "bytes"))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => load({}, 0, new Uint8Array(1)))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => load(memory, -1, new Uint8Array(1)))).to.deep.equal(OUT_OF_RANGE);
  });
});
