import { MessageChannel } from "node:worker_threads";
import { expect } from "chai";
import { AddressSpace, Arena, DirtyBitmap, GuestMemory } from "pound-guest-memory";
import { takeSnapshot } from "pound-guest-memory/snapshot";
import { IS_WIDE } from "../support/wide-tests.js";

/** Bytes of RAM that a test would notice a copy of. */
const SIZE = (IS_WIDE ? 8 : 0.5) * 2 ** 30;

describe("structured clone", () => {
  const memory = GuestMemory.allocate(SIZE);
  const space = new AddressSpace();
  const region = space.addRam(0, memory);

  after(() => {
    memory.destroy();
  });

  const objects: Record<string, object> = {
    memory,
    "memory.atomics": memory.atomics,
    "memory.arena": memory.arena,
    space,
    ...(GuestMemory.hasNative && {
      "memory.native": memory.native,
      "memory.native.atomics": memory.native.atomics,
      "space.native": space.native,
    }),
    "an object that leads to one": { a: 1, list: [new Map([["ram", memory]])] },
  };
  for (const [name, object] of Object.entries(objects)) {
    it(`refuses ${name} before it copies any RAM, and says what to post`, () => {
      const { port1 } = new MessageChannel();
      const before = process.resourceUsage().maxRSS;
      for (const clone of [
        () => structuredClone(object),
        () => {
          port1.postMessage(object);
        },
      ]) {
        expect(clone).to.throw(Error, "shareable").with.property("name", "DataCloneError");
      }
      port1.close();
      // In KiB. A clone would take at least twice as much.
      expect(process.resourceUsage().maxRSS - before).to.be.below(256 * 1024);
    });
  }

  it("refuses a region", () => {
    expect(() => structuredClone(region))
      .to.throw()
      .with.property("name", "DataCloneError");
  });

  it("still takes a memory's shareable, also of an object beside it", () => {
    const shared = GuestMemory.allocateShared(4096);
    shared.writeb(7, 9);
    const { ram } = structuredClone({ ram: shared.shareable! });
    expect(GuestMemory.attach(ram).readb(7)).to.equal(9);
  });
});

describe("JSON.stringify", () => {
  it("writes what memory, its arena and its accessors are, and no RAM", () => {
    const memory = GuestMemory.allocate(SIZE);
    const size = SIZE;
    const arena = { type: "Arena", capacity: size + 16, used: size + 16, destroyed: false };
    expect(
      JSON.parse(
        JSON.stringify({
          memory,
          native: memory.native,
          arena: memory.arena,
          atomics: [memory.atomics, memory.native.atomics],
        }),
      ),
    ).to.deep.equal({
      memory: { type: "GuestMemory", size, destroyed: false },
      native: { type: "NativeAccess", size },
      arena,
      atomics: [{ type: "AtomicAccess" }, { type: "AtomicAccess" }],
    });
    memory.destroy();
    expect(JSON.parse(JSON.stringify([memory, memory.arena]))).to.deep.equal([
      { type: "GuestMemory", size, destroyed: true },
      { type: "Arena", capacity: 0, used: 0, destroyed: true },
    ]);
  });

  it("writes what an address space, a snapshot and a bitmap are, and no RAM", () => {
    const space = new AddressSpace();
    const memory = GuestMemory.allocate(1 << 26);
    space.addRam(2n ** 60n, memory, { name: "high" });
    memory.writeb(0, 1);
    expect(
      JSON.parse(
        JSON.stringify([space, space.native, takeSnapshot(space), new DirtyBitmap(2 ** 40)]),
      ),
    ).to.deep.equal([
      {
        type: "AddressSpace",
        regions: [{ type: "RamRegion", name: "high", gpa: "0x1000000000000000", size: 1 << 26 }],
      },
      { type: "NativeSpaceAccess" },
      { type: "Snapshot", generation: 0, regions: 1, storedPages: 1 },
      { type: "DirtyBitmap", size: 2 ** 40 },
    ]);
  });
});

describe("util.inspect", () => {
  it("shows an arena by its sizes", async () => {
    const { inspect } = await import("node:util");
    const arena = Arena.create(100);
    arena.allocate(10, 1);
    expect(inspect(arena)).to.equal("Arena { capacity: 100, used: 10, destroyed: false }");
  });
});
