import { expect } from "chai";
import { AddressSpace, Arena, GuestMemory } from "pound-guest-memory";
import { OUT_OF_RANGE, thrown } from "../support/errors.js";
import { nativeOf } from "../support/paths.js";

const PAGE = 4096;

describe("the generation of an address space", () => {
  /** Expects that an action increases the generation of a space. */
  function expectChange(space: AddressSpace, what: string, action: () => unknown): void {
    const before = space.generation;
    action();
    expect(space.generation, what).to.be.above(before);
  }

  it("increases with every change of the map, of a mapped memory and of the watchpoints", () => {
    const space = new AddressSpace();
    expect(space.generation).to.be.a("number");
    const arena = Arena.create(2 * PAGE);
    const memory = GuestMemory.create(arena);
    expectChange(space, "RAM", () => space.addRam(0, PAGE));
    expectChange(space, "ROM", () => space.addRom(PAGE, new Uint8Array(PAGE)));
    expectChange(space, "MMIO", () => space.addMmio(2 * PAGE, 8, {}));
    expectChange(space, "a given memory", () => space.addRam(4 * PAGE, memory));
    for (const what of ["MMIO", "ROM", "RAM"]) {
      expectChange(space, `removal of ${what}`, () =>
        space.remove(space.regions[["RAM", "ROM", "MMIO"].indexOf(what)]!),
      );
    }
    const [region] = space.regions;
    if (region?.kind !== "ram") {
      return expect.fail("no RAM");
    }
    expectChange(space, "start of tracking", () => region.startTracking());
    expectChange(space, "end of tracking", () => region.stopTracking());
    let watchpoint: ReturnType<AddressSpace["watch"]>;
    expectChange(space, "watchpoint", () => {
      watchpoint = space.watch({ gpa: 0, length: 1 }, () => undefined);
    });
    expectChange(space, "removal of the watchpoint", () => watchpoint.remove());
    expectChange(space, "reset of the arena", () => arena.reset());
  });

  it("increases in every space that maps a memory which is destroyed", () => {
    const memory = GuestMemory.allocate(PAGE);
    const spaces = [new AddressSpace(), new AddressSpace()];
    spaces.forEach((space) => space.addRam(0, memory));
    const other = new AddressSpace();
    other.addRam(0, PAGE);
    const before = [...spaces, other].map(({ generation }) => generation);
    memory.destroy();
    expect(spaces[0]!.generation).to.be.above(before[0]!);
    expect(spaces[1]!.generation).to.be.above(before[1]!);
    expect(other.generation).to.equal(before[2]);
  });

  it("stays the same for accesses and for changes that are refused", () => {
    const space = new AddressSpace();
    const region = space.addRam(0, PAGE, { trackDirty: true });
    space.watch({ gpa: 0, length: 1 }, () => undefined);
    const snapshot = space.snapshot();
    const before = space.generation;
    space.writel(0, 1);
    nativeOf(space).readl(0);
    space.atomics.addl(0, 1);
    space.fill(0, 8, 1);
    space.poke(0, Uint8Array.of(1));
    region.dirty!.drain();
    expect(thrown(() => space.addRam(0, PAGE))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => space.addRam(1, PAGE))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => new AddressSpace().remove(region))).to.deep.equal(OUT_OF_RANGE);
    space.restore(snapshot);
    expect(space.generation).to.equal(before);
  });

  it("keeps a software TLB valid", () => {
    const space = new AddressSpace();
    const first = GuestMemory.allocate(PAGE);
    const second = GuestMemory.allocate(PAGE);
    let region = space.addRam(0, first);
    let filled = -1;
    let page: Uint8Array = new Uint8Array(0);
    const load = (gpa: number): number => {
      if (space.generation !== filled) {
        filled = space.generation;
        const found = space.regionAt(gpa);
        page = found?.kind === "ram" ? found.memory.buffer : new Uint8Array(0);
      }
      return page[gpa] ?? -1;
    };
    for (let round = 0; round < 20; round++) {
      const memory = round % 2 === 0 ? second : first;
      space.remove(region);
      expect(load(8)).to.equal(-1);
      region = space.addRam(0, memory);
      memory.writeb(8, round);
      expect(load(8)).to.equal(round);
    }
    second.destroy();
    first.destroy();
    expect(load(8)).to.equal(-1);
  });
});
