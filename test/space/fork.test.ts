import { expect } from "chai";
import {
  AddressSpace,
  type AddressSpaceOptions,
  BUS_ERROR,
  type ForkOptions,
  GuestMemory,
  type MmioDevice,
  type Region,
} from "pound-guest-memory";
import { takeSnapshot } from "pound-guest-memory/snapshot";
import { DESTROYED, FAULT, OUT_OF_RANGE, thrown, WRONG_TYPE } from "../support/errors.js";
import { nativeOf } from "../support/paths.js";

const NOT_FORKED = { name: "Error", code: "ERR_NOT_FORKED" };
const MISMATCH = { name: "Error", code: "ERR_SNAPSHOT_MISMATCH" };
const PAGE = 4096;
const MIB = 2 ** 20;
const RAM = 0x8000_0000;
const MIRROR = 0x2_0000;
const BANK = 0x4_0000;
const ROM = 0x6_0000;
const HIGH = 2n ** 40n;

const SPACES: Record<string, AddressSpaceOptions> = {
  "a space": {},
  "a space of forkable memory": { forkable: true },
  "a space with an arena": { arena: 4 * MIB },
  "a space with a forkable arena": { arena: 4 * MIB, forkable: true },
};

/** A space with RAM, a mirror, a bank, ROM and RAM above 4 GiB. */
function machine(options: AddressSpaceOptions = {}) {
  const space = new AddressSpace(options);
  const ram = space.addRam(RAM, MIB, { name: "ram" });
  space.addRam(MIRROR, ram.memory, { length: PAGE, repeat: 4, priority: 1, access: "rw" });
  const banks = GuestMemory.allocate(4 * PAGE);
  const bank = space.addRam(BANK, banks, { length: PAGE, name: "bank" });
  space.addRom(ROM, new Uint8Array(PAGE).fill(0x55));
  space.addRam(HIGH, PAGE);
  space.writel(RAM, 0x1111);
  nativeOf(space).writel(RAM + 8 * PAGE, 0x2222);
  for (let i = 0; i < 4; i++) {
    banks.writel(i * PAGE, i);
  }
  bank.select(2 * PAGE);
  return { space, ram, bank };
}

function described(regions: readonly Region[]): unknown[] {
  return regions.map((region) => {
    const { kind, gpa, size, name, priority } = region;
    const window = region.kind === "mmio" ? null : [region.access, region.offset, region.size];
    return [kind, gpa, size, name, priority, window];
  });
}

/** Values of all regions, on both paths. */
function seen(space: AddressSpace): number[] {
  const addresses = [RAM, RAM + 8 * PAGE, MIRROR, MIRROR + PAGE, BANK, ROM, HIGH];
  return addresses.flatMap((gpa) => {
    expect(nativeOf(space).readl(gpa)).to.equal(space.readl(gpa));
    return space.readl(gpa);
  });
}

const BEFORE = [0x1111, 0x2222, 0x1111, 0x1111, 2, 0x5555_5555, 0];

