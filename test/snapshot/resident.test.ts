import { expect } from "chai";
import fc from "fast-check";
import { Arena, GuestMemory } from "pound-guest-memory";
import {
  diffSnapshots,
  restoreSnapshot,
  type Snapshot,
  takeSnapshot,
} from "pound-guest-memory/snapshot";
import { runAlone } from "../support/alone.js";

const PAGE = 4096;
const PAGES = 1100;
const SIZE = PAGES * PAGE - 1000;

/** RAM of zeros of each kind that finds its resident pages in another way. */
const kinds: Record<string, () => GuestMemory> = {
  ordinary: () => GuestMemory.allocate(SIZE),
  forkable: () => GuestMemory.allocate(SIZE, { forkable: true }),
  "on huge pages": () => GuestMemory.allocate(SIZE, { hugePages: true }),
  "behind other bytes of an arena": () => {
    const arena = Arena.create(SIZE + 20_000);
    arena.allocate(8200).fill(0xee);
    return GuestMemory.create(arena);
  },
  "of the caller": () => GuestMemory.over(new Uint8Array(SIZE)),
  shared: () => GuestMemory.allocateShared(SIZE),
  "that is a clone": () => GuestMemory.allocate(SIZE).fork(),
  "that is a clone of written RAM": () => {
    const parent = GuestMemory.allocate(SIZE, { forkable: true });
    parent.fill(3 * PAGE, 2 * PAGE, 1);
    const clone = parent.fork();
    clone.fill(3 * PAGE, 2 * PAGE, 0);
    return clone;
  },
};

/** Asserts that a snapshot has the bytes of RAM. */
function expectSame(snapshot: Snapshot, memory: GuestMemory, what: string): void {
  const gpa = snapshot.regions[0]!.gpa;
  expect(memory.compare(0, snapshot.read(gpa, memory.size)), what).to.equal(0);
}

describe("a snapshot of RAM with untouched pages", () => {
  for (const [kind, make] of Object.entries(kinds)) {
    it(`has all bytes of RAM ${kind}`, () => {
      const write = fc.record({
        page: fc.oneof(fc.nat(5), fc.integer({ min: 505, max: 520 }), fc.nat(PAGES - 1)),
        length: fc.integer({ min: 1, max: 3 * PAGE }),
        value: fc.constantFrom(0, 1, 0xff),
      });
      const step = fc.tuple(fc.constantFrom("take", "restore", "fork", "reset"), fc.array(write));
      fc.assert(
        fc.property(fc.array(step, { maxLength: 6 }), (steps) => {
          const memory = make();
          const first = takeSnapshot(memory);
          expectSame(first, memory, "first");
          let last = first;
          const owned = [memory];
          for (const [action, writes] of steps) {
            for (const { page, length, value } of writes) {
              const gpa = page * PAGE;
              memory.fill(gpa, Math.min(length, Number(memory.size) - gpa), value);
            }
            const before = memory.read(0, memory.size);
            if (action === "take") {
              last = takeSnapshot(memory, last);
              expectSame(last, memory, action);
              expect([...diffSnapshots(takeSnapshot(memory), last)]).to.deep.equal([]);
            } else if (action === "restore") {
              restoreSnapshot(memory, last);
              expectSame(last, memory, action);
            } else if (action === "fork") {
              const clone = memory.fork();
              owned.push(clone);
              expect(clone.compare(0, before)).to.equal(0);
              expectSame(takeSnapshot(clone), clone, action);
              expectSame(takeSnapshot(memory), memory, action);
            } else if (owned.length > 1) {
              memory.reset();
              expectSame(takeSnapshot(memory), memory, action);
            }
          }
          for (const each of owned) {
            each.destroy();
          }
        }),
        { numRuns: 25 },
      );
    });
  }

  it("has the bytes of RAM in an arena that was reset", () => {
    for (const forkable of [false, true]) {
      const arena = Arena.create(SIZE + 20_000, { forkable });
      const memory = GuestMemory.create(arena);
      memory.fill(0, memory.size, 7);
      expectSame(takeSnapshot(memory), memory, "before");
      memory.fork().destroy();
      arena.reset();
      const again = GuestMemory.create(arena);
      again.writeb(5 * PAGE, 1);
      const taken = takeSnapshot(again);
      expectSame(taken, again, "after");
      expect(taken.regions[0]!.storedPages).to.equal(1);
    }
  });

  it("reads no page that was never touched", function () {
    if (!GuestMemory.forksShareMemory) {
      this.skip();
    }
    // The pages that are read take page tables, and pages of a file: 1 GiB of those is 2 MiB or
    // more.
    const { output, status } = runAlone(`
      const { readFileSync } = require("node:fs");
      const { GuestMemory } = require("pound-guest-memory");
      const { takeSnapshot, restoreSnapshot } = require("pound-guest-memory/snapshot");
      const kib = (name) => Number(readFileSync("/proc/self/status", "latin1").match(name + ":\\\\s*(\\\\d+)")[1]);
      takeSnapshot(GuestMemory.allocate(4096));
      for (const forkable of [false, true]) {
        const memory = GuestMemory.allocate(2 ** 32, { forkable });
        memory.writeb(2 ** 31, 1);
        const before = [kib("VmPTE"), kib("RssShmem")];
        const snapshot = takeSnapshot(memory);
        restoreSnapshot(memory, snapshot);
        const after = [kib("VmPTE"), kib("RssShmem")];
        console.log(snapshot.regions[0].storedPages, after.map((value, i) => value - before[i] < 1024));
      }
    `);
    expect({ output, status }).to.deep.equal({
      output: "1 [ true, true ]\n1 [ true, true ]\n",
      status: 0,
    });
  });
});
