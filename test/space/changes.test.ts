import { expect } from "chai";
import {
  AddressSpace,
  GuestMemAccessResult,
  GuestMemory,
  GuestMemoryFault,
  type WatchedAccess,
} from "pound-guest-memory";
import { ExclusiveMonitor } from "pound-guest-memory/atomics";
import { loadRaw } from "pound-guest-memory/loader";
import { OUT_OF_RANGE, thrown } from "../support/errors.js";
import { PATHS, nativeOf } from "../support/paths.js";

const { OK, FAULT_BOUNDARY, FAULT_UNALIGNED, ERROR_INTERNAL } = GuestMemAccessResult;
const PAGE = 4096;
const BASE = 0x8000_0000;

/** The properties of a fault. */
function faultOf(action: () => unknown): unknown {
  try {
    action();
  } catch (error) {
    if (error instanceof GuestMemoryFault) {
      const { result, gpa, width, operation } = error;
      return { result, gpa, width, operation };
    }
    throw error;
  }
  return null;
}

/** Two adjacent regions, and a watchpoint on the last bytes of a bulk access to both. */
function twoRegions(listener: (second: GuestMemory, space: AddressSpace) => void) {
  const space = new AddressSpace();
  const [first, second] = [0, PAGE].map((at) => space.addRam(BASE + at, PAGE).memory) as [
    GuestMemory,
    GuestMemory,
  ];
  space.fill(BASE, 2 * PAGE, 0x11);
  space.watch({ gpa: BASE + PAGE, length: 8 }, () => listener(second, space));
  return { space, first, second };
}

describe("a bulk access whose listener", () => {
  const accesses: Record<string, (space: AddressSpace) => void> = {
    write: (space) => space.write(BASE + PAGE - 2, new Uint8Array(8)),
    fill: (space) => space.fill(BASE + PAGE - 2, 8, 0),
    copy: (space) => space.copy(BASE + PAGE - 2, BASE, 8),
  };

  for (const [name, access] of Object.entries(accesses)) {
    it(`destroys the memory changes nothing, and faults at its own address: ${name}`, () => {
      const { space, first } = twoRegions((second) => second.destroy());
      first.fill(0, 8, 0);
      expect(faultOf(() => access(space))).to.deep.equal({
        result: ERROR_INTERNAL,
        gpa: BASE + PAGE - 2,
        width: 8,
        operation: "write",
      });
      expect([...first.read(PAGE - 2, 2)]).to.deep.equal([0x11, 0x11]);
    });

    it(`changes the map completes in the regions mapped before: ${name}`, () => {
      const { space, first, second } = twoRegions((memory, map) => {
        const region = map.regionAt(BASE + PAGE);
        if (region?.kind === "ram" && region.memory === memory) {
          map.remove(region);
          map.addRam(BASE + PAGE, PAGE);
        }
      });
      first.fill(0, 8, 0);
      access(space);
      expect([...first.read(PAGE - 2, 2), ...second.read(0, 7)]).to.deep.equal([
        0, 0, 0, 0, 0, 0, 0, 0, 0x11,
      ]);
      expect(space.readq(BASE + PAGE)).to.equal(0n);
    });
  }

  it("destroys the source of a copy changes nothing, and faults at the source's address", () => {
    const { space, first } = twoRegions((second) => second.destroy());
    expect(faultOf(() => space.copy(BASE, BASE + PAGE - 2, 8))).to.deep.include({
      gpa: BASE + PAGE - 2,
      operation: "read",
    });
    expect(first.read(0, 8).every((byte) => byte === 0x11)).to.equal(true);
  });

  it("detaches the source changes nothing", () => {
    const source = new Uint8Array(8);
    const { space, first, second } = twoRegions(() =>
      structuredClone(source.buffer, { transfer: [source.buffer] }),
    );
    expect(thrown(() => space.write(BASE + PAGE - 2, source))).to.deep.equal(OUT_OF_RANGE);
    expect([...first.read(PAGE - 2, 2), ...second.read(0, 6)]).to.deep.equal(
      new Array<number>(8).fill(0x11),
    );
  });
});

describe("loading into destroyed memory", () => {
  it("names the load address in the fault", () => {
    for (const offset of [0, 4]) {
      const space = new AddressSpace();
      space.addRam(BASE, PAGE).memory.destroy();
      expect(faultOf(() => loadRaw(space, BASE + offset, new Uint8Array(16)))).to.deep.equal({
        result: ERROR_INTERNAL,
        gpa: BigInt(BASE + offset),
        width: 16,
        operation: "write",
      });
    }
  });
});