describe("AddressSpace.fork", () => {
  for (const [kind, options] of Object.entries(SPACES)) {
    it(`copies ${kind} on write, on both paths`, () => {
      const { space, bank } = machine(options);
      const clone = space.fork();
      expect(described(clone.regions)).to.deep.equal(described(space.regions));
      expect(seen(clone)).to.deep.equal(BEFORE);

      clone.writel(MIRROR + PAGE, 0xaaaa);
      nativeOf(clone).writel(RAM + 8 * PAGE, 0xbbbb);
      nativeOf(clone).writel(HIGH, 0xcccc);
      space.writel(BANK, 0xdddd);
      bank.select(0);
      expect(seen(clone)).to.deep.equal([0xaaaa, 0xbbbb, 0xaaaa, 0xaaaa, 2, 0x5555_5555, 0xcccc]);
      expect(seen(space)).to.deep.equal([0x1111, 0x2222, 0x1111, 0x1111, 0, 0x5555_5555, 0]);
      expect(thrown(() => clone.writel(ROM, 1))).to.deep.equal(FAULT);
      expect(clone.addRam(0x1000_0000, PAGE).memory.readl(0)).to.equal(0);
    });

    it(`resets ${kind} and its clones, with their banks`, () => {
      const { space, ram } = machine(options);
      const clone = space.fork();
      const grandchild = clone.fork();
      for (const each of [space, clone, grandchild]) {
        expect(each.reset()).to.equal(0);
        each.writel(MIRROR + PAGE, 1);
        nativeOf(each).writel(RAM + 8 * PAGE, 2);
        each.writel(BANK, 3);
        const bank = each.regions.find(({ name }) => name === "bank");
        if (bank?.kind === "ram") {
          bank.select(PAGE, bank.memory);
        }
        expect(each.readl(BANK)).to.equal(1);
        expect(each.reset()).to.equal(3);
        expect(seen(each)).to.deep.equal(BEFORE);
      }
      space.writel(RAM, 5);
      space.fork();
      space.writel(RAM, 6);
      expect([space.reset(), space.readl(RAM), ram.memory.readl(0)]).to.deep.equal([1, 5, 5]);
    });
  }

  it("makes thousands of clones", function () {
    this.timeout(120_000);
    const { space } = machine({ forkable: true });
    // Copies take memory.
    const length = GuestMemory.forksShareMemory ? 2000 : 200;
    const clones = Array.from({ length }, () => space.fork());
    clones.forEach((clone, i) => clone.writel(RAM, i));
    clones.forEach((clone, i) => expect(nativeOf(clone).readl(RAM)).to.equal(i));
    expect(seen(space)).to.deep.equal(BEFORE);
  });

  it("keeps the options of the space", () => {
    const faults: unknown[] = [];
    const space = new AddressSpace({
      pageSize: 256,
      arena: MIB,
      unmapped: { read: 0xff },
      onFault: (fault) => void faults.push(fault.gpa),
      alignment: "allow",
      endian: "big",
    });
    space.addRam(0x100, 0x100);
    space.addMmio(0x400, 4, { impl: { min: 1, max: 1 }, read: (offset) => offset + 1 });
    const clone = space.fork({ devices: "share" });
    clone.writel(0x101, 0x1020304);
    expect([clone.readb(0x101), nativeOf(clone).readl(0x101)]).to.deep.equal([1, 0x1020304]);
    expect(clone.policy).to.deep.equal({ alignment: "allow", endian: "big" });
    expect(clone.readw(0x400)).to.equal(0x102);
    expect(clone.readb(0x1000)).to.equal(0xff);
    expect(thrown(() => clone.writeb(0x1000, 1))).to.deep.equal(FAULT);
    expect(faults).to.deep.equal([0x1000]);
    expect(thrown(() => clone.addRam(0x280, 0x100))).to.deep.equal(OUT_OF_RANGE);
    expect(thrown(() => new AddressSpace({ forkable: 1 as never }))).to.deep.equal(WRONG_TYPE);
  });

  it("keeps the policy of the space, also for devices", () => {
    const space = new AddressSpace({ endian: "big", alignment: "allow" });
    space.addRam(0, PAGE);
    space.addMmio(0x1_0000, 0x100, { read: (offset) => offset + 1, impl: { max: 1 } });
    space.writel(1, 0x1122_3344);
    const clone = space.fork({ devices: "share" });
    for (const path of [clone, nativeOf(clone), space]) {
      expect([path.readl(1), path.readb(1), path.readl(0x1_0000)]).to.deep.equal([
        0x1122_3344, 0x11, 0x0102_0304,
      ]);
    }
    clone.writew(1, 0xaabb);
    expect([clone.readl(1), clone.reset(), clone.readl(1)]).to.deep.equal([
      0xaabb_3344, 1, 0x1122_3344,
    ]);
  });

  it("takes no watchpoints, guards and dirty marks along", () => {
    const space = new AddressSpace();
    space.addRam(0, 4 * PAGE, { trackDirty: true });
    let calls = 0;
    space.watch({ gpa: 0, length: 4, kinds: "write" }, () => calls++);
    space.guardCode(0, 4, () => calls++);
    const clone = space.fork();
    clone.writel(0, 1);
    nativeOf(clone).writel(0, 2);
    expect(calls).to.equal(0);
    const [region] = clone.regions;
    expect(region?.kind === "ram" && region.dirty).to.equal(null);
    expect(space.fork({ devices: undefined }).readl(0)).to.equal(0);
  });

  it("needs an answer for devices", () => {
    const space = new AddressSpace();
    space.addRam(0, PAGE);
    const device: MmioDevice = { readl: () => 7, writel: () => undefined };
    const uart = space.addMmio(0x1_0000, 0x100, device, { name: "uart", priority: 3 });
    const flash = space.addRom(0x2_0000, new Uint8Array(PAGE), { onWrite: () => BUS_ERROR });
    expect(thrown(() => space.fork())).to.deep.equal(WRONG_TYPE);
    for (const options of [null, 5, { devices: 5 }, { devices: "copy" }] as ForkOptions[]) {
      expect(thrown(() => space.fork(options))).to.deep.equal(WRONG_TYPE);
    }
    const shared = space.fork({ devices: "share" });
    expect([shared.readl(0x1_0000), nativeOf(shared).readl(0x1_0000)]).to.deep.equal([7, 7]);
    expect(thrown(() => shared.writel(0x2_0000, 1))).to.deep.equal(FAULT);

    const asked: unknown[] = [];
    const written: unknown[] = [];
    const clone = space.fork({
      devices: (region) => {
        asked.push(region);
        return region.kind === "mmio"
          ? { readl: () => 8 }
          : (offset, value) => void written.push([offset, value]);
      },
    });
    expect(asked).to.deep.equal([uart, flash]);
    expect([clone.readl(0x1_0000), space.readl(0x1_0000)]).to.deep.equal([8, 7]);
    clone.writel(0x2_0004, 9);
    expect(written).to.deep.equal([[4, 9]]);
    const mmio = clone.regions[1]!;
    expect([mmio.name, mmio.priority, mmio.size]).to.deep.equal(["uart", 3, 0x100n]);

    for (const wrong of [undefined, 5, { readl: 5 }]) {
      const devices = () => wrong as never;
      expect(thrown(() => space.fork({ devices }))).to.deep.equal(WRONG_TYPE);
    }
    expect(
      thrown(() => space.fork({ devices: ({ kind }) => (kind === "mmio" ? device : {}) })),
    ).to.deep.equal(WRONG_TYPE);
    const devices = () => {
      throw new Error("no");
    };
    expect(() => space.fork({ devices })).to.throw("no");
  });

  it("refuses memory that has ended, and then makes no checkpoint", () => {
    for (const options of Object.values(SPACES)) {
      const { space, ram } = machine(options);
      ram.memory.destroy();
      expect(thrown(() => space.fork())).to.deep.equal(DESTROYED);
      expect(thrown(() => space.reset())).to.deep.equal(NOT_FORKED);
    }
  });
});

