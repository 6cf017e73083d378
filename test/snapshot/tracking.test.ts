import { expect } from "chai";
import fc from "fast-check";
import { AddressSpace, DirtyBitmap, GuestMemory } from "pound-guest-memory";
import {
  diffSnapshots,
  restoreSnapshot,
  type Snapshot,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { thrown } from "../support/errors.js";

const PAGE = 4096;
const BASE = 0x4000_0000;
const MISMATCH = { name: "Error", code: "ERR_SNAPSHOT_MISMATCH" };

describe("snapshots of an address space", () => {
  it("cover RAM and ROM, and name every region", () => {
    const space = new AddressSpace();
    space.addRam(BASE, 2 * PAGE, { name: "dram" });
    space.addRom(0, Buffer.from("boot code"), { name: "rom" });
    space.addMmio(0x9000, 16, {}, { name: "uart" });
    space.writel(BASE + PAGE, 0x1234);
    const snapshot = space.snapshot();
    expect(
      snapshot.regions.map(({ kind, name, gpa, storedPages }) => [kind, name, gpa, storedPages]),
    ).to.deep.equal([
      ["rom", "rom", 0n, 1],
      ["mmio", "uart", 0x9000n, 0],
      ["ram", "dram", BigInt(BASE), 1],
    ]);
    expect(snapshot.read(0, 4).toString()).to.equal("boot");
    space.writel(BASE + PAGE, 0);
    expect(space.restore(snapshot)).to.equal(1);
    expect(space.readl(BASE + PAGE)).to.equal(0x1234);
  });

  it("are refused if the regions or the bytes of a ROM differ", () => {
    const make = (rom: string, ram = 2 * PAGE): AddressSpace => {
      const space = new AddressSpace();
      space.addRom(0, Buffer.from(rom));
      space.addRam(BASE, ram);
      space.writeb(BASE, 1);
      return space;
    };
    const snapshot = make("version 1").snapshot();
    expect(make("version 1").restore(snapshot)).to.equal(0);
    const extended = make("version 1");
    extended.addMmio(0x9000, 8, {});
    const moved = make("version 1");
    moved.remove(moved.regions[1]!);
    moved.addRam(BASE + PAGE, 2 * PAGE);
    for (const other of [make("version 2"), make("version 1", PAGE), extended, moved]) {
      const ram = other.regions.find(({ kind }) => kind === "ram")!;
      other.writeb(ram.gpa, 7);
      expect(thrown(() => other.restore(snapshot))).to.deep.equal(MISMATCH);
      expect(other.readb(ram.gpa)).to.equal(7);
    }
    expect(() => make("version 2").restore(snapshot)).to.throw(
      'rom "rom@0x0" of 9 bytes at gpa 0x0 holds other bytes in the snapshot',
    );
  });

  it("read only the pages written since the last one", () => {
    const space = new AddressSpace();
    const ram = space.addRam(BASE, 8 * PAGE, { trackDirty: true });
    const first = space.snapshot();
    space.writel(BASE, 1);
    // An untracked write, which the snapshot must miss: it shows that no other page was read.
    ram.memory.buffer[5 * PAGE] = 1;
    const second = space.snapshot(first);
    expect([...diffSnapshots(first, second)]).to.deep.equal([{ gpa: BigInt(BASE), length: 1 }]);
    ram.memory.buffer[6 * PAGE] = 1;
    ram.dirty!.mark(6 * PAGE);
    const third = space.snapshot(second);
    expect([...diffSnapshots(second, third)]).to.deep.equal([
      { gpa: BigInt(BASE + 6 * PAGE), length: 1 },
    ]);
    expect(third.pageHeat(BASE)).to.deep.equal({ changes: 1, changedIn: 1 });
    expect(third.pageHeat(BASE + 6 * PAGE)).to.deep.equal({ changes: 1, changedIn: 2 });
    expect(space.restore(third), "nothing was written since").to.equal(0);
    space.writeb(BASE + 1, 1);
    ram.dirty!.drain();
    expect(space.restore(first)).to.equal(2);
    expect([...ram.dirty!.drain()], "written by restore").to.deep.equal([0, 6]);
    expect(space.restore(first), "what restore wrote is known to it").to.equal(0);
    expect(space.readq(BASE)).to.equal(0n);
  });

  it("keep memories apart that have one bitmap", () => {
    const space = new AddressSpace();
    const bitmap = new DirtyBitmap(2 * PAGE);
    for (const gpa of [0, BASE]) {
      space.addRam(gpa, 2 * PAGE, { trackDirty: bitmap });
    }
    let snapshot: Snapshot | undefined;
    for (let round = 1; round < 4; round++) {
      space.writeb(0, round);
      space.writeb(BASE + (round % 2) * PAGE, 16 * round);
      snapshot = space.snapshot(snapshot);
      for (const gpa of [0, BASE]) {
        expect(snapshot.read(gpa, 2 * PAGE).equals(space.read(gpa, 2 * PAGE))).to.equal(true);
      }
    }
    space.writeb(0, 99);
    space.writeb(BASE, 99);
    expect(space.restore(snapshot!)).to.equal(2);
    expect([space.readb(0), space.readb(BASE)]).to.deep.equal([3, 32]);
  });

  it("of RAM alone read only its marked pages too", () => {
    const memory = GuestMemory.allocate(8 * PAGE);
    const cursor = memory.dirtyCursor();
    const first = takeSnapshot(memory);
    memory.writel(0, 1);
    // An untracked write, which the snapshot must miss.
    memory.buffer[5 * PAGE] = 1;
    const second = takeSnapshot(memory, first);
    expect([...diffSnapshots(first, second)]).to.deep.equal([{ gpa: 0n, length: 1 }]);
    expect([...cursor.drain()]).to.deep.equal([0]);
    expect(restoreSnapshot(memory, first)).to.equal(1);
    expect([...cursor.drain()]).to.deep.equal([0]);
    memory.stopTracking();
    expect(restoreSnapshot(memory, first)).to.equal(1);
  });

  it("compare all pages if the bitmap may be incomplete", () => {
    const disturbances: Record<string, (space: AddressSpace) => void> = {
      "drained through shared bits": (space) => {
        const { size, buffer } = ram(space).dirty!;
        new DirtyBitmap(size, buffer).drain();
      },
      "tracking stopped for a while": (space) => {
        const bitmap = ram(space).dirty!;
        ram(space).stopTracking();
        ram(space).startTracking(bitmap);
      },
      "another bitmap": (space) => void ram(space).startTracking(new DirtyBitmap(8 * PAGE)),
      "no bitmap": (space) => ram(space).stopTracking(),
    };
    const ram = (space: AddressSpace) => {
      const region = space.regions[0]!;
      if (region.kind !== "ram") {
        throw new Error("the space has one region, of RAM");
      }
      return region;
    };
    for (const [what, disturb] of Object.entries(disturbances)) {
      const space = new AddressSpace();
      const { memory } = space.addRam(BASE, 8 * PAGE, { trackDirty: true });
      const first = space.snapshot();
      memory.buffer[PAGE] = 1;
      disturb(space);
      memory.buffer[5 * PAGE] = 1;
      const second = space.snapshot(first);
      expect([...diffSnapshots(first, second)], what).to.have.length(2);
      memory.buffer[6 * PAGE] = 1;
      disturb(space);
      expect(space.restore(first), what).to.equal(3);
      expect(memory.compare(0, Buffer.alloc(8 * PAGE)), what).to.equal(0);
    }
  });

  it("include writes through any region, any space and the memory itself", () => {
    const memory = GuestMemory.allocate(8 * PAGE);
    const space = new AddressSpace();
    const device = new AddressSpace();
    const low = space.addRam(0, memory, { trackDirty: true });
    const high = space.addRam(BASE, memory);
    device.addRam(0x9000, memory);
    expect(high.dirty).to.equal(low.dirty);
    const first = space.snapshot();
    space.writeb(BASE + PAGE, 5);
    device.writeb(0x9000 + 2 * PAGE, 5);
    device.native.writeb(0x9000 + 3 * PAGE, 5);
    memory.atomics.addl(4 * PAGE, 5);
    memory.fill(5 * PAGE, 1, 5);
    const second = space.snapshot(first);
    for (const base of [0, BASE]) {
      expect([0, 1, 2, 3, 4, 5].map((page) => second.read(base + page * PAGE, 1)[0])).to.deep.equal(
        [0, 5, 5, 5, 5, 5],
      );
    }
    expect(space.restore(first)).to.equal(5);
    expect([space.readb(PAGE), space.readb(BASE + PAGE)]).to.deep.equal([0, 0]);
  });

  it("include writes to all regions of a memory that is tracked through one of them", () => {
    for (const tracked of [0, 1]) {
      const memory = GuestMemory.allocate(2 * PAGE);
      const space = new AddressSpace();
      space.addRam(0, memory, { trackDirty: tracked === 0 });
      space.addRam(BASE, memory, { trackDirty: tracked === 1 });
      const first = space.snapshot();
      space.writel(0, 1);
      const second = space.snapshot(first);
      expect([second.read(0, 1)[0], second.read(BASE, 1)[0]]).to.deep.equal([1, 1]);
    }
  });

  it("are restored if the same memory is both RAM and ROM", () => {
    for (const trackDirty of [false, true]) {
      const memory = GuestMemory.allocate(2 * PAGE);
      const space = new AddressSpace();
      space.addRam(0, memory, { trackDirty });
      space.addRom(0xf0000, memory);
      const before = space.snapshot();
      space.writel(0, 5);
      expect(space.restore(before)).to.equal(1);
      expect([space.readl(0), space.readl(0xf0000)]).to.deep.equal([0, 0]);
    }
  });

  it("are refused if they have different bytes for the same memory", () => {
    const apart = new AddressSpace();
    apart.addRam(0, PAGE);
    apart.addRam(BASE, PAGE);
    apart.writeb(BASE, 1);
    const snapshot = apart.snapshot();
    const memory = GuestMemory.allocate(PAGE);
    const mirrored = new AddressSpace();
    mirrored.addRam(0, memory);
    mirrored.addRam(BASE, memory);
    mirrored.writeb(0, 7);
    expect(thrown(() => mirrored.restore(snapshot))).to.deep.equal(MISMATCH);
    expect(mirrored.readb(0)).to.equal(7);
  });

  it("and other consumers of the bitmap do not take each other's marks", () => {
    const space = new AddressSpace();
    const { memory, dirty } = space.addRam(BASE, 8 * PAGE, { trackDirty: true });
    const first = space.snapshot();
    space.writeb(BASE, 1);
    // An untracked write: only a comparison of all pages would find it.
    memory.buffer[7 * PAGE] = 1;
    expect([...dirty!.drain()]).to.deep.equal([0]);
    const { drains } = dirty!;
    space.writeb(BASE + PAGE, 1);
    const second = space.snapshot(first);
    expect([...diffSnapshots(first, second)].map(({ gpa }) => gpa)).to.deep.equal([
      BigInt(BASE),
      BigInt(BASE + PAGE),
    ]);
    expect([dirty!.drains, dirty!.count, dirty!.isDirty(PAGE)]).to.deep.equal([drains, 1, true]);
    expect([...dirty!.peek()]).to.deep.equal([1]);
    expect(space.restore(first)).to.equal(2);
    expect([...dirty!.drain()]).to.deep.equal([0, 1]);
    expect([...dirty!.drain()]).to.deep.equal([]);
  });

  it("agree with a plain copy of RAM in any sequence of snapshots, writes and restores", () => {
    const size = 4 * PAGE + 8;
    const action = fc.oneof(
      fc.record({
        do: fc.constant("write" as const),
        at: fc.nat(size / 8 - 1),
        value: fc.bigInt(0n, 9n),
      }),
      fc.record({
        do: fc.constant("fill" as const),
        at: fc.nat(size - 1),
        length: fc.nat(2 * PAGE),
        value: fc.nat(2),
      }),
      fc.record({ do: fc.constant("take" as const), parent: fc.option(fc.nat(9)) }),
      fc.record({ do: fc.constant("restore" as const), which: fc.nat(9) }),
      fc.record({ do: fc.constant("drain" as const) }),
      fc.record({ do: fc.constant("forget" as const), which: fc.nat(9) }),
    );
    fc.assert(
      fc.property(
        fc.array(action, { minLength: 5, maxLength: 40 }),
        fc.boolean(),
        (actions, track) => {
          const space = new AddressSpace();
          const ram = space.addRam(BASE, size, { trackDirty: track });
          const taken: { snapshot: Snapshot; copy: Buffer }[] = [];
          for (const step of actions) {
            switch (step.do) {
              case "write":
                space.native.writeq(BASE + step.at * 8, step.value);
                break;
              case "fill":
                space.fill(BASE + step.at, Math.min(step.length, size - step.at), step.value);
                break;
              case "take": {
                const parent =
                  step.parent === null ? undefined : taken[step.parent % taken.length]?.snapshot;
                taken.push({ snapshot: space.snapshot(parent), copy: ram.memory.read(0, size) });
                break;
              }
              case "restore": {
                const chosen = taken[step.which % taken.length];
                if (chosen !== undefined) {
                  space.restore(chosen.snapshot);
                  expect(ram.memory.compare(0, chosen.copy)).to.equal(0);
                }
                break;
              }
              case "drain":
                ram.dirty?.drain();
                break;
              case "forget":
                taken.splice(step.which, 1);
                break;
            }
          }
          for (const { snapshot, copy } of taken) {
            expect(snapshot.read(BASE, size).equals(copy)).to.equal(true);
          }
          ram.memory.destroy();
        },
      ),
      { numRuns: 300 },
    );
  });
});