for (const path of PATHS) {
  describe(`atomic access to a space on the ${path} path`, () => {
    const atomicsOf = (space: AddressSpace) =>
      path === "view" ? space.atomics : space.native.atomics;

    it("loads from ROM, and faults at a device", () => {
      const space = new AddressSpace();
      space.addRom(0, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
      space.addMmio(0x1000, 8, { readl: () => 1, writel: () => undefined });
      const atomics = atomicsOf(space);
      expect(atomics).to.equal(atomicsOf(space));
      const out = new Uint32Array(1);
      expect(atomics.loadl(0)).to.equal(0x0403_0201);
      expect(atomics.tryLoadl(2, out)).to.equal(FAULT_UNALIGNED);
      expect(atomics.tryStorel(0, 1)).to.equal(FAULT_BOUNDARY);
      expect(atomics.tryCompareExchangel(0, 0, 1, out)).to.equal(FAULT_BOUNDARY);
      expect(atomics.tryLoadl(0x1000, out)).to.equal(FAULT_BOUNDARY);
      expect(atomics.tryAddl(0x1000, 1, out)).to.equal(FAULT_BOUNDARY);
      expect(atomics.tryLoadl(0x2000, out)).to.equal(FAULT_BOUNDARY);
      expect(faultOf(() => atomics.addl(0x1000n, 1))).to.deep.equal({
        result: FAULT_BOUNDARY,
        gpa: 0x1000n,
        width: 4,
        operation: "write",
      });
    });

    it("notifies watchpoints of the write before it, and of the old value after it", () => {
      const space = new AddressSpace();
      const { memory } = space.addRam(BASE, PAGE);
      memory.writel(0, 5);
      const seen: [WatchedAccess, number][] = [];
      space.watch({ gpa: BASE, length: 4 }, (access) => seen.push([access, memory.readl(0)]));
      const atomics = atomicsOf(space);
      atomics.addl(BASE, 2);
      atomics.exchangel(BASE, 9);
      atomics.storel(BASE, 4);
      atomics.loadl(BASE);
      const access = { gpa: BigInt(BASE), width: 4 };
      expect(seen).to.deep.equal([
        [{ ...access, kind: "write" }, 5],
        [{ ...access, kind: "read", value: 5 }, 7],
        [{ ...access, kind: "write", value: 9 }, 7],
        [{ ...access, kind: "read", value: 7 }, 9],
        [{ ...access, kind: "write", value: 4 }, 9],
        [{ ...access, kind: "read", value: 4 }, 4],
      ]);
    });

    it("supports an exclusive monitor, with marks and watchpoints", () => {
      const space = new AddressSpace();
      const { dirty } = space.addRam(BASE, 2 * PAGE, { trackDirty: true });
      space.addRom(0, new Uint8Array(8));
      const kinds: string[] = [];
      space.watch({ gpa: BASE + PAGE, length: 8 }, ({ kind }) => kinds.push(kind));
      const monitor = new ExclusiveMonitor(atomicsOf(space));
      const status = new Uint32Array(1);
      expect(monitor.loadExclusivel(BASE + PAGE)).to.equal(0);
      expect(monitor.storeExclusivel(BASE + PAGE, 7)).to.equal(true);
      expect(kinds).to.deep.equal(["read", "write", "read"]);
      expect([...dirty!.drain()]).to.deep.equal([1]);
      expect(monitor.storeExclusivel(BASE + PAGE, 8), "not loaded").to.equal(false);
      expect([kinds.length, dirty!.count, space.readl(BASE + PAGE)]).to.deep.equal([3, 0, 7]);
      expect(monitor.tryStoreExclusivel(0, 1, status), "ROM").to.equal(FAULT_BOUNDARY);
      expect(monitor.tryStoreExclusivel(BASE + 2, 1, status)).to.equal(FAULT_UNALIGNED);
      expect(monitor.tryLoadExclusivel(0, status), "ROM").to.equal(OK);
    });

    it("has exclusive stores that mark nothing if they fail, and fault as the space does", () => {
      const space = new AddressSpace();
      const { dirty, memory } = space.addRam(BASE, PAGE, { trackDirty: true });
      space.addMmio(0x1000, 8, { readl: () => 1, writel: () => undefined });
      const monitor = new ExclusiveMonitor(atomicsOf(space));
      const status = Uint32Array.of(9);
      monitor.loadExclusivel(BASE);
      memory.writel(0, 5);
      dirty!.drain();
      expect(monitor.storeExclusivel(BASE, 7), "changed").to.equal(false);
      expect([dirty!.count, memory.readl(0)]).to.deep.equal([0, 5]);
      for (const gpa of [0x1000, 0x2000]) {
        expect(monitor.tryLoadExclusivel(gpa, status)).to.equal(FAULT_BOUNDARY);
        expect(monitor.tryStoreExclusivel(gpa, 1, status)).to.equal(FAULT_BOUNDARY);
      }
      monitor.loadExclusivel(BASE);
      memory.destroy();
      expect(monitor.tryStoreExclusivel(BASE, 1, status)).to.equal(ERROR_INTERNAL);
      expect(monitor.tryLoadExclusivel(BASE, status)).to.equal(ERROR_INTERNAL);
      expect(status[0]).to.equal(9);
    });

    it("calls no watchpoint for an atomic that the host cannot make", () => {
      const space = new AddressSpace();
      space.addRam(BASE, GuestMemory.over(new Uint8Array(PAGE + 2).subarray(2)));
      space.watch({ gpa: BASE, length: PAGE }, () => expect.fail("called"));
      const atomics = atomicsOf(space);
      const monitor = new ExclusiveMonitor(atomics);
      const out = new Uint32Array(1);
      expect(atomics.tryLoadl(BASE, out)).to.equal(ERROR_INTERNAL);
      expect(atomics.tryStorel(BASE, 1)).to.equal(ERROR_INTERNAL);
      expect(atomics.tryAddl(BASE, 1, out)).to.equal(ERROR_INTERNAL);
      expect(atomics.tryAddl(BASE + 2, 1, out)).to.equal(FAULT_UNALIGNED);
      expect(monitor.tryStoreExclusivel(BASE, 1, out)).to.equal(ERROR_INTERNAL);
    });
  });
}

describe("a stack overflow during a change of the map", () => {
  /** Different frame sizes below the action, so that the stack overflows at many places in it. */
  const SIZES = [1, 30, 50, 77, 150];

  /** Calls an action with ever more free stack until it succeeds, and `look` after each attempt. */
  function atEveryDepth(size: number, action: () => void, look: () => void): void {
    const attempt = (): "done" | "failed" => {
      try {
        action();
        return "done";
      } catch (error) {
        expect(error).to.be.instanceOf(RangeError);
        return "failed";
      }
    };
    const dive = (ballast: readonly number[]): "done" | "failed" => {
      let outcome: "done" | "failed";
      try {
        outcome = Reflect.apply(dive, undefined, [ballast, ...ballast]) as typeof outcome;
      } catch {
        return attempt();
      }
      if (outcome === "failed") {
        look();
        return attempt();
      }
      return outcome;
    };
    expect(dive(new Array<number>(size).fill(0))).to.equal("done");
    look();
  }

  /** The results of a read and a write, which must agree on both paths. */
  function both(space: AddressSpace, gpa: number): unknown {
    const results = [space, space.native].map((access) => [
      access.tryReadl(gpa, new Uint32Array(1)),
      access.tryWritel(gpa, 1),
    ]);
    expect(results[0], "the two paths").to.deep.equal(results[1]);
    return results[0];
  }

  it("leaves the map either unchanged or changed completely", () => {
    const space = new AddressSpace();
    space.addRam(0, PAGE);
    const memory = GuestMemory.allocate(PAGE);
    let region = space.addRam(BASE, memory);
    let mapped = true;
    const look = (): void => {
      const expected = mapped ? OK : FAULT_BOUNDARY;
      expect(space.regions.length).to.equal(mapped ? 2 : 1);
      expect(both(space, BASE)).to.deep.equal([expected, expected]);
      expect(both(space, 0)).to.deep.equal([OK, OK]);
    };
    for (const size of SIZES) {
      atEveryDepth(
        size,
        () => {
          space.remove(region);
          mapped = false;
        },
        look,
      );
      atEveryDepth(
        size,
        () => {
          region = space.addRam(BASE, memory, { trackDirty: size % 2 === 0 });
          mapped = true;
        },
        look,
      );
    }
  });

  it("leaves memory accessible on both paths or on neither", () => {
    for (const size of SIZES) {
      const space = new AddressSpace();
      const { memory } = space.addRam(BASE, PAGE);
      both(space, BASE);
      const look = (): void => {
        const expected = memory.destroyed ? ERROR_INTERNAL : OK;
        expect(both(space, BASE)).to.deep.equal([expected, expected]);
        expect(memory.tryReadl(0, new Uint32Array(1))).to.equal(expected);
        expect(memory.native.tryReadl(0, new Uint32Array(1))).to.equal(expected);
      };
      atEveryDepth(size, () => memory.destroy(), look);
      expect(memory.destroyed).to.equal(true);
    }
  });

  it("leaves a range watched on both paths or on neither", () => {
    const space = new AddressSpace();
    space.addRam(BASE, PAGE);
    let seen = 0;
    let expected = 0;
    const look = (): void => {
      seen = 0;
      both(space, BASE);
      expect(seen).to.equal(4 * expected);
    };
    for (const size of SIZES) {
      atEveryDepth(
        size,
        () => {
          space.watch({ gpa: BASE, length: 4 }, () => seen++);
          expected++;
        },
        look,
      );
    }
  });
});

describe("the cost of many regions and watchpoints", () => {
  // A quadratic algorithm would take minutes, and fail by mocha's timeout.
  const COUNT = 32_000;

  /** The numbers from 0 to COUNT - 1, shuffled. */
  const mixed = Array.from({ length: COUNT }, (_, i) => (i * 7919) % COUNT);

  it("does not grow with the number of watchpoints", () => {
    const space = new AddressSpace();
    space.addRam(0, COUNT * PAGE);
    let calls = 0;
    // A watchpoint on the whole range, so that every page is watched.
    const all = space.watch({ gpa: 0, length: COUNT * PAGE, kinds: "read" }, () => calls++);
    const watches = mixed.map((i) => space.watch({ gpa: i * PAGE, length: 8 }, () => calls++));
    for (let i = 0; i < COUNT; i++) {
      space.readb(i * PAGE);
      space.writeb(i * PAGE + 8, 1);
    }
    watches.forEach((watchpoint) => watchpoint.remove());
    all.remove();
    space.readb(0);
    expect(calls).to.equal(2 * COUNT);
  });

  it("does not grow with the number of regions", () => {
    const space = new AddressSpace();
    const regions = mixed.map((i) => space.addMmio(i * PAGE, 8, { readb: () => i & 0xff }));
    for (let i = 0; i < COUNT; i += 7) {
      expect(space.readb(i * PAGE)).to.equal(i & 0xff);
    }
    regions.forEach((region) => space.remove(region));
    expect(space.regions).to.deep.equal([]);
  });

  it("does not slow down a change of banks", () => {
    const space = new AddressSpace();
    space.addRam(0, PAGE * 16);
    const banks = [GuestMemory.allocate(PAGE), GuestMemory.allocate(PAGE)];
    for (let i = 0; i < 2000; i++) {
      space.addRam(0x1000_0000 + i * 2 * PAGE, PAGE);
      space.watch({ gpa: 0x4000_0000 + i * PAGE, length: 4 }, () => undefined);
    }
    let bank = space.addRam(BASE, banks[0]!);
    for (let i = 0; i < 5000; i++) {
      space.remove(bank);
      bank = space.addRam(BASE, banks[i & 1]!);
      space.writel(BASE, i);
      nativeOf(space).writel(BASE + 4, i);
    }
    expect(banks.map((memory) => memory.readl(0))).to.deep.equal([4998, 4999]);
    expect(banks.map((memory) => memory.readl(4))).to.deep.equal([4998, 4999]);
  });

  it("leaves nothing in memory that outlives a dropped space", async () => {
    const memory = GuestMemory.allocate(PAGE);
    const turn = async (): Promise<void> => {
      global.gc!();
      await new Promise((resolve) => setTimeout(resolve, 1));
      global.gc!();
    };
    const make = async (): Promise<void> => {
      for (let i = 0; i < 10_000; i++) {
        new AddressSpace().addRam(0, memory);
        if (i % 1000 === 999) {
          await turn();
        }
      }
    };
    await make();
    await turn();
    const before = process.memoryUsage().heapUsed;
    await make();
    await turn();
    // Each link that remains would take at least 145 bytes.
    expect((process.memoryUsage().heapUsed - before) / 10_000).to.be.below(40);
    memory.destroy();
  }).timeout(60_000);
});