describe("AddressSpace.reset", () => {
  it("is refused before a fork, and after changes of the map or other forks", () => {
    const { space, ram } = machine();
    expect(thrown(() => space.reset())).to.deep.equal(NOT_FORKED);
    space.fork();
    space.writel(RAM, 9);
    const added = space.addRam(0x1000_0000, PAGE);
    expect(thrown(() => space.reset())).to.deep.equal(MISMATCH);
    space.remove(added);
    ram.memory.fork();
    expect(thrown(() => space.reset())).to.deep.equal(MISMATCH);
    expect(space.readl(RAM)).to.equal(9);
    space.fork();
    expect(space.reset()).to.equal(0);
    space.writel(BANK, 1);
    ram.memory.destroy();
    expect(thrown(() => space.reset())).to.deep.equal(DESTROYED);
    expect(space.readl(BANK)).to.equal(1);
  });

  it("marks pages and calls guards as writes do, but no watchpoints", () => {
    const space = new AddressSpace();
    const ram = space.addRam(0, 16 * PAGE, { trackDirty: true });
    space.fork();
    space.writel(2 * PAGE, 1);
    nativeOf(space).writel(12 * PAGE, 1);
    const pages = () => [...ram.dirty!.drain()];
    pages();
    const calls: unknown[] = [];
    space.watch({ gpa: 0, length: 16 * PAGE, kinds: "access" }, () => calls.push("watch"));
    space.guardCode(12 * PAGE, 4, ({ cause, gpa }) => calls.push([cause, gpa]));
    expect(space.reset()).to.equal(2);
    expect(calls).to.deep.equal([["write", BigInt(12 * PAGE)]]);
    expect(pages()).to.deep.equal([2, 12]);
  });

  it("agrees with the restoring of a snapshot", () => {
    for (const options of Object.values(SPACES)) {
      const { space, bank } = machine(options);
      const snapshot = space.snapshot();
      space.writel(RAM + PAGE, 5);
      expect(space.reset(snapshot)).to.equal(1);
      for (let round = 0; round < 3; round++) {
        space.writel(RAM + PAGE, 6);
        nativeOf(space).writel(HIGH, 7);
        bank.select(0);
        expect(space.reset(snapshot)).to.equal(2);
        expect(seen(space)).to.deep.equal(BEFORE);
        expect(space.readl(RAM + PAGE)).to.equal(0);
      }
      // Each of these makes the next reset restore all of the snapshot.
      for (const change of [
        () => space.fork(),
        () => bank.memory.fork(),
        () => space.restore(snapshot),
        () => space.remove(space.addRam(0x1000_0000, PAGE)),
      ]) {
        space.writel(RAM, 8);
        change();
        space.writel(RAM + PAGE, 9);
        space.reset(snapshot);
        expect([...seen(space), space.readl(RAM + PAGE)]).to.deep.equal([...BEFORE, 0]);
      }
      space.writel(RAM, 1);
      const other = space.snapshot();
      space.writel(RAM, 2);
      expect(space.reset(snapshot)).to.equal(1);
      expect([space.reset(other), space.readl(RAM)]).to.deep.equal([1, 1]);
      expect([space.reset(snapshot), space.readl(RAM)]).to.deep.equal([1, 0x1111]);
    }
  });

  it("refuses a snapshot of another machine", () => {
    const { space } = machine();
    const other = takeSnapshot(GuestMemory.allocate(PAGE));
    expect(thrown(() => space.reset(other)).code).to.equal("ERR_SNAPSHOT_MISMATCH");
    expect(thrown(() => space.reset(5 as never))).to.deep.equal(WRONG_TYPE);
  });

  it("leaves snapshots of tracked memory right", () => {
    const space = new AddressSpace();
    space.addRam(0, 16 * PAGE, { trackDirty: true });
    space.writel(PAGE, 1);
    space.fork();
    space.writel(2 * PAGE, 2);
    const before = space.snapshot();
    space.reset();
    const after = space.snapshot(before);
    expect(after.read(2 * PAGE, 1)[0]).to.equal(0);
    space.writel(3 * PAGE, 3);
    space.restore(before);
    expect([space.readl(PAGE), space.readl(2 * PAGE), space.readl(3 * PAGE)]).to.deep.equal([
      1, 2, 0,
    ]);
  });
});
