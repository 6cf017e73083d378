import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { expect } from "chai";
import { AddressSpace, GuestMemory } from "pound-guest-memory";
import { BadImageError, loadRaw } from "pound-guest-memory/loader";
import { PACKAGE } from "../support/alone.js";
import { OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";

describe("loadRaw", () => {
  it("copies every byte to its address, from any view", () => {
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

  it("refuses an image that extends past the last address", () => {
    const space = new AddressSpace();
    const region = space.addRam(2n ** 64n - 4096n, 4096);
    const image = new Uint8Array(8).fill(1);
    loadRaw(space, 2n ** 64n - 8n, image);
    region.memory.fill(0, 4096, 0);
    let error: unknown;
    try {
      loadRaw(space, 2n ** 64n - 4n, image);
    } catch (caught) {
      error = caught;
    }
    expect(error).to.be.instanceOf(BadImageError);
    expect((error as BadImageError).offset).to.equal(4);
    expect((error as BadImageError).reason).to.match(/no addresses at 0x10000000000000000/);
    expect(region.memory.buffer.every((byte) => byte === 0)).to.be.true;
  });

  it("copies an image across several regions, one of which contains it", () => {
    const space = new AddressSpace();
    const [low, high] = [space.addRam(0, 4096), space.addRam(4096, 4096)];
    const numbers = Uint8Array.from({ length: 4096 }, (_, i) => i % 251);
    for (const home of [low, high]) {
      home.memory.write(0, numbers);
      loadRaw(space, 2048, home.memory.slice(0, 4096));
      expect(space.read(2048, 4096).equals(numbers)).to.be.true;
    }
    const shared = GuestMemory.allocateShared(4096);
    const other = new AddressSpace();
    other.addRam(0, shared);
    other.addRam(4096, 4096);
    shared.write(0, numbers);
    // Another SharedArrayBuffer over the same bytes.
    const view = structuredClone(shared.buffer);
    loadRaw(other, 2048, new Uint8Array(view.buffer, view.byteOffset, 4096));
    expect(other.read(2048, 4096).equals(numbers)).to.be.true;
  });

  it("allocates no copy of the image", async function () {
    this.timeout(60_000);
    const program = `
      const { GuestMemory } = require("pound-guest-memory");
      const { loadRaw } = require("pound-guest-memory/loader");
      const size = 2 ** 29;
      const image = new Uint8Array(size).fill(7);
      const memory = GuestMemory.allocate(size);
      memory.write(0, image);
      const before = process.resourceUsage().maxRSS;
      loadRaw(memory, 0, image);
      console.log((process.resourceUsage().maxRSS - before) * 1024);
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", program], {
      cwd: PACKAGE,
    });
    expect(Number(stdout), "bytes").to.be.below(64 * 2 ** 20);
  });

  it("accepts an empty image at any address", () => {
    using memory = GuestMemory.allocate(64);
    loadRaw(memory, 2n ** 40n, new Uint8Array(0));
  });

  it("throws a TypeError or RangeError for wrong arguments", () => {
    using memory = GuestMemory.allocate(64);
    const load = loadRaw as (...args: unknown[]) => unknown;
    expect(thrown(() => load(memory, "0", new Uint8Array(1)))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => load(memory, 0, "bytes"))).to.deep.equal(WRONG_TYPE);
    const detached = new Uint8Array(8);
    structuredClone(detached.buffer, { transfer: [detached.buffer] });
    expect(thrown(() => load(memory, 0, detached))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => load({}, 0, new Uint8Array(1)))).to.deep.equal(WRONG_TYPE);
    expect(thrown(() => load(memory, -1, new Uint8Array(1)))).to.deep.equal(OUT_OF_RANGE);
  });
});
